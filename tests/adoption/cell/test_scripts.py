"""Scripts and notebooks next to a model: their classes work, and an error names the line and what the class lacks."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment
from model_deployer.adoption.cell.process import CellProcess, start_cell
from model_deployer.adoption.source.definitions import Definition, find_definitions

COLUMNS = {"a": np.arange(4.0), "b": np.ones(4)}

NETWORK = """
import torch
{variables}

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        {check}
        self.first = torch.nn.Linear({columns}, {width})
        self.last = torch.nn.Linear({width}, 1)

    def forward(self, rows):
        return self.last(self.first(rows)){factor}
"""


@pytest.fixture
def cell() -> Iterator[CellProcess]:
    with start_cell(CellEnvironment(Path(sys.executable), {})) as process:
        yield process


def network_code(variables: str, **parts: str) -> str:
    usual = {"check": "", "columns": "2", "width": "3", "factor": ""}
    return NETWORK.format(variables=variables, **usual | parts)


def load_network(cell: CellProcess, folder: Path, code: str, cells: list[str] | None = None) -> None:
    """Load weights with the class of a script, or of a notebook with these cells in front of it."""
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    names = {"0": "first", "1": "last"}
    weights = {f"{names[name[0]]}{name[1:]}": value for name, value in network.state_dict().items()}
    torch.save(weights, folder / "weights.pt")
    if cells is None:
        (folder / "net.py").write_text(code)
    else:
        listed = [{"cell_type": "code", "source": text} for text in (*cells, code)]
        title = {"cell_type": "markdown", "source": ["# A network"]}
        (folder / "net.ipynb").write_text(json.dumps({"cells": [title, *listed]}))
    load(cell, "torch_state_dict", folder / "weights.pt", definition(folder, "Network"))


def definition(folder: Path, name: str) -> Definition:
    (one,) = find_definitions(folder, [("__main__", name)])
    return one


def load(cell: CellProcess, kind: str, path: Path, needed: Definition) -> None:
    cell.load([{"kind": kind, "path": str(path)}], [needed.script])


def load_pickle(cell: CellProcess, folder: Path, code: str) -> None:
    """Load the pickle that a script writes, with its class ``Model``."""
    (folder / "train.py").write_text(code + "\nimport pickle, sys\npickle.dump(Model(), open('model.pkl', 'wb'))\n")
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True)
    load(cell, "pickle", folder / "model.pkl", definition(folder, "Model"))


def test_a_variable_of_a_script_that_a_class_needs_is_named(cell: CellProcess, tmp_path: Path) -> None:
    with pytest.raises(CellError) as refusal:
        load_network(cell, tmp_path, network_code("HIDDEN = torch.tensor(3).item()", width="HIDDEN"))
    assert str(refusal.value) == (
        "the source cannot load: net.py line 9 needs the variable 'HIDDEN', which is computed in net.py line 3. Only "
        "imports, classes, functions and constants of a script run, not the script itself: write the value of 'HIDDEN' "
        "there as a constant, such as a number, a text or a list"
    )


def test_a_variable_of_a_notebook_is_named_with_its_cell(cell: CellProcess, tmp_path: Path) -> None:
    cells = ["%matplotlib inline\nimport torch", "print('training')\nHIDDEN = torch.tensor(3).item()"]
    with pytest.raises(CellError, match=r"net\.ipynb cell 4 line 9 needs the variable 'HIDDEN', which is computed in "
                       r"net\.ipynb cell 3 line 2\."):  # fmt: skip
        load_network(cell, tmp_path, network_code("", width="HIDDEN"), cells)


def test_a_variable_that_the_script_lacks_is_named(cell: CellProcess, tmp_path: Path) -> None:
    with pytest.raises(CellError, match="'WIDTH', which the script does not define"):
        load_network(cell, tmp_path, network_code("", width="WIDTH"))


def test_constants_may_be_computed_of_others(cell: CellProcess, tmp_path: Path) -> None:
    variables = "NAMES = ['a', 'b']; COLUMNS = len(NAMES)\nSIZES = {'hidden': 2 * COLUMNS - 1}\nWIDTH = SIZES['hidden']"
    load_network(cell, tmp_path, network_code(variables, columns="COLUMNS", width="WIDTH"))
    assert cell.predict(COLUMNS)[0]["value"].shape == (4, 1)


def test_a_variable_that_is_needed_for_an_answer_is_named(cell: CellProcess, tmp_path: Path) -> None:
    """It refuses no row: the model itself is not complete."""
    load_network(cell, tmp_path, network_code("SCALE = torch.ones(1)", factor=" * SCALE"))
    with pytest.raises(CellError, match=r"net\.py line 13 needs the variable 'SCALE', which is computed in net\.py"):
        cell.predict(COLUMNS)


def test_another_error_of_a_class_is_said_with_its_line(cell: CellProcess, tmp_path: Path) -> None:
    with pytest.raises(CellError, match=r"'Network': ValueError: no such size.*\(net\.py line 8\)$"):
        load_network(cell, tmp_path, network_code("", check="raise ValueError('no such size')"))


def test_an_error_of_a_script_is_said_with_its_line(cell: CellProcess, tmp_path: Path) -> None:
    path = tmp_path / "service.py"
    path.write_text("LIMITS = {}\n\ndef predict(df):\n    return df\n\nLIMIT = LIMITS['usual']\n")
    with pytest.raises(CellError, match=r"KeyError: 'usual' \(service\.py line 6\)$"):
        cell.load([{"kind": "python", "path": str(path)}])
    path.write_text("def predict(df):\n    return df\n\nprint(LIMIT)\n")
    with pytest.raises(CellError, match=r"service\.py line 4 needs the variable 'LIMIT', which is not defined there$"):
        cell.load([{"kind": "python", "path": str(path)}])


MODEL = """
class App:
    def route(self, path):
        return lambda function: function
app = App()

@app.route("/")
def index():
    return "hello"

{base}
class Model({bases}):
    def predict(self, rows):
        return rows[:, 0] * 2
"""


def test_functions_that_cannot_be_defined_are_missed_only_where_they_are_needed(
    cell: CellProcess, tmp_path: Path
) -> None:
    """Such as a page of Flask, in the script of the model's class."""
    load_pickle(cell, tmp_path, MODEL.format(base="", bases=""))
    np.testing.assert_array_equal(cell.predict(COLUMNS)[0]["value"], COLUMNS["a"] * 2)


def test_a_class_that_cannot_be_defined_names_what_it_lacks(cell: CellProcess, tmp_path: Path) -> None:
    with pytest.raises(CellError, match=r"train\.py line 12 needs the variable 'Base', which is computed in train\.py"):
        load_pickle(cell, tmp_path, MODEL.format(base="Base = type('Base', (), {})", bases="Base"))


KEPT = '''import os; LIMIT = 3; print(LIMIT)
try:
    import json
except ImportError:
    json = None
äöü = "äöü"; other = os.getcwd(); TEXT = """
  a text
"""
@property
def one(self):
    return äöü
if __name__ == "__main__":
    SECRET = 7
for name in TEXT:
    last = name
'''


def test_kept_statements_have_the_lines_of_the_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(KEPT)
    one = definition(tmp_path, "one")
    texts = ["import os", "LIMIT = 3", "try:", 'äöü = "äöü"', 'TEXT = """', "@property"]
    whole = {ast.unparse(node): node.lineno for node in ast.parse(KEPT).body}
    kept = {ast.unparse(node): node.lineno for node in ast.parse(one.code).body}
    assert len(kept) == len(texts)
    assert kept.items() <= whole.items()
    assert one.left_out == {
        "other": "script.py line 6", "SECRET": "script.py line 13", "name": "script.py line 14",
        "last": "script.py line 15",
    }  # fmt: skip


@pytest.mark.parametrize(
    "value", ["open('x')", "os.environ", "[name for name in X]", "len(unknown)", "'a'.upper()", "(lambda: 1)()", "max"]
)
def test_what_is_more_than_a_constant_does_not_run(tmp_path: Path, value: str) -> None:
    (tmp_path / "script.py").write_text(f"import os\nX = [1]\nY = {value}\ndef one(): pass\n")
    one = definition(tmp_path, "one")
    assert "Y" not in one.code
    assert one.left_out["Y"] == "script.py line 3"
