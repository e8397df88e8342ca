import json
from pathlib import Path

import pytest

from model_deployer.contract import artifact
from model_deployer.contract.errors import ArtifactError
from tests.support import tiny


def test_a_sealed_folder_opens(tmp_path: Path) -> None:
    tiny.write(tmp_path)
    opened = artifact.open_artifact(tmp_path)
    assert opened.tag == "tiny:1.0.0"
    assert opened.contract == tiny.CONTRACT
    assert [golden.case for golden in opened.golden()] == ["example"]


@pytest.mark.parametrize("name", [artifact.CONTRACT, artifact.MODEL, artifact.GOLDEN, artifact.EVALUATION])
def test_an_altered_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    tiny.write(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[-2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} was altered"):
        artifact.open_artifact(tmp_path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    tiny.write(tmp_path)
    (tmp_path / artifact.MODEL).unlink()
    with pytest.raises(ArtifactError, match=f"{artifact.MODEL} is missing"):
        artifact.open_artifact(tmp_path)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="this folder does not hold a model of model-deployer"):
        artifact.open_artifact(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99}', '{"format": 1}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / artifact.MANIFEST).write_text(content)
    with pytest.raises(ArtifactError, match=artifact.MANIFEST + "|format"):
        artifact.open_artifact(tmp_path)


def test_equal_models_have_equal_bytes(tmp_path: Path) -> None:
    first, second = tiny.write(tmp_path / "a"), tiny.write(tmp_path / "b")
    assert first.files == second.files
    assert json.loads((tmp_path / "a" / artifact.MANIFEST).read_text())["format"] == artifact.FORMAT
