"""Columns of plain numbers and texts in large files: the quick reading gives what the rules for every value give."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_deployer.training.data import text_values
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.reading import delimited
from model_deployer.training.reading.plain_types import plain_types
from model_deployer.training.spec import spec_of_table

ROWS = 6_000
RANDOM = np.random.default_rng(0)

COLUMNS = {
    "whole": RANDOM.integers(-500, 100_000, ROWS).astype(str).tolist(),
    "few": RANDOM.integers(0, 2, ROWS).astype(str).tolist(),
    "decimals": [f"{value:.4f}" for value in RANDOM.normal(size=ROWS)],
    "money": [f"{value:.2f}" for value in RANDOM.uniform(1, 900, ROWS)],
    "thousandths": [f"{value:.3f}" for value in RANDOM.uniform(1, 900, ROWS)],
    "shortest": [str(round(value, 2)) for value in RANDOM.uniform(1, 90, ROWS).tolist()],
    "code": [f"{value:05}" for value in RANDOM.integers(0, 99_999, ROWS)],
    "stamp": (np.datetime64("2020-01-01") + RANDOM.integers(0, 900, ROWS)).astype(str).tolist(),
    "digits": [text.replace("-", "") for text in (np.datetime64("2020-01-01") + np.arange(ROWS) % 900).astype(str)],
    "city": RANDOM.choice(["New York, NY", "Boston", 'The "Hub"', "5th Avenue"], ROWS).tolist(),
    "yes": RANDOM.choice(["yes", "no"], ROWS).tolist(),
    "remark": [f"order {value} was late" for value in RANDOM.integers(0, 99_999, ROWS)],
}

ODD = [
    "", " ", "007", " 007", "\t08", "00", "0", "-05", " 7", "7 ", "+5", "1.5", "1,5", "1e5", "12e5", "3E-2", "NaN",
    "inf", "-inf", "NA", "-", "abc", "1234567890123456789", "12345678901234567890", "-9999999999999999999", "20240131",
    "1.234.567", "1.10", "0.5", "5 kg", "31/12/2024", "true", "\\N", "2024-01-01 05:00", "(5)", "5th", "9" * 40,
]  # fmt: skip


def read(path: Path) -> Table:
    return read_table(spec_of_table(str(path), {}), Path())


def by_every_rule(path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    with monkeypatch.context() as context:
        context.setattr(text_values, "sample_of", lambda strings: None)
        context.setattr(delimited, "SAMPLE_ROWS", 10**9)
        return read(path)


def assert_equal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, slow = read(path), by_every_rule(path, monkeypatch)
    assert quick.frame.schema == slow.frame.schema
    assert quick.frame.equals(slow.frame)
    assert (quick.values.formats, quick.values.marks, quick.notes) == (
        slow.values.formats,
        slow.values.marks,
        slow.notes,
    )
    assert quick.values.questions == slow.values.questions


def test_numbers_are_read_as_numbers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    pl.DataFrame({name: COLUMNS[name] for name in ("whole", "decimals", "city")}).write_csv(path)
    types: list[dict[str, object]] = []

    def recorded(sample: pl.DataFrame, exempt: set[str]) -> object:
        types.append(dict(plain_types(sample, exempt)))
        return types[-1]

    monkeypatch.setattr(delimited, "plain_types", recorded)
    monkeypatch.setattr(delimited, "_frame_of_strings", None)
    assert read(path).frame.dtypes == [pl.Int64, pl.Float64, pl.String]
    assert types == [{"0": pl.Int64, "1": pl.Float64}]


def test_columns_without_odd_values_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame(COLUMNS).write_csv(tmp_path / "t.csv")
    assert_equal(tmp_path / "t.csv", monkeypatch)


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_value_in_the_last_rows_is_not_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    for name, texts in COLUMNS.items():
        values = [*texts[:-50], odd, *texts[-49:]]
        frame = pl.DataFrame({"x": values, "other": COLUMNS["decimals"], "text": COLUMNS["city"]})
        frame.write_csv(tmp_path / f"{name}.csv")
        assert_equal(tmp_path / f"{name}.csv", monkeypatch)


@pytest.mark.parametrize("odd", ["1.234,50", "1,5"])
def test_decimal_commas_of_another_column_are_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    commas = [value.replace(".", ",") for value in COLUMNS["decimals"]]
    frame = pl.DataFrame({"x": commas, "thousandths": COLUMNS["thousandths"], "whole": [*COLUMNS["whole"][1:], odd]})
    frame.write_csv(tmp_path / "t.csv", separator=";")
    assert_equal(tmp_path / "t.csv", monkeypatch)


@pytest.mark.parametrize("mark", ["-999", "9999.0", " 1e9 "])
def test_a_number_that_is_stated_as_missing_is_missing(tmp_path: Path, mark: str) -> None:
    for name in ("whole", "decimals"):
        values = [*COLUMNS[name][:-50], mark.strip(), *COLUMNS[name][-49:]]
        pl.DataFrame({"x": values, "text": COLUMNS["city"]}).write_csv(tmp_path / "t.csv")
        table = read_table(spec_of_table(str(tmp_path / "t.csv"), {"missing": [mark]}), Path())
        assert table.frame["x"].null_count() == 1
        assert table.frame["x"][ROWS - 50] is None
