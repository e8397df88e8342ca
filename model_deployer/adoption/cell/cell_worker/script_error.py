"""Where in the code of a team an error comes from, and which variable it lacks."""

import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .place import place

_VARIABLE = re.compile(r"name '(?P<name>\w+)' is not defined")


class Scripts:
    """The code of a team that a process has run.

    Args:
        definitions: The parts of scripts that :func:`loading.define` takes; ``left_out`` says where a script computes
            each variable that is not among them.
        folders: The folders of scripts that ran as a whole.
    """

    def __init__(self, definitions: "list[dict[str, Any]]", folders: "list[str]") -> None:
        self._codes = {item["path"]: item["code"] for item in definitions}
        self._left_out = {item["path"]: item.get("left_out") or {} for item in definitions}
        self._folders = folders

    def described(self, error: BaseException) -> "dict[str, Any]":
        """Return what is known of an error.

        Returns:
            ``place``, the line of the team's code that raised it, or a cause of it; nothing for an error of a library.
            If this line lacks a variable, ``variable``, its name; ``is_part``, whether only parts of the script ran;
            and ``left_out``, where the script computes it, or None.
        """
        described: dict[str, Any] = {}
        for each in _chain(error):
            frames = [frame for frame in traceback.extract_tb(each.__traceback__) if self._is_of_team(frame.filename)]
            if not frames:
                continue
            path, line = frames[-1].filename, frames[-1].lineno or 0
            described["place"] = place(path, line, self._codes.get(path, ""))
            match = _VARIABLE.match(str(each)) if type(each) is NameError else None
            if match:
                described.update(variable=match.group("name"), is_part=path in self._codes)
                described["left_out"] = self._left_out.get(path, {}).get(match.group("name"))
        return described

    def _is_of_team(self, path: str) -> bool:
        return path in self._codes or any(str(folder) in map(str, Path(path).parents) for folder in self._folders)


def _chain(error: "BaseException | None") -> "Iterator[BaseException]":
    """Yield an error, and then its causes."""
    while error is not None:
        yield error
        error = error.__cause__
