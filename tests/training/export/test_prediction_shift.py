from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.artifact import GOLDEN, Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Categorical, Datetime, Feature, Integer, Numeric
from model_deployer.contract.outputs import Arrays, Classification
from model_deployer.training.data.request_rows import frame_of_requests
from model_deployer.training.export.export import run_onnx
from model_deployer.training.export.golden import lines, write_golden
from model_deployer.training.export.prediction_shift import shift_since
from tests.support import tiny

DISTANCES = range(0, 4800, 200)


def same(frame: pl.DataFrame) -> Arrays:
    return run_onnx(tiny.graph(tiny.CONTRACT), frame)


def opposite(frame: pl.DataFrame) -> Arrays:
    return run_onnx(tiny.graph(tiny.CONTRACT, opposite=True), frame)


@pytest.fixture
def previous(tmp_path: Path) -> Artifact:
    """Return the tiny model with the golden requests that training writes."""
    manifest = tiny.write(tmp_path)
    test = frame_of_requests(tiny.FEATURES, [tiny.ROW | {"distance": distance} for distance in DISTANCES])
    (tmp_path / GOLDEN).write_text(lines(write_golden(tiny.CONTRACT, test, same)))
    return Artifact(tmp_path, manifest)


def altered(feature: Feature) -> Contract:
    """Return the contract with this feature in place of the one with its name, or in addition to the others."""
    features = {old.name: old for old in tiny.FEATURES} | {feature.name: feature}
    return tiny.CONTRACT.model_copy(update={"features": tuple(features.values())})


def test_the_same_graph_does_not_move(previous: Artifact) -> None:
    shift = shift_since(previous, tiny.CONTRACT, same)
    assert shift
    assert shift.requests == len(list(previous.golden()))
    assert (shift.flips, shift.largest) == (0, 0)


def test_the_opposite_graph_flips_every_decision(previous: Artifact) -> None:
    shift = shift_since(previous, tiny.CONTRACT, opposite)
    assert shift
    assert shift.flips == shift.requests == len(list(previous.golden()))
    assert shift.flipped[:2] == ("example", "test row 0")


def test_requests_that_the_new_contract_refuses_are_left_out(previous: Artifact) -> None:
    narrow = Numeric(name="distance", minimum=0, maximum=1000, out_of_range="reject", unit="miles")
    shift = shift_since(previous, altered(narrow), opposite)
    assert shift
    accepted = [case.case for case in previous.golden() if case.row["distance"] <= 1000]
    assert shift.flipped == tuple(accepted)


def test_a_new_optional_field_is_missing_in_old_requests(previous: Artifact) -> None:
    contract = altered(Numeric(name="wings", required=False, missing="impute"))
    shift = shift_since(previous, contract, lambda frame: run_onnx(tiny.graph(contract), frame))
    assert shift
    assert shift.requests == len(list(previous.golden()))


@pytest.mark.parametrize(
    "changes",
    [
        {"features": tiny.FEATURES[1:]},
        {"features": (*tiny.FEATURES, Integer(name="wings"))},
        {"features": (Categorical(name="distance"), *tiny.FEATURES[1:])},
        {"features": altered(Datetime(name="departure", zoned=True)).features},
        {"features": altered(Numeric(name="distance", maximum=-1, out_of_range="reject")).features},
        {"output": Classification(target="arrival", labels=("early", "late", "on_time"))},
    ],
    ids=["removed", "newly required", "retyped", "zoned", "all refused", "other labels"],
)
def test_nothing_is_compared_where_no_old_request_is_answered(previous: Artifact, changes: dict[str, Any]) -> None:
    contract = tiny.CONTRACT.model_copy(update=changes)
    assert shift_since(previous, contract, same) is None


def test_a_first_model_follows_nothing() -> None:
    assert shift_since(None, tiny.CONTRACT, same) is None
