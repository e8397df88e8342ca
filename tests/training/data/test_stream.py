"""Tables with more rows than fit in memory: the sample, the stream, and what the stream gains."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.dataset import Dataset, read_dataset
from model_deployer.training.data.table import read_table
from model_deployer.training.fitting.batches import Batches, Files, Share, scaled, training_batches
from model_deployer.training.fitting.candidates import Choice, choose_model
from model_deployer.training.models.model import Model
from model_deployer.training.models.model_builder import build_model
from model_deployer.training.preprocessing.preprocessing import fit_preprocessor
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.reading.parquet_chunks import ROWS, sample_rows, split_files
from model_deployer.training.spec import read_spec

ALONE = Share()
SMALL = {"name": "tabm", "members": 2, "width": 32, "embedding": 8, "batch_size": 256, "epochs": 3}


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    """Return a table with a target that takes many rows to learn, one row per hour, and the row's number in `row`."""
    random = np.random.default_rng(seed)
    left, right, other = random.normal(size=(3, rows))
    city = random.integers(0, 60, rows)
    values = 2 * np.sin(3 * left) * np.sin(2 * right) + np.sin(5.0 * city) + random.normal(size=rows) / 4
    return pl.DataFrame(
        {
            "row": np.arange(rows, dtype=np.float64),
            "left": left,
            "right": right,
            "other": other,
            "city": [f"city {number}" for number in city],
            "when": pl.Series(np.arange(rows) * 3_600_000_000).cast(pl.Datetime("us")),
            "house": [f"house {number}" for number in random.integers(0, 300, rows)],
            "weight": random.choice([1.0, 3.0], rows),
            "y": values,
        }
    )


def written(folder: Path, frame: pl.DataFrame, **data: Any) -> Path:
    """Write the table into three files, and a model.yaml; return the path of the latter."""
    size = -(-frame.height // 3)
    for number in range(3):
        frame[number * size : (number + 1) * size].write_parquet(folder / f"t{number}.parquet", row_group_size=5_000)
    return write_spec(folder, path="t*.parquet", **data)


def write_spec(folder: Path, *, estimator: dict[str, Any] = SMALL, **data: Any) -> Path:
    """Write a model.yaml (in JSON, which is YAML too) and return its path."""
    spec = {"name": "m", "data": {"target": "y", "rows_in_memory": 3000, **data}, "estimator": estimator}
    path = folder / "model.yaml"
    path.write_text(json.dumps(spec))
    return path


def prepared(dataset: Dataset) -> tuple[Model, Sample, Sample]:
    spec, target, parts, frame = dataset.spec, dataset.target, dataset.parts, dataset.frame
    preprocessor, inputs = fit_preprocessor(frame[parts.train], dataset.features, target.values[parts.train], None, 0)
    train, validation = (
        Sample(tensors, target.values[rows], None if dataset.weights is None else dataset.weights[rows], stream)
        for tensors, rows, stream in (
            (inputs, parts.train, dataset.stream),
            (preprocessor.transform(frame[parts.validation]), parts.validation, None),
        )
    )
    return (
        build_model(preprocessor, dataset.features, train, None, spec, is_positive=dataset.is_positive),
        train,
        validation,
    )


def epoch(path: Path, share: Share = ALONE, size: int = 500, seed: int = 0) -> tuple[Dataset, Model, Batches]:
    dataset = read_dataset(path)
    model, train, _ = prepared(dataset)
    assert train.stream
    return dataset, model, training_batches(scaled(model, train), Files(train.stream, model), size, share, seed)


def targets(model: Model, batches: Batches) -> list[float]:
    """Return the targets of an epoch's batches, in order; every row has a different target."""
    return [float(value) for batch in batches for value in model.head.forward(batch[-3][:, None])[0][:, 0]]


def assert_same_rows(seen: list[float], expected: pl.Series) -> None:
    assert len(seen) == len(expected)
    assert np.allclose(np.sort(seen), expected.sort().to_numpy(), atol=1e-5)


ROLES: list[dict[str, Any]] = [{}, {"time": "when"}, {"group": "house"}]


@pytest.mark.parametrize("roles", ROLES, ids=["random", "time", "group"])
def test_an_epoch_is_every_row_that_belongs_to_training_once(roles: dict[str, Any], tmp_path: Path) -> None:
    frame = table(40_000)
    dataset, model, batches = epoch(written(tmp_path, frame, **roles))
    assert dataset.stream
    in_memory = frame[dataset.stream.sampled_rows]
    held_out = in_memory[np.concatenate([dataset.parts.validation, dataset.parts.test])]
    if "time" in roles:
        expected = frame.filter(pl.col("when") < held_out["when"].min())
    elif "group" in roles:
        expected = frame.filter(~pl.col("house").is_in(held_out["house"].unique().implode()))
    else:
        expected = frame.filter(~pl.col("row").is_in(held_out["row"].implode()))
    assert in_memory.height == 3000
    assert len(expected) > 15_000
    assert_same_rows(targets(model, batches), expected["y"])
    assert len(batches) == len(list(batches)) == -(-len(expected) // 500)


def test_rows_come_mixed_in_an_order_that_the_seed_decides(tmp_path: Path) -> None:
    path = written(tmp_path, table(40_000))
    _, model, batches = epoch(path)
    first = targets(model, batches)
    assert targets(model, batches) == first
    other = targets(model, epoch(path, seed=1)[2])
    assert other != first
    assert_same_rows(other, pl.Series(first))


def test_processes_share_every_batch_and_know_what_it_weighs(tmp_path: Path) -> None:
    path = written(tmp_path, table(40_000), weight="weight")
    _, _, batches = epoch(path)
    shares = [epoch(path, Share(rank, 2))[2] for rank in (0, 1)]
    for batch, left, right in zip(batches, *shares, strict=True):
        assert torch.equal(torch.cat([left[-3], right[-3]]).sort().values, batch[-3].sort().values)
        assert left[-1] == right[-1] == batch[-1] == batch[-2].sum()
    weights = torch.cat([batch[-2] for batch in batches]).numpy()
    assert len(np.unique(weights)) == 2
    assert weights.max() / weights.min() == pytest.approx(3)
    assert weights.mean() == pytest.approx(1, abs=0.05)


def test_every_row_has_the_same_chance_to_be_in_memory(tmp_path: Path) -> None:
    table(2 * ROWS + 100)[["row"]].write_parquet(tmp_path / "t.parquet")
    chunks = split_files([tmp_path / "t.parquet"])
    assert [chunk.rows for chunk in chunks] == [ROWS, ROWS, 100]
    counts = np.zeros(2 * ROWS + 100)
    for seed in range(200):
        sample = sample_rows(chunks, 1000, seed)
        assert len(np.unique(sample)) == 1000
        counts[sample] += 1
    assert (sample_rows(chunks, 1000, 0) == sample_rows(chunks, 1000, 0)).all()
    expected = 200 * 1000 / len(counts)
    assert np.var(counts) == pytest.approx(expected * (1 - 1000 / len(counts)), rel=0.05)
    assert counts[-100:].mean() == pytest.approx(expected, rel=0.15)


def fitted(path: Path, folder: Path) -> tuple[float, Choice]:
    dataset = read_dataset(path)
    model, train, validation = prepared(dataset)
    choice = choose_model(model, train, validation, dataset.spec, folder)
    truth = table(4_000, seed=9)
    answers = choice.model.predict(model.blueprint.preprocessor.transform(truth))["value"][:, 0]
    return float(((answers.numpy() - truth["y"].to_numpy()) ** 2).mean()), choice


IGNORED: dict[str, Any] = {"ignore": ["row", "when", "house", "weight"]}


@pytest.mark.long
@pytest.mark.slow
def test_network_learns_from_rows_beyond_memory(tmp_path: Path) -> None:
    """A network of all rows is better than one of the rows in memory.

    It is also nearly as good as a network with all rows in memory, whose scales come from more rows.
    """
    data = IGNORED | {"estimator": SMALL | {"epochs": 6}}
    path = written(tmp_path, table(60_000), rows_in_memory=5000, **data)
    read_table(read_spec(path), tmp_path).frame.write_parquet(tmp_path / "few.parquet")
    streamed, choice = fitted(path, tmp_path / "streamed")
    assert choice.tried[0].rows == 60_000 - 1500
    full, _ = fitted(write_spec(tmp_path, path="t*.parquet", rows_in_memory=None, **data), tmp_path / "full")
    longer = SMALL | {"epochs": 30, "batch_size": 32}
    few, _ = fitted(write_spec(tmp_path, path="few.parquet", rows_in_memory=None, estimator=longer), tmp_path / "few")
    assert streamed < 0.9 * few
    assert streamed < 1.25 * full


def test_the_same_seed_gives_the_same_weights_from_files(tmp_path: Path) -> None:
    path = written(tmp_path, table(40_000), **IGNORED, estimator=SMALL | {"epochs": 2})
    states = [fitted(path, tmp_path / name)[1].model.state_dict() for name in ("one", "two")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_small_table_is_in_memory_as_a_whole(tmp_path: Path) -> None:
    dataset = read_dataset(written(tmp_path, table(300)))
    assert dataset.stream is None
    assert dataset.frame.height == 300


STREAMED_ROW = 31_234


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("left", "much", rf"column 'left', row {STREAMED_ROW + 1}: expected .*; correct the value"),
        ("y", "much", rf"'y', row {STREAMED_ROW + 1}: expected a number with a magnitude of at most"),
        ("weight", "-1", rf"'weight', row {STREAMED_ROW + 1}: expected a number of at least 0"),
    ],
)
def test_unreadable_value_beyond_memory_is_named(column: str, value: str, message: str, tmp_path: Path) -> None:
    """A value beyond the rows in memory that cannot be read is named by its row."""
    texts = table(40_000).with_columns(pl.col(column).cast(pl.String))
    broken = texts.with_columns(
        pl.when(pl.col("row") == STREAMED_ROW).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    )
    path = written(tmp_path, broken, weight="weight")
    spec = json.loads(path.read_text()) | {"task": "regression", "features": {"left": {"kind": "numeric"}}}
    path.write_text(json.dumps(spec))
    with pytest.raises(DataError, match=message):
        read_dataset(path)


def test_a_class_that_no_row_in_memory_has_is_refused(tmp_path: Path) -> None:
    classes = table(40_000).with_columns(
        pl.when(pl.col("row") == STREAMED_ROW)
        .then(pl.lit("rare"))
        .otherwise(pl.lit("a") + (pl.col("y") > 0))
        .alias("y")
    )
    with pytest.raises(DataError, match=rf"row {STREAMED_ROW + 1}: expected a class of the rows in memory; raise"):
        read_dataset(written(tmp_path, classes))


def test_nonpositive_target_beyond_memory_has_no_logarithm(tmp_path: Path) -> None:
    """A target that is not positive beyond the rows in memory is not fitted as a logarithm."""
    amounts = table(40_000).with_columns((pl.col("y").exp() ** 2).alias("y"))
    assert prepared(read_dataset(written(tmp_path, amounts)))[0].blueprint.logarithm
    with_zero = amounts.with_columns(pl.when(pl.col("row") == STREAMED_ROW).then(0.0).otherwise(pl.col("y")).alias("y"))
    assert not prepared(read_dataset(written(tmp_path, with_zero)))[0].blueprint.logarithm


def test_only_parquet_is_read_in_pieces_and_not_by_the_clock(tmp_path: Path) -> None:
    table(10).write_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"model.yaml:1: data.rows_in_memory: .*t.csv is not Parquet.*; convert it"):
        read_dataset(write_spec(tmp_path, path="t.csv"))
    expected = r"`estimator.budget_seconds` cannot be combined with .*; set `estimator.epochs` and `estimator.trials`"
    with pytest.raises(SpecError, match=expected):
        read_dataset(write_spec(tmp_path, path="t.csv", estimator={"budget_seconds": 9}))


def test_files_that_disagree_or_are_damaged_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, table(9_000))
    table(9_000).drop("city").write_parquet(tmp_path / "t1.parquet")
    with pytest.raises(DataError, match=r"t1.parquet: its columns differ from those of .*t0.parquet: 'city'"):
        read_dataset(path)
    (tmp_path / "t1.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"t1.parquet: cannot be read as Parquet"):
        read_dataset(path)
