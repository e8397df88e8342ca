"""A fit in two processes, over Gloo, is the fit of one."""

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
from model_deployer.training.fitting.fitting import LAST, Plan, fit, kept_plan, plan_fit
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.runtime.devices import CPU_MEMBERS, Devices, choose_devices, members
from model_deployer.training.runtime.launch import Launch, launch
from tests.support.interrupts import interrupt_when
from tests.support.processes import BIN, ROOT, free_port
from tests.support.tables import classes_of, scores, spec, table, unfitted

TWO = Devices(devices=2)

#: Only numbers: a category is hidden at random, in each process by a draw of its own. The last batch has a single row.
FRAME, LATER = (table(rows, seed).select("size, in m²", "dial 'x'") for rows, seed in ((1025, 0), (301, 1)))


def prepared(classes: int | None = 2, on: Devices = TWO, **estimator: Any) -> tuple[Model, Sample, Sample, Plan]:
    """Rows that do not all weigh the same, and no dropout."""
    said = spec(**{"dropout": 0, "batch_size": 32, **estimator})
    random = np.random.default_rng(0)
    whole = [table(frame.height, seed) for seed, frame in enumerate((FRAME, LATER))]
    targets = [scores(frame) if classes is None else classes_of(frame, classes) for frame in whole]
    model, train = unfitted(FRAME, targets[0], classes, said)
    weights = [random.choice([0.0, 0.5, 1.0, 3.0], len(frame)) for frame in (FRAME, LATER)]
    train = Sample(train.inputs, targets[0], weights[0])
    validation = Sample(model.blueprint.preprocessor.transform(LATER), targets[1], weights[1])
    return model, train, validation, plan_fit(model, said.estimator, len(train), said.seed, on)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    model, train, validation, plan = prepared(3, Devices())
    alone = fit(model, train, validation, plan, tmp_path / "one")
    other, *_, plan = prepared(3)
    together = fit(other, train, validation, plan, tmp_path / "two")
    assert len(together) == 3
    assert_alike(model, other, alone, together)


@pytest.mark.slow
def test_an_interrupted_fit_of_two_processes_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    model, train, validation, plan = prepared(None, Devices(), epochs=12)
    whole = fit(model, train, validation, plan, tmp_path / "whole")
    parts, (begun, *_, plan) = tmp_path / "parts", prepared(None, epochs=12)
    with pytest.raises(KeyboardInterrupt), interrupt_when((parts / LAST).exists):
        fit(begun, train, validation, plan, parts)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    kept = kept_plan(parts, TWO)
    assert kept == plan
    done = len(torch.load(parts / LAST, weights_only=False)["history"])
    assert 0 < done < 12
    resumed, *_ = prepared(None, epochs=12)
    assert_alike(model, resumed, whole, fit(resumed, train, validation, kept, parts))


def assert_alike(one: Model, other: Model, *histories: list[dict[str, float]]) -> None:
    for entries in zip(*histories, strict=True):
        assert entries[1] == pytest.approx(entries[0], abs=1e-4)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_processes_of_torchrun_leave_one_model_and_the_first_one_speaks(tmp_path: Path) -> None:
    """Two agents, as on two machines that share the folder of model.yaml."""
    frame = table(400)
    frame.with_columns(pl.Series("y", classes_of(frame, 2)).cast(pl.String)).fill_nan(None).write_csv(
        tmp_path / "t.csv"
    )
    sizes = "{name: tabm, nodes: 2, members: 2, width: 16, embedding: 4, epochs: 2}"
    (tmp_path / "model.yaml").write_text(f"name: joint\ndata: {{path: t.csv, target: y}}\nestimator: {sizes}\n")
    where = ["--master-addr", "127.0.0.1", "--master-port", str(free_port()), "--nnodes", "2", "--nproc-per-node", "1"]
    home = tmp_path / "home"
    processes = [
        subprocess.Popen(
            [BIN / "torchrun", *where, "--node-rank", str(rank), "--no-python", BIN / "deployer", "train"],
            cwd=tmp_path,
            env=os.environ | {"BENTOML_HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    (leader, said), (follower, whispered) = (process.communicate(timeout=240) for process in processes)
    assert [process.returncode for process in processes] == [0, 0], said + whispered
    assert "joint:1.0.0 is in the model store" in leader
    assert "epoch 2 of at most 2" in said
    assert follower == ""
    assert "epoch" not in whispered
    assert sorted(path.name for path in (home / "models" / "joint").iterdir()) == ["1.0.0", "latest"]
    assert not list((tmp_path / ".deployer" / "joint").glob("*"))


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
    here: dict[str, Any] = {"accelerator": "cpu"}
    assert choose_devices(spec(**here).estimator) == Devices()
    assert choose_devices(spec(**here, devices="auto").estimator) == Devices()
    assert choose_devices(spec(**here, devices=2).estimator) == TWO
    assert members(spec(**here, members=None).estimator) == CPU_MEMBERS
    assert members(spec(**here, members=3).estimator) == 3
    assert members(spec(**here, name="mlp", members=3).estimator) == 1
    started(monkeypatch, RANK=1, WORLD_SIZE=4, GROUP_WORLD_SIZE=2)
    assert choose_devices(spec(**here, devices=2, nodes=2).estimator) == Devices("cpu", 2, 2, launched=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(EnvironmentFault, match=r"sees no GPU here; install .* or say `auto` or `cpu`"):
        choose_devices(spec(accelerator="gpu").estimator)


def test_what_does_not_fit_how_the_processes_were_started_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    here: dict[str, Any] = {"accelerator": "cpu"}
    with pytest.raises(EnvironmentFault, match=r"asks for 2 x 1 .* processes; start each of them with"):
        choose_devices(spec(**here, nodes=2).estimator)
    started(monkeypatch, RANK=0, WORLD_SIZE=2, GROUP_WORLD_SIZE=2)
    with pytest.raises(EnvironmentFault, match=r"asks for 1 x 2 .*, but torchrun started 2 on 2"):
        choose_devices(spec(**here, devices=2).estimator)
    with pytest.raises(EnvironmentFault, match="counted by one clock"):
        choose_devices(spec(**here, nodes=2, budget_seconds=60).estimator)
