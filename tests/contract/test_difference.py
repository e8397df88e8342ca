import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.difference import difference
from model_deployer.contract.outputs import Output, Regression
from tests.support import tiny


def judged(folder: Path, output: Output, loss: str) -> Artifact:
    """A model of a quantity with figures, a slice and one golden request."""
    manifest = tiny.write(folder)
    metrics = {name: {"value": 1.0, "low": 0.9, "high": 1.1} for name in (loss, "coverage")}
    slices = [{"slice": "origin JFK", "rows": 80, "loss": 0.4}]
    contract = tiny.CONTRACT.model_copy(update={"output": output})
    artifact.write_json(folder / artifact.CONTRACT, contract.model_dump(mode="json"))
    artifact.write_json(folder / artifact.EVALUATION, {"metrics": {"model": metrics}, "slices": slices})
    golden = {"case": "example", "row": tiny.ROW, "prediction": {"value": 1.0, "lower": 0.0, "upper": 2.0}}
    (folder / artifact.GOLDEN).write_text(json.dumps(golden))
    return Artifact(folder, manifest)


def two(_: Artifact, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    return [{"value": 2.0, "lower": 1.0, "upper": 3.0} for _ in rows]


HIGH, MEDIAN = Regression(target="y", quantile=0.9), Regression(target="y", quantile=0.5)
PLAIN, COUNT = Regression(target="y"), Regression(target="y", count=True)


@pytest.mark.parametrize(
    ("old", "new", "metrics", "slices", "behaviour"),
    [
        ((HIGH, "pinball"), (HIGH, "pinball"), ["pinball", "coverage"], 1, True),
        ((MEDIAN, "pinball"), (HIGH, "pinball"), ["coverage"], 0, False),
        ((PLAIN, "rmse"), (COUNT, "rmse"), ["rmse", "coverage"], 0, True),
        ((PLAIN, "rmse"), (HIGH, "pinball"), ["coverage"], 0, False),
    ],
)
def test_only_what_means_the_same_is_compared(  # noqa: PLR0917
    old: tuple[Output, str],
    new: tuple[Output, str],
    metrics: list[str],
    slices: int,
    behaviour: bool,
    tmp_path: Path,
) -> None:
    found = difference(judged(tmp_path / "old", *old), judged(tmp_path / "new", *new), two)
    assert list(found.metrics) == metrics
    assert len(found.slices) == slices
    assert (found.behaviour is not None) is behaviour
    assert [change.step.name for change in found.changes] == ["MAJOR"] * (old != new)
