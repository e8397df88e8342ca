from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.artifact import open_artifact
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.features import (
    Categorical,
    Feature,
    Image,
    Integer,
    NumberSequence,
    Numeric,
    Tensor,
    Text,
    Vector,
)
from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput
from model_deployer.contract.versions import (
    FIRST_VERSION,
    Change,
    Step,
    Version,
    compare,
    moved_step,
    next_version,
    version_step,
)
from tests.support import tiny

NUMBERS = st.integers(min_value=0, max_value=10**6)
VERSIONS = st.builds(Version, NUMBERS, NUMBERS, NUMBERS)

RANGED = Numeric(name="x", minimum=0, maximum=10, out_of_range="reject")
OPTIONAL = Numeric(name="x", required=False, missing="impute")
CLOSED = Categorical(name="x", categories=("a", "b"), unknown="reject")
NORMALIZED = Categorical(name="x", categories=("A", "b"), unknown="reject", normalize=("case",))


PHOTO = Image(name="x", height=8, width=8)


def contract(*features: Feature, **changes: Any) -> Contract:
    return Contract(features=(Integer(name="id"), *features), output=tiny.CONTRACT.output, **changes)


@given(VERSIONS)
def test_a_version_survives_its_text(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(VERSIONS, st.sampled_from(Step))
def test_the_next_version_lies_above(version: Version, step: Step) -> None:
    assert version.next(step) > version


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1.2.-3", "1.2.٣", "latest"])
def test_other_texts_are_no_versions(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        Version.parse(text)


def test_the_first_version_is_one() -> None:
    assert next_version(None, tiny.CONTRACT) == FIRST_VERSION == Version(1, 0, 0)


def tensor(*dimensions: int | tuple[int, int]) -> Tensor:
    return Tensor(name="x", dimensions=dimensions)


@pytest.mark.parametrize(
    ("old", "new", "step"),
    [
        (contract(), contract(), Step.PATCH),
        (contract(RANGED), contract(), Step.MAJOR),
        (contract(), contract(RANGED), Step.MAJOR),
        (contract(), contract(OPTIONAL), Step.MINOR),
        (contract(Numeric(name="x")), contract(Integer(name="x")), Step.MAJOR),
        (contract(Numeric(name="x")), contract(OPTIONAL), Step.MINOR),
        (contract(OPTIONAL), contract(Numeric(name="x")), Step.MAJOR),
        (contract(CLOSED), contract(NORMALIZED), Step.MINOR),
        (contract(NORMALIZED), contract(CLOSED), Step.MAJOR),
        (contract(Vector(name="x", length=2)), contract(Vector(name="x", length=2)), Step.PATCH),
        (contract(PHOTO), contract(PHOTO), Step.PATCH),
        (contract(NumberSequence(name="x", longest=2)), contract(NumberSequence(name="x", longest=3)), Step.MINOR),
        (contract(NumberSequence(name="x", longest=3)), contract(NumberSequence(name="x", longest=2)), Step.MAJOR),
        (contract(NumberSequence(name="x", longest=2)), contract(Vector(name="x", length=2)), Step.MAJOR),
        (contract(PHOTO), contract(PHOTO.model_copy(update={"resize": True})), Step.MINOR),
        (contract(PHOTO.model_copy(update={"resize": True})), contract(PHOTO), Step.MAJOR),
        (contract(PHOTO), contract(PHOTO.model_copy(update={"height": 9})), Step.MAJOR),
        (contract(Vector(name="x", length=2)), contract(Vector(name="x", length=3)), Step.MAJOR),
        (contract(Vector(name="x", length=2, minimum=0)), contract(Vector(name="x", length=2)), Step.MINOR),
        (contract(Vector(name="x", length=2)), contract(Vector(name="x", length=2, integers=True)), Step.MAJOR),
        (contract(tensor((1, 5), 3)), contract(tensor((1, 5), 3)), Step.PATCH),
        (contract(tensor((1, 5), 3)), contract(tensor((1, 6), 3)), Step.MINOR),
        (contract(tensor((2, 5), 3)), contract(tensor(2, 3)), Step.MAJOR),
        (contract(tensor((1, 5), 3)), contract(tensor((1, 5), 4)), Step.MAJOR),
        (contract(tensor(5, 3)), contract(tensor(5, 3, 1)), Step.MAJOR),
        (contract(tensor(5, 3)), contract(Vector(name="x", length=15)), Step.MAJOR),
        (contract(NORMALIZED), contract(NORMALIZED.model_copy(update={"normalize": ("trim", "case")})), Step.MINOR),
        (contract(NORMALIZED), contract(NORMALIZED.model_copy(update={"categories": ("a",)})), Step.MAJOR),
        (contract(RANGED), contract(RANGED.model_copy(update={"maximum": 9})), Step.MAJOR),
        (contract(RANGED), contract(RANGED.model_copy(update={"maximum": 11})), Step.MINOR),
        (contract(RANGED), contract(RANGED.model_copy(update={"maximum": 11, "minimum": 1})), Step.MAJOR),
        (contract(RANGED), contract(RANGED.model_copy(update={"out_of_range": "clamp"})), Step.MINOR),
        (contract(Numeric(name="x", minimum=0)), contract(Numeric(name="x", minimum=5)), Step.PATCH),
        (contract(RANGED), contract(RANGED.model_copy(update={"unit": "km"})), Step.MAJOR),
        (contract(CLOSED), contract(CLOSED.model_copy(update={"categories": ("a",)})), Step.MAJOR),
        (contract(CLOSED), contract(CLOSED.model_copy(update={"categories": ("a", "b", "c")})), Step.MINOR),
        (contract(CLOSED), contract(CLOSED.model_copy(update={"unknown": "accept"})), Step.MINOR),
        (contract(Text(name="x", longest=9)), contract(Text(name="x", longest=8)), Step.MAJOR),
        (contract(), contract(limits=Limits(rows=5)), Step.MAJOR),
    ],
)
def test_a_change_asks_for_its_step(old: Contract, new: Contract, step: Step) -> None:
    assert version_step(compare(old, new)) is step


@given(st.lists(st.sampled_from(Step)), st.booleans())
def test_the_largest_step_wins(steps: list[Step], moved: bool) -> None:
    changes = [Change(step, None, "changed") for step in steps]
    behaviour = Step.MINOR if moved else Step.PATCH
    assert version_step(changes, behaviour) == max([*steps, behaviour])


@pytest.mark.parametrize(
    ("added", "moved", "expected"),
    [
        ((), False, "1.2.4"),
        ((), True, "1.3.0"),
        ((OPTIONAL,), False, "1.3.0"),
        ((OPTIONAL,), True, "1.3.0"),
        ((RANGED,), True, "2.0.0"),
    ],
)
def test_the_next_version_follows_from_contract_and_behaviour(
    tmp_path: Path, added: tuple[Feature, ...], moved: bool, expected: str
) -> None:
    tiny.write(tmp_path, version="1.2.3")
    new = tiny.CONTRACT.model_copy(update={"features": (*tiny.FEATURES, *added)})
    assert str(next_version(open_artifact(tmp_path), new, moved)) == expected


def test_a_changed_limit_is_told_to_the_last_digit() -> None:
    (change,) = compare(contract(), contract(limits=Limits(body_bytes=16_777_215)))
    assert "from 16777216 to 16777215" in change.message


def test_a_moved_threshold_is_told_in_figures() -> None:
    output = Classification(target="arrival", labels=("late", "on_time"), positive="on_time", threshold=0.3)
    (change,) = compare(tiny.CONTRACT, tiny.CONTRACT.model_copy(update={"output": output}))
    assert change.step is Step.MAJOR
    assert "0.5 to 0.3" in change.message


def test_sets_change_the_output_and_their_threshold_does_not() -> None:
    """Adding or removing prediction sets is another output; another threshold of the sets is not."""
    without = Classification(target="y", labels=("a", "b", "c"))
    low, high = (without.model_copy(update={"set_threshold": threshold}) for threshold in (0.1, 0.2))

    def changes(old: Classification, new: Classification) -> list[Change]:
        contracts = [Contract(features=tiny.FEATURES, output=output) for output in (old, new)]
        return compare(*contracts)

    assert changes(low, high) == []
    assert [(change.step, change.message) for change in changes(without, low)] == [
        (Step.MAJOR, "predictions now have a `set` of labels")
    ]
    assert [change.message for change in changes(low, without)] == ["predictions no longer have a `set` of labels"]
    assert version_step(changes(low, low.model_copy(update={"coverage": 0.8}))) is Step.MAJOR
    assert version_step(changes(low, high.model_copy(update={"labels": ("a", "b", "d")}))) is Step.MAJOR


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (Regression(target="y"), Regression(target="y", count=True), "the task changed from regression to count"),
        (Regression(target="y", count=True), Regression(target="y", quantile=0.5), "from count to quantile"),
        (
            Regression(target="y", quantile=0.5),
            Regression(target="y", quantile=0.9),
            "the quantile changed from 0.5 to 0.9",
        ),
        (Regression(target="y"), tiny.CONTRACT.output, "the task changed from regression to classification"),
        (Regression(target="y"), Regression(target="y", unit="km"), "unit, coverage or quantile changed"),
    ],
)
def test_another_output_is_another_major_version(old: Output, new: Output, message: str) -> None:
    (change,) = compare(*(tiny.CONTRACT.model_copy(update={"output": output}) for output in (old, new)))
    assert change.step is Step.MAJOR
    assert message in change.message


EMBEDDING = VectorOutput(target="embedding", length=3)
TARGETS = VectorOutput(target="a and b", names=("a", "b"), units=("cm", "kg"), length=2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (EMBEDDING, EMBEDDING.model_copy(update={"length": 4}), "the embedding has 4 numbers, and no longer 3"),
        (
            TARGETS,
            TARGETS.model_copy(update={"names": ("b", "a")}),
            "the targets are now b, a, and no longer a, b",
        ),
        (TARGETS, TARGETS.model_copy(update={"units": ("m", "kg")}), "the unit of a changed"),
    ],
    ids=["length", "order", "unit"],
)
def test_other_numbers_are_a_major_step(old: Output, new: Output, message: str) -> None:
    changes = compare(*(Contract(features=tiny.FEATURES, output=output) for output in (old, new)))
    assert [(change.step, change.message) for change in changes] == [(Step.MAJOR, message)]


def test_an_embedding_that_moved_is_a_major_step() -> None:
    """Callers have stored vectors, which cannot be compared with those of the new version."""
    assert moved_step(EMBEDDING, moved=True) is Step.MAJOR
    assert moved_step(TARGETS, moved=True) is Step.MINOR
    assert moved_step(EMBEDDING, moved=False) is Step.PATCH
