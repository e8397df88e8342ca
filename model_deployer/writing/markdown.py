"""Markdown (CommonMark and the tables of GitHub) that says what a text says, whatever the text holds."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

#: What may begin an element within a line; an underscore between letters begins none.
_MARKS = re.compile(r"[\\`*\[\]<>&~$]|(?<![^\W_])_|_(?![^\W_])")

#: What may begin an element at the start of a line.
_STARTS = re.compile(r"^(?=[-+=#]+(?:\s|$))|^(\d+)(?=[.)](?:\s|$))")


class Markdown(str):
    """Text that is Markdown; all other text is escaped."""

    __slots__ = ()


def markdown(value: Any) -> Markdown:
    """A value as Markdown: nothing of it is read as markup, and it stays in its line."""
    if isinstance(value, Markdown):
        return value
    line = " ".join(str(value).replace("\0", "\ufffd").split())
    escaped = _MARKS.sub(lambda found: "\\" + found.group(), line)
    return Markdown(_STARTS.sub(lambda found: (found.group(1) or "") + "\\", escaped))


def code(value: str) -> Markdown:
    """A value as it is sent, in monospace; as a JSON string where it would not be seen as it is."""
    shown = value if value.isprintable() and value.strip() == value != "" else json.dumps(value)
    ticks = "`" * (_longest_run(shown) + 1)
    padding = " " if shown.startswith("`") or shown.endswith("`") else ""
    return Markdown(f"{ticks}{padding}{shown}{padding}{ticks}")


def listed(values: Sequence[str], last: str = "and") -> Markdown:
    """Values as people list them: a, b and c."""
    parts = [markdown(value) for value in values]
    if len(parts) < 2:
        return Markdown("".join(parts))
    return Markdown(f"{', '.join(parts[:-1])} {last} {parts[-1]}")


def joined(*sentences: str) -> Markdown:
    """Sentences one after the other; empty ones are left out."""
    return Markdown(" ".join(markdown(sentence) for sentence in sentences if sentence))


def block(content: str, language: str = "") -> Markdown:
    """A block of code."""
    fence = "`" * max(3, _longest_run(content) + 1)
    return Markdown(f"{fence}{language}\n{content}\n{fence}")


def document(value: Any) -> Markdown:
    """A JSON document as a block of code."""
    return block(json.dumps(value, indent=2, ensure_ascii=False), "json")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    """A table; a column that is empty in every row is left out, and a table without rows is nothing."""
    body = [[_cell(cell) for cell in row] for row in rows]
    if not body:
        return Markdown()
    kept = [index for index in range(len(head)) if any(row[index] for row in body)]
    lines = [[_cell(head[index]) for index in kept], ["---"] * len(kept)]
    lines += [[row[index] for index in kept] for row in body]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def anchor(title: str) -> str:
    """What a link to a heading ends with, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _cell(value: str) -> str:
    return markdown(value).replace("|", "\\|")


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
