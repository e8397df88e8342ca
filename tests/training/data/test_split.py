from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import DataError
from model_deployer.training.data.split import Parts, nested_order, split
from model_deployer.training.data.target import Target, read_target
from model_deployer.training.spec import Spec

START = datetime(2013, 1, 1)


def parts_of(frame: pl.DataFrame, data: dict[str, Any] | None = None, **keys: Any) -> Parts:
    data = {"path": "t", "target": "y", **(data or {})}
    spec = Spec.model_validate({"name": "m", "data": data, **keys})
    return split(frame, read_target(frame, spec), spec)


def sizes(parts: Parts) -> tuple[int, int, int]:
    return len(parts.train), len(parts.validation), len(parts.test)


def assert_partition(parts: Parts, rows: int) -> None:
    all_rows = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(all_rows.tolist()) == list(range(rows))
    assert all((np.diff(part) > 0).all() for part in (parts.train, parts.validation, parts.test))


def test_a_quantity_is_split_at_random_and_the_seed_decides() -> None:
    frame = pl.DataFrame({"y": np.arange(100.0)})
    parts = parts_of(frame)
    assert_partition(parts, 100)
    assert sizes(parts) == (70, 15, 15)
    assert parts.test.tolist() == parts_of(frame).test.tolist()
    assert parts.test.tolist() != parts_of(frame, seed=1).test.tolist()


def test_every_class_has_its_share_of_every_part() -> None:
    classes = np.array(["rare"] * 20 + ["common"] * 180 + ["single"])
    parts = parts_of(pl.DataFrame({"y": classes}), split={"validation": 0.2, "test": 0.1})
    assert_partition(parts, 201)
    assert (classes[parts.validation] == "rare").sum() == 4
    assert (classes[parts.test] == "rare").sum() == 2
    assert "single" in classes[parts.train]


@given(st.lists(st.integers(0, 9), min_size=30, max_size=200), st.integers(0, 99))
def test_no_group_is_in_two_parts(groups: list[int], seed: int) -> None:
    frame = pl.DataFrame({"who": groups, "y": np.arange(len(groups), dtype=float)})
    if len(set(groups)) < 3:
        return
    parts = parts_of(frame, {"group": "who"}, seed=seed)
    assert_partition(parts, len(groups))
    train, validation, test = (
        set(np.array(groups)[part].tolist()) for part in (parts.train, parts.validation, parts.test)
    )
    assert not (train & validation or train & test or validation & test)


def test_a_large_group_is_for_training() -> None:
    frame = pl.DataFrame({"who": ["big"] * 80 + [f"small {number}" for number in range(20)], "y": np.arange(100.0)})
    for seed in range(5):
        assert parts_of(frame, {"group": "who"}, seed=seed).train.tolist()[:80] == list(range(80))


@given(st.lists(st.integers(0, 1000), min_size=40, max_size=300))
def test_split_by_time_keeps_instants_together(hours: list[int]) -> None:
    """The test part is the latest, and all rows of one instant are in one part."""
    when = [START + timedelta(hours=hour) for hour in hours]
    frame = pl.DataFrame({"when": when, "y": np.arange(len(hours), dtype=float)})
    try:
        parts = parts_of(frame, {"time": "when"})
    except DataError as error:
        assert str(error).startswith("split: split by time: the ")
        assert " part has no rows; " in str(error)
        return
    assert_partition(parts, len(hours))
    hour = np.array(hours)
    assert hour[parts.train].max() < hour[parts.validation].min()
    assert hour[parts.validation].max() < hour[parts.test].min()


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_a_date_begins_its_part_in_the_zone_of_the_column(zone: str | None) -> None:
    days = pl.datetime_range(START, datetime(2013, 12, 31), "1d", time_zone=zone, eager=True)
    frame = pl.DataFrame({"when": days, "y": np.arange(365.0)})
    parts = parts_of(frame, {"time": "when"}, split={"validation": "2013-10-01", "test": "2013-11-01"})
    assert sizes(parts) == (273, 31, 61)


def test_dates_and_columns_that_do_not_match() -> None:
    dates = {"validation": "2013-10-01T00:00:00Z", "test": "2013-11-01T00:00:00Z"}
    frame = pl.DataFrame({"when": [START, START], "year": [2012, 2013], "y": [0.5, 1.5]})
    with pytest.raises(DataError, match="must not have an offset"):
        parts_of(frame, {"time": "when"}, split=dates)
    with pytest.raises(DataError, match="as shares, not dates"):
        parts_of(frame, {"time": "year"}, split=dates)


def test_a_number_can_be_the_time() -> None:
    frame = pl.DataFrame({"year": np.arange(1900, 2000), "y": np.arange(100.0)})
    assert parts_of(frame, {"time": "year"}).test.tolist() == list(range(85, 100))


def test_times_as_strings_with_an_offset() -> None:
    when = [(START + timedelta(days=day)).replace(tzinfo=UTC).isoformat() for day in range(20)]
    parts = parts_of(pl.DataFrame({"when": when, "y": np.arange(20.0)}), {"time": "when"})
    assert sizes(parts) == (14, 3, 3)


@pytest.mark.parametrize(
    ("columns", "data", "complaint"),
    [
        ({"y": [0.5, 1.5]}, {}, "random split: the validation part has no rows"),
        ({"y": ["a", "b", "a", "b"]}, {}, "stratified split: the validation part has no rows"),
        (
            {"y": [0.5, 1.5], "who": ["a", "a"]},
            {"group": "who"},
            "split by group: the validation part has no rows; use a table with more groups",
        ),
        ({"y": [0.5, 1.5], "who": ["a", None]}, {"group": "who"}, "data.group: 'who' is missing in 1 rows"),
        (
            {"y": [0.5, 1.5], "when": [START, None]},
            {"time": "when"},
            "data.time: 'when' is missing or not a time in 1 rows",
        ),
        (
            {"y": [0.5, 1.5], "when": ["a", "b"]},
            {"time": "when"},
            "data.time: 'when' is missing or not a time in 2 rows",
        ),
        (
            {"y": list("aaaaaaaaab"), "when": range(10)},
            {"time": "when"},
            "split by time: the training part has no row of 'b'",
        ),
    ],
)
def test_a_split_that_cannot_be(columns: dict[str, Any], data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        parts_of(pl.DataFrame(columns), data)
    assert complaint in str(caught.value)


def test_there_is_nothing_to_stratify_a_quantity_by() -> None:
    with pytest.raises(DataError, match=r"split\.method: a stratified split needs classes; use `random`"):
        parts_of(pl.DataFrame({"y": np.arange(100.0)}), split={"method": "stratified"})


def test_model_yaml_overrules_the_target_on_the_method() -> None:
    """The target decides the method only where model.yaml does not."""
    spec = Spec.model_validate({"name": "m", "data": {"path": "t", "target": "y"}, "split": {"method": "random"}})
    target = Target(np.array([0] * 50 + [1] * 50), ("a", "b"))
    assert sizes(split(pl.DataFrame({"y": target.values}), target, spec)) == (70, 15, 15)


def test_every_part_needs_weight() -> None:
    frame = pl.DataFrame({"y": [0, 1] * 50, "when": range(100), "w": [1] * 80 + [0] * 20})
    data = {"path": "t", "target": "y", "time": "when", "weight": "w"}
    spec = Spec.model_validate({"name": "m", "data": data})
    with pytest.raises(DataError, match="'w' is 0 in every row of the test part"):
        split(frame, read_target(frame, spec), spec, frame["w"].to_numpy())


def test_a_quantity_varies_in_training() -> None:
    frame = pl.DataFrame({"y": [5.0] * 80 + [1.5 * row for row in range(20)], "when": range(100)})
    with pytest.raises(DataError, match="the target has a single value in the training part"):
        parts_of(frame, {"time": "when"})


def order_of(frame: pl.DataFrame, data: dict[str, Any] | None = None) -> tuple[Parts, np.ndarray]:
    spec = Spec.model_validate({"name": "m", "data": {"path": "t", "target": "y", **(data or {})}})
    target = read_target(frame, spec)
    parts = split(frame, target, spec)
    return parts, nested_order(frame, target, spec, parts.train)


@given(st.lists(st.sampled_from("aaaaaab"), min_size=30, max_size=200))
def test_every_prefix_holds_the_class_shares(labels: list[str]) -> None:
    """Every beginning of the rows holds the classes in their shares."""
    classes = np.array(["a", "b", *labels])
    parts, order = order_of(pl.DataFrame({"y": classes}))
    assert sorted(order) == parts.train.tolist()
    share = (classes[parts.train] == "b").mean()
    for rows in range(2, len(order)):
        assert abs((classes[order[:rows]] == "b").sum() - share * rows) <= 1 + 1e-9
    assert set(classes[order[:2]]) == {"a", "b"}


def test_a_smaller_table_would_hold_the_latest_rows() -> None:
    when = np.random.default_rng(0).permutation(100)
    parts, order = order_of(pl.DataFrame({"y": np.arange(100.0), "when": when}), {"time": "when"})
    assert when[order].tolist() == sorted(when[parts.train], reverse=True)


def test_a_smaller_table_would_hold_whole_groups() -> None:
    who = np.random.default_rng(0).integers(0, 20, 400)
    parts, order = order_of(pl.DataFrame({"y": np.arange(400.0), "who": who}), {"group": "who"})
    assert sorted(order) == parts.train.tolist()
    groups = who[order]
    changes = 1 + np.count_nonzero(np.diff(groups))
    assert changes == len(set(groups))
    assert groups.tolist() != sorted(groups)


def test_a_smaller_table_of_a_quantity_would_hold_any_rows() -> None:
    parts, order = order_of(pl.DataFrame({"y": np.arange(100.0)}))
    assert sorted(order) == parts.train.tolist() != order.tolist()
