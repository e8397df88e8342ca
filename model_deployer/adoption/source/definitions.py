"""Find the classes that a pickle needs in the scripts and notebooks next to it, by reading them as text."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_deployer.adoption.cell.cell_worker.place import is_mark, place
from model_deployer.adoption.source.app_text import notebook_code
from model_deployer.adoption.source_files import source_files

#: A longer script is not read.
_MAX_BYTES = 5 << 20

_DEFINING = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

#: Functions that a constant may be computed with.
_FUNCTIONS = {
    "abs", "dict", "float", "int", "len", "list", "max", "min", "range", "round", "set", "sorted", "str", "sum", "tuple"
}  # fmt: skip

#: Of what else the value of a constant may consist.
_PARTS = (
    ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.Constant, ast.Dict, ast.List, ast.Set, ast.Slice, ast.Starred,
    ast.Subscript, ast.Tuple, ast.UnaryOp, ast.boolop, ast.cmpop, ast.expr_context, ast.operator, ast.unaryop,
)  # fmt: skip


@dataclass(frozen=True)
class Definition:
    """A script that defines classes or functions which a pickle names.

    Attributes:
        module: The module that the pickle names, such as ``__main__``.
        path: The script or notebook.
        lines: The line of each name; for a notebook, the line within all of its code.
        code: The imports, classes, functions and constants of the script at their lines, without anything else that it
            does.
        left_out: Where the script computes each variable that is not a constant, in words.
    """

    module: str
    path: Path
    lines: dict[str, int]
    code: str
    left_out: dict[str, str]

    @property
    def script(self) -> dict[str, Any]:
        """The script in the form that a cell takes."""
        return {"module": self.module, "path": str(self.path), "code": self.code, "left_out": self.left_out}


def find_definitions(folder: Path, imports: Iterable[tuple[str, str]]) -> list[Definition]:
    """Return the scripts of a folder that define some classes or functions, at most one for each.

    Args:
        folder: The folder with the scripts.
        imports: The module and the name of each; the module is ``__main__``, or one that may not be installed.
    """
    missing: dict[str, set[str]] = {}
    for module, name in imports:
        missing.setdefault(module, set()).add(name)
    definitions = []
    for path, code in _scripts(folder):
        for module, names in missing.items():
            if names and (definition := _definition(module, path, code, names)):
                names.difference_update(definition.lines)
                definitions.append(definition)
    return definitions


def network_classes(folder: Path) -> list[tuple[str, str]]:
    """Return the classes of networks of torch in the scripts of a folder, each with the module ``__main__``."""
    classes = []
    for _, code in _scripts(folder):
        try:
            nodes = ast.parse(code).body
        except (SyntaxError, ValueError, RecursionError):
            continue
        defined = [node for node in nodes if isinstance(node, ast.ClassDef)]
        classes += [node.name for node in defined if any(ast.unparse(base).endswith("Module") for base in node.bases)]
    return [("__main__", name) for name in dict.fromkeys(classes)]


def _scripts(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in source_files(folder):
        if path.suffix not in (".py", ".ipynb") or path.stat().st_size > _MAX_BYTES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        yield path, text if path.suffix == ".py" else notebook_code(text)


def _definition(module: str, path: Path, code: str, names: set[str]) -> Definition | None:
    try:
        nodes = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError):
        return None
    lines = {node.name: node.lineno for node in nodes if isinstance(node, _DEFINING) and node.name in names}
    if not lines:
        return None
    constants: set[str] = set()
    kept = [node for node in nodes if _only_defines(node, constants)]
    others = [node for node in nodes if node not in kept]
    left_out = {name: place(str(path), line, code) for node in others for name, line in _assigned(node)}
    return Definition(module, path, lines, _text(kept, code), left_out)


def _only_defines(node: ast.stmt, constants: set[str]) -> bool:
    """Return whether a statement does nothing but import, define, or set constants, whose names are added."""
    if isinstance(node, (*_DEFINING, ast.Import, ast.ImportFrom, ast.Pass)):
        return True
    if isinstance(node, ast.Try):
        inner = [*node.body, *node.orelse, *node.finalbody, *(item for each in node.handlers for item in each.body)]
        return all(_only_defines(each, constants) for each in inner)
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not _is_constant(node.value, constants):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    constants.update(target.id for target in targets if isinstance(target, ast.Name))
    return all(isinstance(target, ast.Name) for target in targets)


def _is_constant(value: ast.expr | None, constants: set[str]) -> bool:
    """Return whether a value is a literal, or is computed of literals and of constants before it."""
    if value is None:
        return False
    called = {id(node.func): node.func for node in ast.walk(value) if isinstance(node, ast.Call)}
    if not all(isinstance(each, ast.Name) and each.id in _FUNCTIONS - constants for each in called.values()):
        return False
    return all(
        node.id in constants if isinstance(node, ast.Name) else isinstance(node, (*_PARTS, ast.keyword))
        for node in ast.walk(value)
        if id(node) not in called
    )


def _assigned(node: ast.stmt) -> Iterator[tuple[str, int]]:
    """Yield the variables that a statement sets, with their lines."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id, each.lineno


def _text(nodes: list[ast.stmt], code: str) -> str:
    """Return statements as a text in which each has the line that it has in the code; a notebook keeps its marks."""
    lines = code.split("\n")
    kept = [line if is_mark(line) else "" for line in lines]
    for node in nodes:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
        rows = lines[first : node.end_lineno]
        rows[-1] = rows[-1].encode()[: node.end_col_offset].decode()
        if first == node.lineno - 1:
            rows[0] = rows[0].encode()[node.col_offset :].decode()
        rows[0] = f"{kept[first]}; {rows[0]}" if kept[first] else rows[0]  # several statements of one line
        kept[first : first + len(rows)] = rows
    return "\n".join(kept).rstrip() + "\n"
