"""Notebooks run in their cell; the one that fails names its cell."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment
from model_deployer.adoption.cell.process import CellProcess, start_cell

CELLS = [
    "%matplotlib inline\nimport numpy as np\nfrom sklearn.linear_model import LinearRegression",
    "rows = np.loadtxt('rows.csv', delimiter=',')",
    "model = LinearRegression().fit(rows, rows.sum(axis=1))\nsame = model",
]
ROWS = np.arange(10.0).reshape(5, 2) ** 2


@pytest.fixture
def cell() -> Iterator[CellProcess]:
    with start_cell(CellEnvironment(Path(sys.executable), {})) as process:
        yield process


def write(folder: Path, cells: list[str]) -> Path:
    np.savetxt(folder / "rows.csv", ROWS, delimiter=",")
    text = {"cell_type": "markdown", "source": ["# A model"]}
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    (folder / "notebook.ipynb").write_text(json.dumps({"nbformat": 4, "cells": [text, *code]}))
    return folder / "notebook.ipynb"


def load(cell: CellProcess, path: Path, key: str | None = None) -> None:
    cell.load([{"kind": "notebook", "path": str(path), "key": key}])


def test_its_model_answers(cell: CellProcess, tmp_path: Path) -> None:
    load(cell, write(tmp_path, CELLS))
    answers, refused = cell.predict({"a": ROWS[:, 0], "b": ROWS[:, 1]})
    np.testing.assert_allclose(answers["value"], ROWS.sum(axis=1))
    assert refused == {}


def test_the_cell_that_fails_is_named(cell: CellProcess, tmp_path: Path) -> None:
    with pytest.raises(CellError, match="cell 5 line 1: NameError: name 'modle' is not defined"):
        load(cell, write(tmp_path, [*CELLS, "modle.score(rows, rows)"]))


def test_one_of_several_models_has_to_be_named(cell: CellProcess, tmp_path: Path) -> None:
    path = write(tmp_path, [*CELLS, "other = LinearRegression().fit(rows, rows[:, 0])\nempty = LinearRegression()"])
    with pytest.raises(CellError, match="it has model, same, other: name it"):
        load(cell, path)
    load(cell, path, "other")
    answers, _ = cell.predict({"a": ROWS[:, 0], "b": ROWS[:, 1]})
    np.testing.assert_allclose(answers["value"], ROWS[:, 0], atol=1e-9)
