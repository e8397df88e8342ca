"""Normal forms of categories, and the categories that texts count as."""

import sys
import unicodedata
from collections.abc import Callable
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model_deployer.contract.category_spelling import CategorySpelling, NormalizationStep, normal_form
from model_deployer.contract.features import Categorical
from tests.support.spellings import TEXTS, variant_of

ALL: tuple[NormalizationStep, ...] = ("trim", "case", "unicode")
SUBSETS = list(chain.from_iterable(combinations(ALL, size) for size in range(4)))
STEPS = st.sampled_from(SUBSETS)


@given(STEPS, TEXTS)
def test_a_normal_form_is_its_own_normal_form(steps: tuple[NormalizationStep, ...], text: str) -> None:
    form = normal_form(steps)
    assert form(form(text)) == form(text)


@pytest.mark.parametrize("steps", SUBSETS, ids=", ".join)
def test_the_forms_of_all_characters_are_final(steps: tuple[NormalizationStep, ...]) -> None:
    form = normal_form(steps)
    assert [chr(code) for code in range(sys.maxunicode) if form(form(chr(code))) != form(chr(code))] == []


@given(STEPS, TEXTS, st.data())
def test_variants_have_one_normal_form(steps: tuple[NormalizationStep, ...], text: str, data: st.DataObject) -> None:
    form = normal_form(steps)
    assert form(data.draw(variant_of(text, steps))) == form(text)


@pytest.mark.parametrize(
    ("steps", "change"),
    [
        ("trim", lambda text: f" {text}"),
        ("case", str.upper),
        ("unicode", lambda text: unicodedata.normalize("NFD", text)),
    ],
)
def test_other_differences_count(steps: NormalizationStep, change: Callable[[str], str]) -> None:
    for other in ALL:
        spelling = CategorySpelling(["jürgen"], [other])
        assert (spelling(change("jürgen")) == "jürgen") is (other == steps)


@given(STEPS, st.lists(TEXTS, max_size=5), TEXTS)
def test_the_category_of_a_text_is_its_own_category(
    steps: tuple[NormalizationStep, ...], texts: list[str], text: str
) -> None:
    form = normal_form(steps)
    spelling = CategorySpelling(list({form(each): each for each in texts if form(each)}.values()), steps)
    assert spelling(spelling(text)) == spelling(text)
    assert spelling(text) in ("", text) or form(spelling(text)) == form(text)


@given(STEPS, TEXTS, st.data())
def test_a_category_is_recognized_in_all_variants(
    steps: tuple[NormalizationStep, ...], category: str, data: st.DataObject
) -> None:
    if not normal_form(steps)(category):
        return
    assert CategorySpelling([category], steps)(data.draw(variant_of(category, steps))) == category


def test_long_texts_are_not_normalized() -> None:
    """Sorting many accents takes quadratic time; no category is that long."""
    text = "\u0316\u0301" * 500_000
    assert CategorySpelling(["JFK"], ALL)(text) is text


def test_ambiguous_categories_are_refused() -> None:
    with pytest.raises(ValidationError, match="'JFK' and 'jfk' are the same after `normalize`; keep one"):
        Categorical(name="x", categories=("JFK", "jfk"), normalize=("case",))
    with pytest.raises(ValidationError, match="`normalize` needs the list of `categories`"):
        Categorical(name="x", normalize=("case",))


def test_the_contract_describes_it() -> None:
    feature = Categorical(name="x", categories=("JFK",), normalize=("trim", "case"))
    assert Categorical.model_validate(feature.model_dump(mode="json")) == feature
    assert feature.json_schema()["description"].endswith(
        "A value that differs from a known value only by spaces at its ends or upper and lower case counts as that "
        "value."
    )
