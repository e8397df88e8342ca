"""A fact about a model, with the place that states it."""

from dataclasses import dataclass
from typing import Any, Literal

#: ``bytes``: the files of the model. ``app``: the text of a program or a page. ``notebook``: its code.
Origin = Literal["bytes", "app", "notebook", "user", "unknown"]

#: What a statement is about. ``columns`` are in their order; ``labels`` are in the order of the model's classes.
Subject = Literal["columns", "labels", "threshold", "requirement", "width", "signature", "pixels"]


#: How many names a line lists.
_MAX_LISTED = 12


@dataclass(frozen=True)
class Statement:
    """A fact about a model.

    Attributes:
        subject: What it is about.
        value: A list of names for ``columns``; a list, or a dict from class to name, for ``labels``; a number for
            ``threshold``; a pinned package such as ``scikit-learn==1.3.2`` for ``requirement``; a dict with the keys of
            :class:`contract.source_runner.Pixels` for ``pixels``.
        origin: What kind of source says it.
        place: The file, and the line where there is one: ``app.py line 12``.
    """

    subject: Subject
    value: Any
    origin: Origin
    place: str

    @property
    def text(self) -> str:
        """The statement in a line: ``columns age, bmi``."""
        if isinstance(self.value, dict):
            items = [f"{key}: {item}" for key, item in self.value.items()]
        else:
            items = list(map(str, self.value)) if isinstance(self.value, list | tuple) else [str(self.value)]
        more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
        return f"{self.subject} {', '.join(items[:_MAX_LISTED])}{more}"
