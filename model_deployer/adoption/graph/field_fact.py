"""What a model accepts of a raw field: categories, missing values, a range."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class FieldFact:
    """What the parts of a model that read a raw field accept.

    A graph answers any value. A library raises an error for some values: the contract of the model refuses these.

    Attributes:
        categories: The values that some part of the model treats as a category, in the order of the first one.
        accepted: The values that no part of the model refuses; None if every value is accepted. A missing one is not
            in it.
        accepts_missing: Whether no part of the model refuses a missing value.
        missing_forms: How the source has to get a missing text so that it treats it as the graph does: "None", "NaN",
            or "" for the text without characters; empty if any form will do.
        is_free_text: Whether some part of the model reads words from the text.
        lower: The smallest value that no part of the model refuses.
        upper: The largest value that no part of the model refuses.
    """

    categories: dict[str | float, None] = field(default_factory=dict)
    accepted: set[str | float] | None = None
    accepts_missing: bool = True
    missing_forms: set[str] = field(default_factory=set)
    is_free_text: bool = False
    lower: float | None = None
    upper: float | None = None

    def add_categories(self, values: Iterable[str | float], refuses_others: bool) -> None:
        """Remember categories, and whether a value that is none of them is refused."""
        known = list(values)
        self.categories.update(dict.fromkeys(known))
        if refuses_others:
            self.accepted = set(known) if self.accepted is None else self.accepted & set(known)

    def restrict(self, lower: float | None, upper: float | None) -> None:
        """Remember that values out of a range are refused; None does not limit."""
        self.lower = lower if self.lower is None or (lower is not None and lower > self.lower) else self.lower
        self.upper = upper if self.upper is None or (upper is not None and upper < self.upper) else self.upper
