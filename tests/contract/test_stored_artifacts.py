"""Models that earlier versions of the project wrote are still read, and still answer as they did."""

from pathlib import Path

import pytest

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Artifact, open_artifact
from model_deployer.serving.engines.offline import predict

STORED = sorted(path for path in (Path(__file__).parent / "artifacts").glob("format_*/*") if path.is_dir())


@pytest.fixture(params=STORED, ids=lambda path: f"{path.parent.name}-{path.name}")
def stored(request: pytest.FixtureRequest) -> Artifact:
    return open_artifact(request.param)


def test_there_is_a_model_of_every_format() -> None:
    assert {path.parent.name for path in STORED} == {f"format_{number + 1}" for number in range(artifact.FORMAT)}


def test_every_file_is_listed_in_the_manifest(stored: Artifact) -> None:
    files = {str(path.relative_to(stored.path)) for path in stored.path.rglob("*") if path.is_file()}
    assert files == {*stored.manifest.files, artifact.MANIFEST}


def test_it_reproduces_its_golden_predictions(stored: Artifact) -> None:
    golden, output = list(stored.golden()), stored.contract.output
    answers = predict(stored, [case.row for case in golden])
    for case, answer in zip(golden, answers, strict=True):
        assert answer is not None, case.case
        assert output.agree(case.prediction, answer, stored.manifest.tolerance), case.case


def test_its_evaluation_and_reference_are_those_of_its_contract(stored: Artifact) -> None:
    assert stored.evaluation["task"] == stored.contract.output.task
    assert stored.reference is not None
    assert stored.reference.features.keys() == set(stored.contract.names)


def test_its_reference_is_written_again_byte_for_byte(stored: Artifact, tmp_path: Path) -> None:
    assert stored.reference is not None
    artifact.write_json(tmp_path / artifact.REFERENCE, stored.reference.to_json())
    assert (tmp_path / artifact.REFERENCE).read_bytes() == (stored.path / artifact.REFERENCE).read_bytes()
