"""What the programs and pages around a model say about it, read as text: nothing of them is imported or run."""

import ast
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_deployer.adoption.cell.cell_worker.place import mark, place
from model_deployer.adoption.source.pixel_statements import of_processor
from model_deployer.adoption.source.statement import Origin, Statement, Subject

#: A longer text is not read.
MAX_BYTES = 2 << 20

_NAMES_OF_COLUMNS = re.compile(r"column|feature|cols$|fields$|inputs$|variables$", re.IGNORECASE)
_NAMES_OF_LABELS = re.compile(r"label|class|target_names|categor|mapping|species|prediction", re.IGNORECASE)
_NAMES_OF_THRESHOLDS = re.compile(r"thresh|cutoff|cut_off", re.IGNORECASE)
_NAMES_OF_SCORES = re.compile(r"prob|score|confidence|pred|thresh", re.IGNORECASE)
_INPUT_TAG = re.compile(r"<(?:input|select|textarea)\b[^>]*>", re.IGNORECASE)
_NO_INPUT = re.compile(r"type\s*=\s*[\"']?(submit|button|hidden|reset|file)", re.IGNORECASE)
_ATTRIBUTE = r"""\b{}\s*=\s*["']([^"']+)["']"""
_CSHARP_PROPERTY = re.compile(r"public\s+(?:float|double|int|long|string|bool)\??\s+(\w+)\s*\{\s*get", re.IGNORECASE)
_JSON_STRINGIFY = re.compile(r"JSON\.stringify\(\s*\{(.*?)\}\s*\)", re.DOTALL)
_JS_KEY = re.compile(r"""(?:^|,|\n)\s*["']?([A-Za-z_]\w*)["']?\s*:""")
_PIN = re.compile(r"^[ \t]*([A-Za-z][\w.-]*)[ \t]*==\s*([\w.]+)", re.MULTILINE)


def statements_of_text(path: Path, text: str) -> list[Statement]:
    """Return what a text says about the model: columns, labels, thresholds, pixels, and pinned packages.

    Args:
        path: The file, whose suffix says what it is.
        text: Its text.
    """
    if len(text) > MAX_BYTES:
        return []
    reader = _READERS.get(path.suffix.lower())
    if path.name.startswith("requirements") or path.name in ("environment.yml", "conda.yaml", "Pipfile"):
        reader = _requirements
    return list(reader(path.name, text)) if reader else []


def decoded(content: bytes) -> str:
    """Return the text of a file: UTF-8 with or without a mark, or UTF-16 as PowerShell writes it."""
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if is_wide else "utf-8-sig", errors="replace")


def notebook_code(text: str) -> str:
    """Return the code of a notebook, without commands of IPython; nothing if it is not a notebook.

    A comment in front of each cell has its number, see :func:`cell_worker.place.mark`.
    """
    try:
        cells = [(mark(number), cell) for number, cell in enumerate(json.loads(text)["cells"], 1)]
        code = [(comment, "".join(cell["source"])) for comment, cell in cells if cell["cell_type"] == "code"]
        lines = [line for comment, text in code for line in (comment, *text.splitlines())]
    except (ValueError, KeyError, TypeError):
        return ""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def _notebook(name: str, text: str) -> Iterator[Statement]:
    yield from _python(name, notebook_code(text), "notebook")


def _python(name: str, text: str, origin: Origin = "app") -> Iterator[Statement]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    form: list[str] = []
    for node in ast.walk(tree):
        where = place(name, getattr(node, "lineno", 0), text)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _assignment(node, origin, where)
        elif isinstance(node, ast.Compare):
            yield from _comparison(node, origin, where)
        elif isinstance(node, ast.ClassDef) and any("BaseModel" in ast.unparse(base) for base in node.bases):
            fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
            yield Statement("columns", [item.id for item in fields if isinstance(item, ast.Name)], origin, where)
        elif field := _form_field(node):
            form.append(field)
    if form:
        yield Statement("columns", list(dict.fromkeys(form)), origin, name)


def _assignment(node: ast.Assign | ast.AnnAssign, origin: Origin, place: str) -> Iterator[Statement]:
    """Read lists of columns, dicts and lists of labels, and thresholds that have a name."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    name = target.id if isinstance(target, ast.Name) else ast.unparse(target)[-60:]
    value = _literal(node.value)
    subject: Subject | None = None
    if _is_texts(value, 2) and _NAMES_OF_COLUMNS.search(name):
        subject = "columns"
    elif (_is_texts(value, 2) or _is_label_map(value)) and _NAMES_OF_LABELS.search(name):
        subject = "labels"
    elif isinstance(value, int | float) and not isinstance(value, bool) and _NAMES_OF_THRESHOLDS.search(name):
        subject = "threshold"
    if subject is not None:
        yield Statement(subject, value, origin, place)


def _comparison(node: ast.Compare, origin: Origin, place: str) -> Iterator[Statement]:
    """Read a probability that is compared with a number."""
    limit = _literal(node.comparators[0])
    is_order = isinstance(node.ops[0], ast.Gt | ast.GtE | ast.Lt | ast.LtE)
    if is_order and isinstance(limit, float) and 0 < limit < 1 and _NAMES_OF_SCORES.search(ast.unparse(node.left)):
        yield Statement("threshold", limit, origin, place)


def _form_field(node: ast.AST) -> str | None:
    """Return the name in ``request.form['x']``, ``request.form.get('x')`` and the like."""
    if isinstance(node, ast.Subscript):
        holder, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
        holder, key = node.func.value, node.args[0]
    else:
        return None
    is_request = ast.unparse(holder).startswith(("request.form", "request.args", "request.json", "request.values"))
    return str(key.value) if is_request and isinstance(key, ast.Constant) and isinstance(key.value, str) else None


def _html(name: str, text: str) -> Iterator[Statement]:
    tags = [match[0] for match in _INPUT_TAG.finditer(text)]
    tags = [tag for tag in tags if not _NO_INPUT.search(tag)]
    names = [match[1] for tag in tags if (match := re.search(_ATTRIBUTE.format("name"), tag, re.IGNORECASE))]
    if names:
        yield Statement("columns", list(dict.fromkeys(names)), "app", name)


def _csharp(name: str, text: str) -> Iterator[Statement]:
    names = [match[1] for match in _CSHARP_PROPERTY.finditer(text)]
    if names:
        yield Statement("columns", names, "app", name)


def _javascript(name: str, text: str) -> Iterator[Statement]:
    for match in _JSON_STRINGIFY.finditer(text):
        if len(names := _JS_KEY.findall(match[1])) > 1:
            yield Statement("columns", names, "app", f"{name} line {text.count(chr(10), 0, match.start()) + 1}")


def _table(name: str, text: str) -> Iterator[Statement]:
    lines = text.splitlines()[:1]
    separator = max(",;\t|", key=lines[0].count) if lines else ","
    header = next(csv.reader(lines, delimiter=separator), [])
    if len(header) > 1 and not all(_is_number(item) for item in header):
        yield Statement("columns", header, "app", f"{name} line 1")


def _json(name: str, text: str) -> Iterator[Statement]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    for key, item in value.items() if isinstance(value, dict) else [(Path(name).stem, value)]:
        if _is_texts(item, 2):
            subject: Subject = "labels" if _NAMES_OF_LABELS.search(key) and "column" not in key else "columns"
            yield Statement(subject, item, "app", f"{name}, '{key}'" if isinstance(value, dict) else name)
        elif isinstance(item, int | float) and _NAMES_OF_THRESHOLDS.search(key):
            yield Statement("threshold", item, "app", f"{name}, '{key}'")
        elif _is_label_map(item) and key == "id2label":
            yield Statement("labels", item, "app", f"{name}, '{key}'")
    if isinstance(value, dict):
        yield from of_processor(value, name)
    if _is_label_map(value):
        yield Statement("labels", value, "app", name)


def _requirements(name: str, text: str) -> Iterator[Statement]:
    for match in _PIN.finditer(text.replace("  - ", "")):
        place = f"{name} line {text.count(chr(10), 0, match.start()) + 1}"
        yield Statement("requirement", f"{match[1]}=={match[2]}", "app", place)


def _literal(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_texts(value: Any, least: int) -> bool:
    return isinstance(value, list | tuple) and len(value) >= least and all(isinstance(item, str) for item in value)


def _is_label_map(value: Any) -> bool:
    """Return whether a dict maps small numbers to texts, or texts to small numbers."""
    if not isinstance(value, dict) or len(value) < 2:
        return False
    pairs = [sorted((type(key), type(item)), key=str) for key, item in value.items()]
    is_digits = all(isinstance(key, str) and key.isdigit() and isinstance(item, str) for key, item in value.items())
    return is_digits or all(pair == [int, str] for pair in pairs)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_READERS = {
    ".py": _python,
    ".ipynb": _notebook,
    ".html": _html,
    ".htm": _html,
    ".cs": _csharp,
    ".js": _javascript,
    ".jsx": _javascript,
    ".ts": _javascript,
    ".tsx": _javascript,
    ".csv": _table,
    ".tsv": _table,
    ".json": _json,
}
