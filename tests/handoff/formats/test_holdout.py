"""The test rows of a model that was trained elsewhere: those that its figures were measured on."""

from pathlib import Path

import pytest

from model_deployer.contract.outputs import Classification
from model_deployer.handoff.formats.holdout import read_holdout_rows
from tests.support.adopted_packages import ADOPTED, adopt_model
from tests.support.in_process import model_store


@pytest.mark.parametrize("kind", [name for name, kind in ADOPTED.items() if kind.is_graph])
def test_the_test_rows_are_those_of_the_evaluation(kind: str, tmp_path: Path) -> None:
    with model_store(tmp_path / "home"):
        artifact = adopt_model(ADOPTED[kind], tmp_path / "source")
        test = read_holdout_rows(artifact, tmp_path / "source" / "model.yaml")
    evaluation, output = artifact.evaluation, artifact.contract.output
    assert evaluation.rows and len(test) == evaluation.rows.test == len(test.truths)
    if isinstance(output, Classification):
        right = [
            truth == decision for truth, decision in zip(test.truths, output.decisions(test.expected), strict=True)
        ]
        assert sum(right) / len(right) == pytest.approx(evaluation.metrics["model"]["accuracy"].value)
    else:
        errors = [abs(t - v) for t, v in zip(test.truths, test.expected["value"][:, 0].tolist(), strict=True)]
        assert sum(errors) / len(errors) == pytest.approx(evaluation.metrics["model"]["mae"].value)
