"""The category that a text counts as: the one with the same normal form.

The steps of a normal form are ``trim`` (no white space at the ends), ``case`` (no difference between upper and lower
case: full case folding) and ``unicode`` (one form for characters that look alike: NFKC). Both together are the
compatibility caseless match of the Unicode Standard (section 3.13, D146).
"""

import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

#: A step of a normal form.
NormalizationStep = Literal["trim", "case", "unicode"]

_DIFFERENCES: Mapping[NormalizationStep, str] = {
    "trim": "spaces at its ends",
    "case": "upper and lower case",
    "unicode": "Unicode form (NFKC)",
}


def ignored_differences(steps: Collection[NormalizationStep]) -> str:
    """Return in words what does not count with these steps: "spaces at its ends or Unicode form (NFKC)"."""
    *others, last = (words for step, words in _DIFFERENCES.items() if step in steps)
    return f"{', '.join(others)} or {last}" if others else last


def normal_form(steps: Collection[NormalizationStep]) -> Callable[[str], str]:
    """Return the function that returns the normal form of a text."""
    if "trim" not in steps:
        return _fold(steps)
    fold = _fold(steps)
    # NFKC may write a character as a space and an accent, so that there is something to trim again.
    return lambda text: fold(text.strip()).strip()


def _fold(steps: Collection[NormalizationStep]) -> Callable[[str], str]:
    if "case" in steps:
        return _caseless if "unicode" in steps else str.casefold
    return _compatible if "unicode" in steps else str


def _compatible(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _caseless(text: str) -> str:
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())


class CategorySpelling:
    """Finds the category that a text counts as.

    Args:
        categories: The categories, in the spelling that the model knows.
        steps: The steps of the normal form.

    Raises:
        ValueError: if two categories have the same normal form.
    """

    def __init__(self, categories: Sequence[str], steps: Collection[NormalizationStep]) -> None:
        self._normal_form = normal_form(steps)
        self._trims = "trim" in steps
        self._categories = {category: category for category in categories}
        self._by_form: dict[str, str] = {}
        for category in self._categories:
            other = self._by_form.setdefault(self._normal_form(category), category)
            if other != category:
                raise ValueError(f"the categories '{other}' and '{category}' are the same after `normalize`; keep one")
        decomposed = (unicodedata.normalize("NFKD", form) for form in self._by_form)
        self._max_characters = max(map(len, decomposed), default=0)

    def __call__(self, text: str) -> str:
        """Return the category that a text counts as; another text unchanged.

        With the step ``trim``, a text of spaces counts as an empty text: it is returned as "".
        """
        if text in self._categories:
            return text
        trimmed = text.strip() if self._trims else text
        # A longer text has no such form: decomposition shortens no text. Normalizing takes quadratic time.
        if not trimmed or len(trimmed) > self._max_characters:
            return text if trimmed else ""
        return self._by_form.get(self._normal_form(trimmed), text)
