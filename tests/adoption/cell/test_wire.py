import ast
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_deployer.adoption.cell import cell_worker
from model_deployer.adoption.cell.cell_worker import wire


def through_a_socket(header: dict[str, Any], columns: wire.Columns) -> tuple[dict[str, Any], wire.Columns]:
    one, other = socket.socketpair()
    with one, other:
        wire.send(one, header, columns)
        return wire.receive(other)


def test_columns_arrive_as_they_are() -> None:
    texts = np.array(["", "ä€𝄞", None, "\ud800", "a\nb"], object)
    columns = {
        "number": np.array([1.5, np.nan, np.inf, -0.0, 5e-324]),
        "integer": np.array([1, -(2**62), 3, 4, 5]),
        "boolean": np.array([True, False, True, True, False]),
        "probabilities": np.asfortranarray(np.arange(10.0).reshape(5, 2)),
        "text": texts,
    }
    header, received = through_a_socket({"verb": "predict"}, columns)
    assert header == {"verb": "predict"}
    assert list(received) == list(columns)
    assert received["text"].tolist() == texts.tolist()
    for name in ("number", "integer", "boolean", "probabilities"):
        assert received[name].dtype == columns[name].dtype
        np.testing.assert_array_equal(received[name], columns[name])


@pytest.mark.parametrize("rows", [0, 1, 10_000])
def test_any_number_of_rows(rows: int) -> None:
    columns = {"number": np.arange(float(rows)), "text": np.array(["x" * 5] * rows, object)}
    one, other = socket.socketpair()
    with one, other:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        wire.send(one, {}, columns)
        _, received = wire.receive(other)
    np.testing.assert_array_equal(received["number"], columns["number"])
    assert received["text"].tolist() == columns["text"].tolist()


def test_the_other_side_is_gone() -> None:
    one, other = socket.socketpair()
    one.close()
    with other, pytest.raises(wire.Disconnected):
        wire.receive(other)


def test_a_length_that_is_a_mistake() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ValueError, match="too long"):
            wire.receive(other)


def test_the_worker_runs_with_old_versions_of_python() -> None:
    """Python 3.6 evaluates the annotations of functions, and does not know ``dict[str, int]``."""
    for path in Path(str(cell_worker.__file__)).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6))
        for node in ast.walk(tree):
            assert not isinstance(node, ast.ImportFrom) or node.module != "__future__"
            for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
                assert not isinstance(annotation, ast.Subscript | ast.BinOp) or isinstance(node, ast.AnnAssign)
