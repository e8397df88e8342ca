"""The protocols of other servers beside the service's own JSON, on one server in one run: ``make bench-protocols``.

Each speaks in turn, round after round, so that what else the machine does falls on all of them alike. The ratios to
the native route are what holds elsewhere.
"""

import json
import os
import statistics
import struct
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import RESULTS, Target, verdict, write_results
from benchmarks.running import PORT, Figures, ask, server

ROUNDS = 5
CONNECTIONS = 16
NATIVE = "native JSON"
JSON_TENSORS, BINARY_TENSORS = "Open Inference, JSON", "Open Inference, binary"
INFER = "/v2/models/benchmark/infer"


@dataclass(frozen=True)
class Speech:
    """A request of one protocol."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def main() -> None:
    """Measure, and write a table and JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        os.environ |= {"BENTOML_HOME": str(Path(name) / "home"), "BENTOML_DO_NOT_TRACK": "1"}
        from benchmarks.mlp import ROW, save_model  # noqa: PLC0415 (only now does BENTOML_HOME say where the store is)

        save_model(Path(name) / "files")
        command = ("bentoml", "serve", "--arg", "model=benchmark", "--port", str(PORT))
        speeches = {rows: _speeches(ROW, rows) for rows in (1, 100)}
        with server(command, dict(os.environ), speeches[1][NATIVE].body):
            rounds = [_measure(speeches, number) for number in range(ROUNDS)]
    results = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    ratios = {name: statistics.median(_ratio(each, name) for each in rounds) for name in rounds[0]}
    targets = [
        Target("one row as JSON tensors to native JSON", ratios[_label(JSON_TENSORS, 1)], least=0.9),
        Target("100 rows as binary tensors to native JSON", ratios[_label(BINARY_TENSORS, 100)], least=1),
    ]
    document = {"rounds": ROUNDS, "connections": CONNECTIONS, "requests/s": results, "ratios to native JSON": ratios}
    write_results(RESULTS / "protocols.json", document, targets)
    console = Console(width=120)
    console.print(_table(results, ratios))
    console.print(verdict(targets))


def _measure(speeches: dict[int, dict[str, Speech]], number: int) -> Figures:
    print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    return {
        _label(name, rows): ask(each.body, CONNECTIONS, headers=each.headers, path=each.path)["per_second"]
        for rows, spoken in speeches.items()
        for name, each in spoken.items()
    }


def _label(name: str, rows: int) -> str:
    return f"{name}, {rows} row{'s' * (rows > 1)}"


def _ratio(measured: Figures, name: str) -> float:
    rows = int(name.rpartition(", ")[2].split()[0])
    return measured[name] / measured[_label(NATIVE, rows)]


def _speeches(row: Figures, rows: int) -> dict[str, Speech]:
    """The same rows in each protocol."""
    table = [row] * rows
    csv = "\n".join(",".join(str(value) for value in row.values()) for _ in table).encode()
    return {
        NATIVE: Speech("/predict", _json({"rows": table})),
        JSON_TENSORS: Speech(INFER, _json({"inputs": _tensors(row, rows)})),
        BINARY_TENSORS: _binary(row, rows),
        "TensorFlow Serving, rows": Speech("/v1/models/benchmark:predict", _json({"instances": table})),
        "TensorFlow Serving, columns": Speech(
            "/v1/models/benchmark:predict", _json({"inputs": {name: [value] * rows for name, value in row.items()}})
        ),
        "SageMaker, CSV": Speech("/invocations", csv, {"Content-Type": "text/csv"}),
        "MLflow, dataframe_split": Speech(
            "/invocations",
            _json({"dataframe_split": {"columns": list(row), "data": [list(row.values())] * rows}}),
        ),
    }


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _tensors(row: Figures, rows: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [rows, 1], "datatype": "FP64", "data": [value] * rows} for name, value in row.items()
    ]


def _binary(row: Figures, rows: int) -> Speech:
    """Tensors as bytes behind the JSON, and asked for as bytes."""
    size = {"parameters": {"binary_data_size": rows * struct.calcsize("d")}}
    inputs = [{key: each[key] for key in ("name", "shape", "datatype")} | size for each in _tensors(row, rows)]
    head = _json({"inputs": inputs, "parameters": {"binary_data_output": True}})
    blobs = b"".join(np.full(rows, value, "<f8").tobytes() for value in row.values())
    return Speech(INFER, head + blobs, {"Inference-Header-Content-Length": str(len(head))})


def _table(results: Figures, ratios: Figures) -> Table:
    table = Table("", "requests/s", "to native JSON")
    for name, figure in results.items():
        table.add_row(name, f"{figure:,.0f}", f"x{ratios[name]:.2f}")
    return table


if __name__ == "__main__":
    main()
