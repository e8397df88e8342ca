"""The inputs and the output of a model, as its source describes them."""

from dataclasses import dataclass
from typing import Literal

from model_deployer.contract.features import Dimensions

#: How a model reads a column: as numbers, with NaN for a missing one; or as texts, with "" for a missing one.
Kind = Literal["number", "text"]


@dataclass(frozen=True)
class SourceField:
    """One input of a model.

    Attributes:
        name: The name of the column.
        kind: Whether the model reads it as a number or as a text; None if the source does not say it.
        categories: The values that the model knows, as text; None if it does not list them.
        refuses_unknown: Whether the source raises an error for another value than the categories.
        refuses_missing: Whether the source raises an error for a missing value.
        is_free_text: Whether the model reads words from the text.
        is_whole: Whether the model takes whole numbers only.
        length: For a vector, the number of its numbers; None for a single value.
        dimensions: For a tensor, the size of each axis, or the smallest and the largest one; None for another field.
        image: For an image, its height, width and channels; None for another field.
        sequence: For a sequence, its smallest and largest number of numbers; None for another field.
        minimum: The smallest number that the source does not refuse; None without a limit.
        maximum: The largest number that the source does not refuse; None without a limit.
    """

    name: str
    kind: Kind | None = None
    categories: tuple[str, ...] | None = None
    refuses_unknown: bool = False
    refuses_missing: bool = False
    is_free_text: bool = False
    is_whole: bool = False
    length: int | None = None
    dimensions: Dimensions | None = None
    image: tuple[int, int, int] | None = None
    sequence: tuple[int, int] | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Interface:
    """The inputs and the output of a model.

    Attributes:
        fields: The inputs, in the order of the source.
        labels: The classes as text, in the order of the source; None for a quantity.
        threshold: With two labels, the source decides for the second one if its probability is above this.
        numbers: Without labels, how many numbers the source gives for each row; None if it does not say it.
    """

    fields: tuple[SourceField, ...]
    labels: tuple[str, ...] | None
    threshold: float = 0.5
    numbers: int | None = None


def label_text(label: object) -> str:
    """Return a class of a source as the text that a contract has: ``1`` for 1, 1.0 and numpy's 1; ``true`` for True."""
    value = label.item() if hasattr(label, "item") else label
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
