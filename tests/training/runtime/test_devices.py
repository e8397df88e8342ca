"""A fit in two processes, over Gloo, gives the same weights as a fit in one."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.training.fitting.fitting import LAST_CHECKPOINT, Plan, fit, load_plan, plan_fit
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.runtime.devices import CPU_MEMBERS, Devices, choose_devices, members
from model_deployer.training.runtime.launch import Launch, launch
from tests.support.interrupts import interrupt_when
from tests.support.processes import BIN, ROOT, free_port
from tests.support.tables import classes_of, scores, spec, table, unfitted

TWO = Devices(devices=2)

#: Only numbers, because each process draws at random which categories become unknown. The last batch has a single row.
FRAME, LATER = (table(rows, seed).select("size, in m²", "dial 'x'") for rows, seed in ((1025, 0), (301, 1)))


def prepared(classes: int | None = 2, devices: Devices = TWO, **estimator: Any) -> tuple[Model, Sample, Sample, Plan]:
    """Return a model without dropout, rows with different weights, and a plan."""
    options = spec(**{"dropout": 0, "batch_size": 32, **estimator})
    random = np.random.default_rng(0)
    all_columns = [table(frame.height, seed) for seed, frame in enumerate((FRAME, LATER))]
    targets = [scores(frame) if classes is None else classes_of(frame, classes) for frame in all_columns]
    model, train = unfitted(FRAME, targets[0], classes, options)
    weights = [random.choice([0.0, 0.5, 1.0, 3.0], len(frame)) for frame in (FRAME, LATER)]
    train = Sample(train.inputs, targets[0], weights[0])
    validation = Sample(model.blueprint.preprocessor.transform(LATER), targets[1], weights[1])
    return model, train, validation, plan_fit(model, options.estimator, len(train), options.seed, devices)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    model, train, validation, plan = prepared(3, Devices())
    history = fit(model, train, validation, plan, tmp_path / "one")
    distributed, *_, plan = prepared(3)
    distributed_history = fit(distributed, train, validation, plan, tmp_path / "two")
    assert len(distributed_history) == 3
    assert_alike(model, distributed, history, distributed_history)


@pytest.mark.slow
@pytest.mark.long
def test_interrupted_fit_of_two_processes_resumes(tmp_path: Path) -> None:
    """An interrupted fit of two processes that is resumed ends with the same weights."""
    model, train, validation, plan = prepared(None, Devices(), epochs=12)
    history = fit(model, train, validation, plan, tmp_path / "uninterrupted")
    folder, (interrupted, *_, plan) = tmp_path / "interrupted", prepared(None, epochs=12)
    with pytest.raises(KeyboardInterrupt), interrupt_when((folder / LAST_CHECKPOINT).exists):
        fit(interrupted, train, validation, plan, folder)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    loaded = load_plan(folder, TWO)
    assert loaded == plan
    completed_epochs = len(torch.load(folder / LAST_CHECKPOINT, weights_only=False)["history"])
    assert 0 < completed_epochs < 12
    resumed, *_ = prepared(None, epochs=12)
    assert_alike(model, resumed, history, fit(resumed, train, validation, loaded, folder))


def assert_alike(expected: Model, actual: Model, *histories: list[dict[str, float]]) -> None:
    for entries in zip(*histories, strict=True):
        assert entries[1] == pytest.approx(entries[0], abs=1e-4)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(actual.state_dict()[name], value, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.long
def test_torchrun_saves_one_model_and_prints_once(tmp_path: Path) -> None:
    """Processes of torchrun leave one model, and only the first one prints.

    Two agents, as on two machines that share the folder of model.yaml.
    """
    frame = table(400)
    frame.with_columns(pl.Series("y", classes_of(frame, 2)).cast(pl.String)).fill_nan(None).write_csv(
        tmp_path / "t.csv"
    )
    sizes = "{name: tabm, nodes: 2, members: 2, width: 16, embedding: 4, epochs: 2}"
    (tmp_path / "model.yaml").write_text(f"name: launched\ndata: {{path: t.csv, target: y}}\nestimator: {sizes}\n")
    address = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    options = [*address, "--nnodes", "2", "--nproc-per-node", "1"]
    home = tmp_path / "home"
    processes = [
        subprocess.Popen(
            [BIN / "torchrun", *options, "--node-rank", str(rank), "--no-python", BIN / "deployer", "train"],
            cwd=tmp_path,
            env=os.environ | {"BENTOML_HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    (leader_out, leader_err), (worker_out, worker_err) = (process.communicate(timeout=240) for process in processes)
    assert [process.returncode for process in processes] == [0, 0], leader_err + worker_err
    assert "launched:1.0.0 is in the model store" in leader_out
    assert "epoch 2 of at most 2" in leader_err
    assert worker_out == ""
    assert "epoch" not in worker_err
    assert sorted(path.name for path in (home / "models" / "launched").iterdir()) == ["1.0.0", "latest"]
    assert not list((tmp_path / ".deployer" / "launched").glob("*"))


def started(monkeypatch: pytest.MonkeyPatch, **variables: int) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Launch()),
        ({"RANK": 0, "WORLD_SIZE": 1, "GROUP_WORLD_SIZE": 1}, Launch()),
        ({"RANK": 3, "WORLD_SIZE": 4, "GROUP_WORLD_SIZE": 2}, Launch(3, 4, 2, "torchrun")),
        ({"SLURM_PROCID": 1, "SLURM_STEP_NUM_TASKS": 2, "SLURM_STEP_NUM_NODES": 2}, Launch(1, 2, 2, "slurm")),
        ({"SLURM_PROCID": 0, "SLURM_NTASKS": 8}, Launch()),  # within sbatch, without srun
    ],
)
def test_how_a_process_was_started(
    variables: dict[str, int], expected: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(monkeypatch, **variables)
    assert launch() == expected
    assert launch().is_worker == (expected.rank > 0)


def test_what_model_yaml_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu: dict[str, Any] = {"accelerator": "cpu"}
    assert choose_devices(spec(**cpu).estimator) == Devices()
    assert choose_devices(spec(**cpu, devices="auto").estimator) == Devices()
    assert choose_devices(spec(**cpu, devices=2).estimator) == TWO
    assert members(spec(**cpu, members=None).estimator) == CPU_MEMBERS
    assert members(spec(**cpu, members=3).estimator) == 3
    assert members(spec(**cpu, name="mlp", members=3).estimator) == 1
    started(monkeypatch, RANK=1, WORLD_SIZE=4, GROUP_WORLD_SIZE=2)
    assert choose_devices(spec(**cpu, devices=2, nodes=2).estimator) == Devices("cpu", 2, 2, launched=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(EnvironmentFault, match=r"finds no GPU on this machine; install .* or set `auto` or `cpu`"):
        choose_devices(spec(accelerator="gpu").estimator)


def test_mismatch_of_launch_and_spec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit how the processes were started is refused."""
    cpu: dict[str, Any] = {"accelerator": "cpu"}
    with pytest.raises(EnvironmentFault, match=r"requests 2 x 1 .* processes; start each of them with"):
        choose_devices(spec(**cpu, nodes=2).estimator)
    started(monkeypatch, RANK=0, WORLD_SIZE=2, GROUP_WORLD_SIZE=2)
    with pytest.raises(EnvironmentFault, match=r"requests 1 x 2 .*, but torchrun started 2 on 2 nodes"):
        choose_devices(spec(**cpu, devices=2).estimator)
    with pytest.raises(EnvironmentFault, match="do not share a clock"):
        choose_devices(spec(**cpu, nodes=2, budget_seconds=60).estimator)
