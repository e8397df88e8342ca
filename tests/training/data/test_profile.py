from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from model_deployer.contract.evaluation import Finding
from model_deployer.training.data.profile import profile
from model_deployer.training.data.split import split
from model_deployer.training.data.target import read_target
from model_deployer.training.spec import Spec

ROWS = 400
GENERATOR = np.random.default_rng(0)
TRUTH = np.array(["no", "yes"])[(GENERATOR.random(ROWS) < 0.3).astype(int)]


def findings(columns: dict[str, Any], data: dict[str, Any] | None = None, **keys: Any) -> list[Finding]:
    frame = pl.DataFrame({"x": GENERATOR.normal(size=ROWS), "y": TRUTH} | columns, strict=False)
    spec = Spec.model_validate({"name": "m", "data": {"path": "t", "target": "y"} | (data or {}), **keys})
    target = read_target(frame, spec)
    return profile(frame, target, split(frame, target, spec), spec)


def codes(results: list[Finding]) -> set[tuple[str, str | None, str]]:
    return {(finding.severity, finding.column, finding.code) for finding in results}


def test_a_plain_table_has_its_classes_counted_and_no_more() -> None:
    (finding,) = findings({})
    assert (finding.severity, finding.code) == ("info", "class_balance")
    assert finding.message == f"2 classes: 'no' {(TRUTH == 'no').mean():.1%}, 'yes' {(TRUTH == 'yes').mean():.1%}"


def test_columns_that_should_be_looked_at() -> None:
    results = findings(
        {
            "empty": [None] * ROWS,
            "same": ["a"] * ROWS,
            "id": [f"{number:05}" for number in range(ROWS)],
            "verdict": np.where(TRUTH == "yes", 3, 8),
            "remark": [f"note number {number}" for number in range(ROWS)],
            "typed": [str(number % 50) if number % 20 else "n/a" for number in range(ROWS)],
            "quoted": [f"{number % 50}.5" for number in range(ROWS)],
            "code": [f"{number % 50:03}" for number in range(ROWS)],
            "region": ["Subtotal" if number % 20 == 0 else f"region {number % 20}" for number in range(ROWS)],
        }
    )
    assert codes(results) - {("info", None, "class_balance")} == {
        ("warning", "empty", "empty_column"),
        ("info", "same", "constant_column"),
        ("warning", "id", "identifier_column"),
        ("warning", "verdict", "leakage"),
        ("warning", "typed", "numbers_as_text"),
        ("warning", "quoted", "numbers_as_text"),
        ("warning", "region", "totals"),
    }
    assert all("`data.ignore`" in finding.message for finding in results if finding.code == "leakage")


def test_classes_that_differ_in_spelling_only_are_reported() -> None:
    spelled = np.where(np.arange(ROWS) % 7 == 0, "Yes ", TRUTH)
    assert ("warning", None, "class_spelling") in codes(findings({"y": spelled}))


def test_a_leak_is_an_error_where_model_yaml_is_strict() -> None:
    assert ("error", "verdict", "leakage") in codes(findings({"verdict": TRUTH == "yes"}, strict=True))


def test_a_column_that_is_no_feature_is_not_looked_at() -> None:
    results = findings({"verdict": TRUTH == "yes"}, {"group": "verdict"}, split={"method": "random"}, strict=True)
    assert codes(results) == {("info", None, "class_balance")}


def test_duplicates_and_those_that_the_test_shares_with_training() -> None:
    by_code = {
        finding.code: finding for finding in findings({"x": np.arange(ROWS) // 2, "y": ["a", "a", "b", "b"] * 100})
    }
    assert by_code["duplicate_rows"].message == "200 of 400 rows repeat an earlier one"
    assert by_code["test_rows_in_training"].severity == "warning"


def test_a_trend_is_drift_and_a_late_class_is_missed() -> None:
    when = [datetime(2013, 1, 1) + timedelta(hours=hour) for hour in range(ROWS)]
    truth = np.where(np.arange(ROWS) < 300, TRUTH, "yes")
    results = codes(findings({"when": when, "trend": np.arange(ROWS) // 4 * 1.0, "y": truth}, {"time": "when"}))
    assert ("info", "trend", "drift") in results
    assert ("warning", None, "class_not_in_part") in results


def test_infinite_numbers_are_told() -> None:
    ratio = np.where(np.arange(ROWS) % 9, GENERATOR.normal(size=ROWS), np.inf)
    assert ("warning", "ratio", "infinite_values") in codes(findings({"ratio": ratio}))


def test_chance_in_a_small_table_is_neither_drift_nor_leak() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        frame = pl.DataFrame({"x": random.normal(size=40), "y": random.normal(size=40)})
        spec = Spec.model_validate({"name": "m", "data": {"path": "t", "target": "y"}, "seed": seed})
        target = read_target(frame, spec)
        assert profile(frame, target, split(frame, target, spec), spec) == []


def test_a_field_that_repeats_the_group_is_named() -> None:
    """Each album belongs to one artist, or nearly each: compilations are those of several."""
    artist = np.arange(ROWS) // 8
    album = np.array([f"album {number // 4}" for number in range(ROWS)])
    compilation = np.where(np.arange(ROWS) % 8 == 0, "Greatest hits", album)
    genre = np.array([f"genre {number % 12}" for number in artist])
    columns = {"artist": artist, "album": album, "mixed": compilation, "genre": genre}
    results = {finding.column: finding for finding in findings(columns, {"group": "artist"})}
    assert results["album"].code == "field_is_group"
    assert "each of its values is in one 'artist' only, so 100% of the test rows" in results["album"].message
    assert results["mixed"].code == "field_spans_groups"
    assert "so name it under `data.group`" in results["mixed"].message
    assert "genre" not in results
    assert not {"field_is_group", "field_spans_groups"} & {finding.code for finding in findings(columns)}


def test_a_group_is_proposed_for_units_that_are_described_several_times() -> None:
    units = GENERATOR.integers(0, 80, ROWS)
    columns = {
        "customer_id": units, "Patient": [f"patient {unit}" for unit in units], "num_open_accounts": units % 30,
        "account": units, "store_size": units, "user_count": units,
    }  # fmt: skip
    proposed = {finding.column for finding in findings(columns) if finding.code == "repeated_units"}
    assert proposed == {"customer_id", "Patient"}
    assert "repeated_units" not in {finding.code for finding in findings(columns, {"group": "customer_id"})}


def test_a_table_that_is_sorted_by_its_target_and_an_index_of_it_are_reported() -> None:
    for labels in (2, 6):
        truth = [f"label {row * labels // ROWS}" for row in range(ROWS)]
        results = codes(findings({"y": truth, "row": np.arange(ROWS) * 3.5}))
        assert ("warning", None, "sorted_by_target") in results
        assert ("warning", "row", "leakage") in results or ("warning", "row", "suspicious_column") in results


def test_a_column_whose_values_nearly_all_differ_is_an_identifier() -> None:
    licences = [f"L{number:05}" for number in range(ROWS)]
    licences[1] = licences[0]
    assert ("warning", "licence", "identifier_column") in codes(findings({"licence": licences}))
