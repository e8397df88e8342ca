"""Texts that are hard to compare, and spellings of a text that count as the same."""

import unicodedata
from collections.abc import Collection

from hypothesis import strategies as st

from model_deployer.contract.category_spelling import NormalizationStep

#: Texts with accents, ligatures, wide characters, and letters whose upper case has more characters.
TEXTS = st.text(
    st.sampled_from(
        "aAz1\u00df\u0130\u0131\u017f\u01c5\u0345\u0390\u03ac\u03a3\u03c2\ufb01\u00e9e\u0301\u00e9"
        "\uff21\uff76\uff9e\u2163\u00a8 \u3000\u00a0\t"
    )
    | st.characters(codec="utf-8"),
    max_size=8,
)

_SPACES = st.text(st.sampled_from(" \t\n\u00a0\u2003\u3000"), max_size=3)


def variant_of(text: str, steps: Collection[NormalizationStep]) -> st.SearchStrategy[str]:
    """Return spellings of a text that differ only by what the steps of a normal form ignore."""
    variants = st.just(text)
    if "unicode" in steps:
        forms = st.sampled_from(("NFC", "NFD", "NFKC", "NFKD"))
        variants = st.builds(lambda form: unicodedata.normalize(form, text), forms)
    if "case" in steps:
        changes = st.sampled_from((str, str.casefold) if not text.isascii() else (str, str.lower, str.upper, str.title))
        variants = st.builds(lambda change, variant: change(variant), changes, variants)
    return st.builds("{}{}{}".format, _SPACES, variants, _SPACES) if "trim" in steps else variants
