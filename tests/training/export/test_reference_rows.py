"""The rows of a table that an artifact keeps: codes of bins, evenly over its weeks, and nothing of a dropped field."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model_deployer.contract.errors import ArtifactError
from model_deployer.contract.features import Feature
from model_deployer.contract.reference import Reference
from model_deployer.contract.reference_rows import MAX_BYTES, ReferenceRows
from model_deployer.training.data.traffic import Origins
from model_deployer.training.export.drift_replay import replayed_rows
from model_deployer.training.export.reference import reference
from model_deployer.training.export.reference_rows import reference_rows
from model_deployer.training.export.table_units import TableUnits, table_units
from tests.training.export.test_drift_replay import DAYS, FEATURES, ROWS, predict, table

FRAME = table()
CALENDAR = Origins(np.arange(DAYS * ROWS) * 86_400 / ROWS, is_calendar=True, groups=None)
EXPECTED = reference(FEATURES, FRAME, predict(FRAME))


def units(rows: int = DAYS * ROWS) -> TableUnits:
    """The units of the first rows of the table; the last fifth is the test part."""
    first_test_row = rows * 4 // 5
    parts = np.arange(first_test_row), np.arange(first_test_row, rows)
    training, test = (replayed_rows(CALENDAR, part, FRAME, predict, seed=0) for part in parts)
    of_table = table_units(training, test)
    assert of_table is not None
    return of_table


def sampled(features: Sequence[Feature] = FEATURES, seed: int = 0) -> ReferenceRows:
    rows = reference_rows(features, EXPECTED, units(), seed)
    assert rows is not None
    return rows


def test_rows_are_codes_of_bins_of_successive_days() -> None:
    rows = sampled()
    assert rows.fields == tuple(feature.name for feature in FEATURES)
    assert rows.codes.shape == (DAYS // 7, 7, ROWS, len(FEATURES))
    # All rows of a day are drawn: they are the last 56 days of the table.
    last = FRAME["weather"].to_numpy()[-56 * ROWS :]
    assert np.array_equal(rows.codes[..., 1].ravel(), EXPECTED.features["weather"].codes(last))


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    sampled().write(tmp_path / "first.npz")
    sampled().write(tmp_path / "second.npz")
    content = (tmp_path / "first.npz").read_bytes()
    assert content == (tmp_path / "second.npz").read_bytes()
    assert len(content) < MAX_BYTES
    again = ReferenceRows.read(tmp_path / "first.npz", EXPECTED)
    assert again.fields == sampled().fields
    assert np.array_equal(again.codes, sampled().codes)


def test_fields_without_bins_in_captured_traffic_are_left_out() -> None:
    policies = {"steady": "drop", "kind": "hash", "weather": "bin"}
    private = [feature.model_copy(update={"capture": policies.get(feature.name)}) for feature in FEATURES]
    assert sampled(private).fields == ("weather", "bounded")


def test_many_fields_and_rows_stay_below_the_limit() -> None:
    names = [f"field {index}" for index in range(70)]
    many = Reference(features=dict.fromkeys(names, EXPECTED.features["steady"]), predictions={})
    features = [FEATURES[0].model_copy(update={"name": name}) for name in names]

    class Same(TableUnits):
        """Units in which every field has the same values."""

        def codes(self, name: str, distribution: object) -> np.ndarray:
            return super().codes("steady", EXPECTED.features["steady"])

    of_table = units()
    of_table.__class__ = Same
    rows = reference_rows(features, many, of_table, seed=0)
    assert rows is not None
    assert rows.fields == tuple(names[:50])
    assert 0.9 * MAX_BYTES < rows.codes.nbytes <= MAX_BYTES


def test_a_table_of_three_weeks_has_none() -> None:
    assert reference_rows(FEATURES, EXPECTED, units(21 * ROWS), 0) is None


def test_a_file_of_other_bins_is_refused(tmp_path: Path) -> None:
    rows = sampled()
    file = tmp_path / "reference_rows.npz"
    ReferenceRows(rows.fields, np.full_like(rows.codes, 200)).write(file)
    with pytest.raises(ArtifactError, match="does not fit the model"):
        ReferenceRows.read(file, EXPECTED)
    file.write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match="does not fit the model"):
        ReferenceRows.read(file, EXPECTED)
