"""Where a line of a script or of a notebook is, in words."""

import re
from bisect import bisect_left
from functools import lru_cache
from pathlib import Path

_MARK = re.compile(r"# %% cell (\d+)$")


def mark(cell: int) -> str:
    """Return the comment in front of the code of a cell of a notebook, counted from 1."""
    return f"# %% cell {cell}"


def is_mark(line: str) -> bool:
    """Return whether a line is such a comment."""
    return _MARK.match(line) is not None


def place(path: str, line: int, code: str) -> str:
    """Return a line as ``train.py line 12``, or ``model.ipynb cell 3 line 4``.

    Args:
        path: The script, or the notebook.
        line: The line within its code, from 1.
        code: Its code; that of a notebook has a comment in front of each cell, see :func:`mark`.
    """
    lines, cells = _marks(code)
    before = bisect_left(lines, line)
    where = f"cell {cells[before - 1]} line {line - lines[before - 1]}" if before else f"line {line}"
    return f"{Path(path).name} {where}"


@lru_cache(maxsize=16)
def _marks(code: str) -> "tuple[list[int], list[str]]":
    """Return the lines of the comments in front of cells, and the numbers of the cells."""
    matches = [(line, _MARK.match(text)) for line, text in enumerate(code.split("\n"), 1)]
    marks = [(line, match.group(1)) for line, match in matches if match]
    return [line for line, _ in marks], [cell for _, cell in marks]
