"""The metadata of a package, written from an artifact and read again."""

import dataclasses
import json
from pathlib import Path

import pytest

from model_deployer.contract import artifact
from model_deployer.contract.artifact import open_artifact, write_json
from model_deployer.contract.errors import UsageError
from model_deployer.package.package_data import METADATA, read_package_data, write_metadata
from tests.support import tiny
from tests.support.packages import package_of
from tests.support.stored_artifacts import STORED, json_of, name_of


@pytest.mark.parametrize("folder", STORED, ids=name_of)
def test_metadata_are_the_files_of_the_model(folder: Path, tmp_path: Path) -> None:
    """The metadata of a stored model are its files as they are."""
    write_metadata(open_artifact(folder), True, tmp_path)
    files = (artifact.MANIFEST, artifact.CONTRACT, artifact.EVALUATION, artifact.REFERENCE)
    document = {"verified": True} | {name.removesuffix(".json"): json_of(folder, name) for name in files}
    assert (tmp_path / METADATA).read_text() == json.dumps(document, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("evaluation", {"metrics": {}}, "evaluation: task: the field is missing"),
        (
            "reference",
            {"features": {"a": {}}, "predictions": {}},
            "reference: features.a.quantiles: the field is missing",
        ),
    ],
)
def test_metadata_that_do_not_fit_are_named(part: str, content: object, message: str, tmp_path: Path) -> None:
    write_metadata(open_artifact(STORED[0]), True, tmp_path)
    metadata = json.loads((tmp_path / METADATA).read_bytes())
    write_json(tmp_path / METADATA, metadata | {part: content})
    with pytest.raises(UsageError) as error:
        read_package_data(tmp_path)
    assert str(error.value) == f"{tmp_path}: {METADATA}: {message}; write the package again with `deployer handoff`"


def test_the_protocols_over_grpc_are_those_with_paths() -> None:
    package = package_of(tiny.CONTRACT, {"metrics": {}})
    assert package.grpc_protocols == []
    paths = ("/v2/health/live", "/v1/models", "/predictions/{model}")
    package = dataclasses.replace(package, endpoints=tuple(("GET", path, "") for path in paths))
    assert package.grpc_protocols == ["Open Inference", "TensorFlow Serving", "TorchServe"]


def test_metadata_keep_the_address_of_the_runbook(tmp_path: Path) -> None:
    url = "https://wiki.example.com/late/RUNBOOK"
    write_metadata(open_artifact(STORED[0]), True, tmp_path, url)
    assert json_of(tmp_path, METADATA)["runbook_url"] == url


@pytest.mark.parametrize("url", ["docs/RUNBOOK.md", "file:///RUNBOOK.md", "https://wiki.example.com/RUNBOOK#alerts"])
def test_address_of_the_runbook_must_be_absolute(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the absolute URL"):
        write_metadata(open_artifact(STORED[0]), True, tmp_path, url)
