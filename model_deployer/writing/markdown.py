"""Markdown (CommonMark with GitHub's tables) in which any text is shown literally."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

#: Characters that may begin an element within a line; an underscore between letters does not.
_MARKS = re.compile(r"[\\`*\[\]<>&~$]|(?<![^\W_])_|_(?![^\W_])")

#: Characters that may begin an element at the start of a line.
_STARTS = re.compile(r"^(?=[-+=#]+(?:\s|$))|^(\d+)(?=[.)](?:\s|$))")


class Markdown(str):
    """Text that is Markdown already; any other text is escaped."""

    __slots__ = ()


def markdown(value: Any) -> Markdown:
    """Return a value as Markdown on one line, with markup characters escaped."""
    if isinstance(value, Markdown):
        return value
    line = " ".join(str(value).replace("\0", "\ufffd").split())
    escaped = _MARKS.sub(lambda match: "\\" + match.group(), line)
    return Markdown(_STARTS.sub(lambda match: (match.group(1) or "") + "\\", escaped))


def code(value: str) -> Markdown:
    """Return a value in monospace; as a JSON string if some of its characters would not be visible."""
    text = value if value.isprintable() and value.strip() == value != "" else json.dumps(value)
    ticks = "`" * (_longest_run_of_backticks(text) + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return Markdown(f"{ticks}{padding}{text}{padding}{ticks}")


def join_list(values: Sequence[str], conjunction: str = "and") -> Markdown:
    """Return values as a list in a sentence: a, b and c."""
    parts = [markdown(value) for value in values]
    if len(parts) < 2:
        return Markdown("".join(parts))
    return Markdown(f"{', '.join(parts[:-1])} {conjunction} {parts[-1]}")


def join_sentences(*sentences: str) -> Markdown:
    """Return sentences as one paragraph, without empty ones."""
    return Markdown(" ".join(markdown(sentence) for sentence in sentences if sentence))


def code_block(content: str, language: str = "") -> Markdown:
    """Return a fenced block of code."""
    fence = "`" * max(3, _longest_run_of_backticks(content) + 1)
    return Markdown(f"{fence}{language}\n{content}\n{fence}")


def json_block(value: Any) -> Markdown:
    """Return a JSON document as a block of code."""
    return code_block(json.dumps(value, indent=2, ensure_ascii=False), "json")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    """Return a table without columns that are empty in every row; empty text if there are no rows."""
    body = [[_cell(cell) for cell in row] for row in rows]
    if not body:
        return Markdown()
    columns = [index for index in range(len(head)) if any(row[index] for row in body)]
    lines = [[_cell(head[index]) for index in columns], ["---"] * len(columns)]
    lines += [[row[index] for index in columns] for row in body]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def anchor(title: str) -> str:
    """Return the fragment of a link to a heading, as GitHub generates it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _cell(value: str) -> str:
    return markdown(value).replace("|", "\\|")


def _longest_run_of_backticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
