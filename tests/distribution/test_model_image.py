"""The image of a model: equal bytes for equal models, and only the files of the model."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact, open_artifact
from model_deployer.distribution import descriptor
from model_deployer.distribution.model_image import read_layer, write_image
from tests.support import tiny


@pytest.fixture
def artifact(home: Path, tmp_path: Path) -> Artifact:
    return store.load(tiny.save(tmp_path / "files"))


def test_equal_models_give_equal_bytes(artifact: Artifact, tmp_path: Path) -> None:
    copy = Artifact(tmp_path / "copy", artifact.manifest)
    for name in ("manifest.json", *artifact.manifest.files):
        (copy.path / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.path / name).write_bytes((artifact.path / name).read_bytes())
        (copy.path / name).chmod(0o600)
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
    first, second = write_image(artifact, folders[0]), write_image(copy, folders[1])
    assert first.digest == second.digest
    assert first.layer.read_bytes() == second.layer.read_bytes()


def test_it_is_an_image_of_oci_for_each_platform(artifact: Artifact, tmp_path: Path) -> None:
    image = write_image(artifact, tmp_path)
    index = json.loads(image.index)
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]
    assert index["annotations"]["org.opencontainers.image.version"] == "1.0.0"
    for listed, manifest, config in zip(index["manifests"], image.manifests, image.configs, strict=True):
        assert listed["digest"] == descriptor.digest(manifest)
        content = json.loads(manifest)
        assert content["layers"] == [image.layer_descriptor]
        assert content["config"]["digest"] == descriptor.digest(config)
        assert json.loads(config)["rootfs"]["diff_ids"] == [image.layer_descriptor["digest"]]
    with tarfile.open(image.layer) as archive:
        names = {entry.name for entry in archive if entry.isfile()}
        assert {entry.uid for entry in archive} == {0}
    assert names == {f"models/{name}" for name in ("manifest.json", *artifact.manifest.files)}


def test_its_layer_is_the_model(artifact: Artifact, tmp_path: Path) -> None:
    image = write_image(artifact, tmp_path)
    folder = read_layer(image.layer, tmp_path / "extracted")
    assert open_artifact(folder).manifest == artifact.manifest


def test_nothing_is_extracted_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with tarfile.open(tmp_path / "layer.tar", "w") as archive:
        archive.add(tmp_path / "file", "models/../../outside")
    with pytest.raises(ValueError, match="outside"):
        read_layer(tmp_path / "layer.tar", tmp_path / "extracted")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"no archive", "truncated"), (b"x" * 1024, "invalid"), (b"\0" * 1024, "no files")],
)
def test_what_is_no_layer_of_a_model_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "layer.tar").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_layer(tmp_path / "layer.tar", tmp_path / "extracted")


def test_files_that_are_larger_than_the_layer_are_refused(tmp_path: Path) -> None:
    """Sparse files: an archive of some kilobytes would fill the disk."""
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(1024**3)
    (tmp_path / "models").mkdir()
    (tmp_path / "hole").rename(tmp_path / "models" / "model.onnx")
    subprocess.run(["tar", "--sparse", "-cf", "layer.tar", "models/model.onnx"], cwd=tmp_path, check=True)
    with pytest.raises(ValueError, match="larger than itself"):
        read_layer(tmp_path / "layer.tar", tmp_path / "extracted")
