"""Models that earlier versions of the project wrote can still be read, and give the same predictions."""

from pathlib import Path

import pytest

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Artifact, open_artifact
from model_deployer.contract.document import JsonDocument
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.reference import Reference
from model_deployer.serving.engines.offline import predict
from tests.support.stored_artifacts import STORED, name_of


@pytest.fixture(params=STORED, ids=name_of)
def stored(request: pytest.FixtureRequest) -> Artifact:
    return open_artifact(request.param)


def test_there_is_a_model_of_every_format() -> None:
    assert {path.parent.name for path in STORED} == {f"format_{number + 1}" for number in range(artifact.FORMAT)}


def test_every_file_is_listed_in_the_manifest(stored: Artifact) -> None:
    files = {str(path.relative_to(stored.path)) for path in stored.path.rglob("*") if path.is_file()}
    assert files == {*stored.manifest.files, artifact.MANIFEST}


def test_it_reproduces_its_golden_predictions(stored: Artifact) -> None:
    requests, output = list(stored.golden()), stored.contract.output
    predictions = predict(stored, [golden.row for golden in requests])
    for golden, prediction in zip(requests, predictions, strict=True):
        assert prediction is not None, golden.case
        assert output.agree(golden.prediction, prediction, stored.manifest.tolerance), golden.case


def test_its_evaluation_and_reference_are_those_of_its_contract(stored: Artifact) -> None:
    assert stored.evaluation.task == stored.contract.output.task
    assert stored.reference is not None
    assert stored.reference.features.keys() == set(stored.contract.names)


@pytest.mark.parametrize(("name", "model"), [(artifact.EVALUATION, Evaluation), (artifact.REFERENCE, Reference)])
def test_its_documents_are_written_again_byte_for_byte(
    name: str, model: type[JsonDocument], stored: Artifact, tmp_path: Path
) -> None:
    artifact.write_json(tmp_path / name, model.read(stored.path / name).to_json())
    assert (tmp_path / name).read_bytes() == (stored.path / name).read_bytes()
