"""A YAML file as plain values that still know the line they stand on."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from model_deployer.contract.errors import SpecError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlSource:
    """The mapping that a YAML file holds.

    Attributes:
        path: The file.
        values: Its content as dicts, lists and scalars.
        lines: The line, counted from 1, of every key and list item by its path: ``("data", "target")`` to 4.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """Where a field stands, or would stand: ``model.yaml:4: data.target``."""
        known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self.lines), ())
        return f"{self.path}:{self.lines.get(known, 1)}: {dotted(path)}"


def dotted(path: KeyPath) -> str:
    """A path as people write it: ``data.ignore[2]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` when one of the known names is close to ``name``, else nothing."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def read_yaml(path: Path, absent: str = "", empty: str = "") -> YamlSource:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.
        absent: What to do where there is no such file.
        empty: What the file needs where it is empty.

    Raises:
        SpecError: There is no such file, it is not UTF-8 or not YAML, it is empty or no mapping, a key stands twice or
            is no text. All keys at fault are named at once, a line each.
    """
    text = _text(path, absent)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(f"{path}:{line}: not valid YAML: a control character; remove it") from None
    try:
        node = loader.get_single_node()
        if node is None:
            raise SpecError(f"{path}: the file is empty{_also(empty)}")
        if not isinstance(node, yaml.MappingNode):
            raise SpecError(f"{path}:1: expected `key: value` lines at the top level")
        lines, faults = _walk(node)
        if faults:
            raise SpecError("\n".join(f"{path}:{line}: {fault}" for line, fault in faults))
        return YamlSource(path, loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        raise SpecError(f"{path}:{_line(error)}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()


def validation_messages(
    error: ValidationError, source: YamlSource, keys: Callable[[KeyPath], Iterable[str]]
) -> list[str]:
    """What pydantic found wrong in a file, in words for its author.

    Args:
        error: Its paths are those of the file.
        source: The file.
        keys: The keys that are legal below a path.

    Returns:
        One line a field at fault, sorted by the line of the file; a field of several types is named once.
    """
    found: dict[KeyPath, tuple[int, str]] = {}
    for detail in error.errors(include_url=False):
        path = _path_in_file(detail, source)
        place = source.place(path)
        line = int(place.removeprefix(f"{source.path}:").split(":", 1)[0])
        found.setdefault(path, (line, f"{place.rstrip(': ')}: {_reason(detail, path, keys)}"))
    return [text for _, text in sorted(found.values(), key=lambda complaint: complaint[0])]


_QUOTED = re.compile("'([^']*)'")

#: By pydantic's type of error, where its own words would not help the author of a YAML file.
_REASONS = {
    "missing": "missing; it has no default",
    "string_pattern_mismatch": "expected lower-case letters, digits, '.', '_' and '-', with no sign at either end",
    "model_type": "expected `key: value` lines",
    "dict_type": "expected `key: value` lines",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "string_type": "expected text; put it in quotes if it is a number, a date or a word such as yes or no",
}


def _path_in_file(detail: ErrorDetails, source: YamlSource) -> KeyPath:
    """The error's path without the types of a union, which pydantic appends and the file does not have."""
    path: KeyPath = detail["loc"]
    if detail["type"] == "missing":
        return path
    return next((path[:end] for end in range(len(path), 0, -1) if path[:end] in source.lines), ())


def _reason(detail: ErrorDetails, path: KeyPath, keys: Callable[[KeyPath], Iterable[str]]) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"unknown key{suggestion(str(path[-1]), keys(path[:-1]))}"
    if kind == "literal_error":
        expected = str(detail["ctx"]["expected"])
        return f"expected {expected}{suggestion(str(detail['input']), _QUOTED.findall(expected))}"
    if kind in _REASONS:
        return _REASONS[kind]
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return message[:1].lower() + message[1:]


def _also(hint: str) -> str:
    return f"; {hint}" if hint else ""


def _text(path: Path, absent: str) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file{_also(absent)}") from None
    except OSError as error:
        raise SpecError(f"{path}: the file cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{path}:{line}: the file is not UTF-8; save it with that encoding") from None


def _line(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _walk(root: yaml.Node) -> tuple[dict[KeyPath, int], list[tuple[int, str]]]:
    """The line of every path below ``root``, and the faults of its keys as (line, message)."""
    lines: dict[KeyPath, int] = {}
    faults: list[tuple[int, str]] = []
    above: set[int] = set()

    def visit(node: yaml.Node, path: KeyPath) -> None:
        if id(node) in above:
            faults.append((node.start_mark.line + 1, f"{dotted(path)}: an alias must not contain itself"))
            return
        above.add(id(node))
        if isinstance(node, yaml.MappingNode):
            visit_mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[(*path, index)] = item.start_mark.line + 1
                visit(item, (*path, index))
        above.discard(id(node))

    def visit_mapping(node: yaml.MappingNode, path: KeyPath) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            where = dotted((*path, key.value)) if isinstance(key, yaml.ScalarNode) else dotted(path)
            if key.tag == "tag:yaml.org,2002:merge":
                faults.append((line, f"{where}: merge keys are not read; write the fields out"))
                continue
            if key.tag != "tag:yaml.org,2002:str":
                faults.append((line, f"{where}: a key must be text; put it in quotes"))
                continue
            if key.value in seen:
                faults.append((line, f"{where}: the key stands twice, first on line {seen[key.value]}; keep one"))
            seen.setdefault(key.value, line)
            lines[(*path, key.value)] = line
            visit(value, (*path, key.value))

    visit(root, ())
    return lines, faults
