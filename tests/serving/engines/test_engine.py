from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from model_deployer.adoption.cell.process import Limits, worker_variables
from model_deployer.contract import artifact
from model_deployer.contract.errors import EnvironmentFault, UsageError
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines import engine
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.engines.remote import run_batches
from model_deployer.serving.rows.columns import Columns
from model_deployer.system.cpus import cpu_count
from tests.support import tiny


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny.write(tmp_path)
    return tmp_path / artifact.MODEL


def columns(*distances: float) -> Columns:
    rows = len(distances)
    texts = {feature.name: np.full((rows, 1), "", dtype=object) for feature in tiny.FEATURES}
    numbers = {feature.name: np.zeros((rows, 1)) for feature in tiny.FEATURES if feature.dtype == "float64"}
    return texts | numbers | {"distance": np.array(distances, dtype=np.float64).reshape(-1, 1)}


def test_tuning_changes_no_answer(model: Path) -> None:
    tuned, fixed = (OnnxEngine(model, tiny.CONTRACT.output, threads) for threads in (None, 1))
    batch = columns(*range(512))
    tuned.tune(batch)
    assert tuned.inline_rows in {2**power for power in range(10)}
    probabilities, expected = (each.run(batch)["probabilities"] for each in (tuned, fixed))
    assert np.allclose(probabilities, expected, atol=1e-6)


def test_unusable_gpu_names_what_to_install(model: Path) -> None:
    """A GPU that ONNX Runtime cannot use is reported, with what to install."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime can use a GPU")
    with pytest.raises(EnvironmentFault, match="install onnxruntime-gpu"):
        OnnxEngine(model, tiny.CONTRACT.output, device=0)


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,1", 2), ("GPU-8f2e,GPU-91ab", 2)])
def test_the_visible_gpus_are_counted(visible: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert engine.gpu_count() == count


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert engine.choose_engine(Settings(), is_graph=True) == "cpu"
    assert engine.choose_engine(Settings(engine="runner"), is_graph=True) == "runner"


def test_a_source_is_the_only_engine_of_a_model_without_a_graph() -> None:
    assert engine.choose_engine(Settings(), is_graph=False) == "source"
    with pytest.raises(UsageError, match="is not a graph"):
        engine.choose_engine(Settings(engine="cuda"), is_graph=False)


def test_a_source_sees_the_gpus_of_the_service_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the choice: no test has run a source on a GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    assert engine.source_gpus(Settings()) == ["1", "3"]
    assert engine.source_gpus(Settings(engine="cpu")) == []
    assert worker_variables(Limits(gpus=["1", "3"]))["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert worker_variables(Limits())["CUDA_VISIBLE_DEVICES"] == ""


def test_there_is_a_core_to_run_on() -> None:
    assert cpu_count() >= 1


def test_batches_run_together_and_fail_alone(model: Path) -> None:
    """Batches of several workers run together; one that fails does not affect the others."""
    onnx = OnnxEngine(model, tiny.CONTRACT.output)
    first, second = columns(1, 2), columns(3)
    broken = {name: array for name, array in columns(4).items() if name != "seats"}
    expected = [onnx.run(batch)["probabilities"] for batch in (first, second)]

    def probabilities(*batches: Columns) -> list[object]:
        return [outputs and outputs["probabilities"].tolist() for outputs in run_batches(onnx, batches)]

    assert probabilities(first, second) == [each.tolist() for each in expected]
    assert probabilities(first, broken, second) == [expected[0].tolist(), None, expected[1].tolist()]
