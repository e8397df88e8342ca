"""A YAML file as plain values, with the line number of every key."""

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

#: The maximum number of values in a file, each alias counted with all values that it stands for.
_MAX_VALUES = 100_000

#: The keys and list indices that lead to a value: ``("data", "ignore", 2)``.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlSource:
    """The content of a YAML file whose top level is a mapping.

    Attributes:
        path: The file.
        values: The content as dicts, lists and scalars.
        lines: The line number, from 1, of every key and list item by its path: ``("data", "target")`` to 4.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def location(self, path: KeyPath) -> str:
        """Return the file, line and name of a field: ``model.yaml:4: data.target``.

        If the file does not have the field, the line is that of the section that would contain it.
        """
        known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self.lines), ())
        return f"{self.path}:{self.lines.get(known, 1)}: {dotted(path)}"


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: ``data.ignore[2]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` if one of the known names is similar to ``name``, else an empty text."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def read_yaml(path: Path, absent: str = "", empty: str = "") -> YamlSource:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.
        absent: A hint for the error message if the file does not exist.
        empty: A hint for the error message if the file is empty.

    Raises:
        SpecError: if the file does not exist, is not UTF-8, is not YAML, is empty or is not a mapping, or if a key is
            repeated or is not text. The message has one line for each of these keys.
    """
    text = _read_text(path, absent)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(f"{path}:{line}: not valid YAML: a control character; remove it") from None
    try:
        node = loader.get_single_node()
        if node is None:
            raise SpecError(f"{path}: the file is empty{_hint(empty)}")
        if not isinstance(node, yaml.MappingNode):
            raise SpecError(f"{path}:1: expected `key: value` lines at the top level")
        _refuse_expansion(node, path)
        lines, faults = _walk(node)
        if faults:
            raise SpecError("\n".join(f"{path}:{line}: {fault}" for line, fault in faults))
        return YamlSource(path, loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        raise SpecError(f"{path}:{_line_number(error)}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()


def validation_messages(
    error: ValidationError, source: YamlSource, keys: Callable[[KeyPath], Iterable[str]]
) -> list[str]:
    """Translate pydantic's errors about a file into messages for the author of the file.

    Args:
        error: The errors; their paths are those of the file.
        source: The file.
        keys: Returns the valid keys below a path.

    Returns:
        One message per wrong field, in the order of the file. A field that may have several types has one message.
    """
    messages: dict[KeyPath, tuple[int, str]] = {}
    for detail in error.errors(include_url=False):
        path = _path_in_file(detail, source)
        location = source.location(path)
        line = int(location.removeprefix(f"{source.path}:").split(":", 1)[0])
        messages.setdefault(path, (line, f"{location.rstrip(': ')}: {_reason(detail, path, keys)}"))
    return [text for _, text in sorted(messages.values(), key=lambda message: message[0])]


_QUOTED = re.compile("'([^']*)'")

#: Messages by pydantic's type of error, for types whose own message would not help the author of a YAML file.
_REASONS = {
    "missing": "missing; it has no default",
    "string_pattern_mismatch": "expected lower-case letters and digits, with '.', '_' and '-' only between them",
    "model_type": "expected `key: value` lines",
    "dict_type": "expected `key: value` lines",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "string_type": "expected text; put it in quotes if it is a number, a date or a word such as yes or no",
}


def _path_in_file(detail: ErrorDetails, source: YamlSource) -> KeyPath:
    """Return the error's path without the types of a union, which pydantic adds and the file does not have."""
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


def _hint(text: str) -> str:
    return f"; {text}" if text else ""


def _refuse_expansion(root: yaml.Node, path: Path) -> None:
    """Refuse a document whose aliases expand to many values: a few lines can stand for billions.

    Raises:
        SpecError: if the document has more than ``_MAX_VALUES`` values.
    """
    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            counts[id(node)] = 1  # also of an alias that contains itself, which is reported later
            children = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
            counts[id(node)] += sum(map(count, children)) if not isinstance(node, yaml.ScalarNode) else 0
        return counts[id(node)]

    if count(root) > _MAX_VALUES:
        raise SpecError(f"{path}: the file has more than {_MAX_VALUES:,} values; write them out without aliases")


def _read_text(path: Path, absent: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise SpecError(f"{path}: expected a file, and not a folder, a device or a pipe")
        content = path.read_bytes()
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file{_hint(absent)}") from None
    except OSError as error:
        raise SpecError(f"{path}: the file cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{path}:{line}: the file is not UTF-8; save it with that encoding") from None


def _line_number(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _walk(root: yaml.Node) -> tuple[dict[KeyPath, int], list[tuple[int, str]]]:
    """Return the line of every path below ``root``, and the errors of its keys as (line, message)."""
    lines: dict[KeyPath, int] = {}
    faults: list[tuple[int, str]] = []
    ancestors: set[int] = set()

    def visit(node: yaml.Node, path: KeyPath) -> None:
        if id(node) in ancestors:
            faults.append((node.start_mark.line + 1, f"{dotted(path)}: an alias must not contain itself"))
            return
        ancestors.add(id(node))
        if isinstance(node, yaml.MappingNode):
            visit_mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[(*path, index)] = item.start_mark.line + 1
                visit(item, (*path, index))
        ancestors.discard(id(node))

    def visit_mapping(node: yaml.MappingNode, path: KeyPath) -> None:
        first_lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = dotted((*path, key.value)) if isinstance(key, yaml.ScalarNode) else dotted(path)
            if key.tag == "tag:yaml.org,2002:merge":
                faults.append((line, f"{name}: merge keys are not supported; write the fields out"))
                continue
            if key.tag != "tag:yaml.org,2002:str":
                faults.append((line, f"{name}: a key must be text; put it in quotes"))
                continue
            if key.value in first_lines:
                faults.append((line, f"{name}: the key is repeated, first on line {first_lines[key.value]}; keep one"))
            first_lines.setdefault(key.value, line)
            lines[(*path, key.value)] = line
            visit(value, (*path, key.value))

    visit(root, ())
    return lines, faults
