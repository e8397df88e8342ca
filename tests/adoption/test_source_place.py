"""A source may be named by a tag of BentoML's store or by an address of MLflow's registry."""

from pathlib import Path

import bentoml
import pytest

from model_deployer.adoption.source_place import locate_source
from model_deployer.contract.errors import UsageError
from tests.support.in_process import model_store


def test_a_path_is_taken_from_the_folder(tmp_path: Path) -> None:
    assert locate_source("models/model.pkl", tmp_path) == tmp_path / "models" / "model.pkl"


def test_a_tag_of_the_store(tmp_path: Path) -> None:
    with model_store(tmp_path):
        with bentoml.models.create("buyers:v3", module="bentoml.sklearn") as model:
            Path(model.path_of("saved_model.pkl")).write_bytes(b"content")
        place = locate_source("buyers:v3", tmp_path / "elsewhere")
        assert (place / "saved_model.pkl").read_bytes() == b"content"
        with pytest.raises(UsageError, match="has no model 'buyers:v4'"):
            locate_source("buyers:v4", tmp_path)


def test_a_registry_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match=r"only where mlflow is installed .* pass its folder"):
        locate_source("models:/buyers/3", tmp_path)
