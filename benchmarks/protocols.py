"""Compare the protocols of other servers with the native JSON, on one server in one run: ``make bench-protocols``.

The protocols are measured in turn, in several rounds, so that other load on the machine affects all of them equally.
Only the ratios to the native route are meaningful on other machines.
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

from benchmarks.record import RESULTS, Target, target_table, write_results
from benchmarks.running import PORT, Figures, server, successful_load_test

ROUNDS = 5
CONNECTIONS = 16
NATIVE = "native JSON"
JSON_TENSORS, BINARY_TENSORS = "Open Inference, JSON", "Open Inference, binary"
INFER = "/v2/models/benchmark/infer"


@dataclass(frozen=True)
class ProtocolRequest:
    """A request of one protocol."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def main() -> None:
    """Measure, and write a table and JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        os.environ |= {"BENTOML_HOME": str(Path(name) / "home"), "BENTOML_DO_NOT_TRACK": "1"}
        from benchmarks.mlp import ROW, save_model  # noqa: PLC0415 (the import needs BENTOML_HOME)

        save_model(Path(name) / "files")
        command = ("bentoml", "serve", "--arg", "model=benchmark", "--port", str(PORT))
        requests = {rows: _requests(ROW, rows) for rows in (1, 100)}
        with server(command, dict(os.environ), requests[1][NATIVE].body):
            rounds = [_measure(requests, number) for number in range(ROUNDS)]
    results = {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}
    ratios = {name: statistics.median(_ratio(figures, name) for figures in rounds) for name in rounds[0]}
    targets = [
        Target("one row as JSON tensors to native JSON", ratios[_label(JSON_TENSORS, 1)], minimum=0.9),
        Target("100 rows as binary tensors to native JSON", ratios[_label(BINARY_TENSORS, 100)], minimum=1),
    ]
    document = {"rounds": ROUNDS, "connections": CONNECTIONS, "requests/s": results, "ratios to native JSON": ratios}
    write_results(RESULTS / "protocols.json", document, targets)
    console = Console(width=120)
    console.print(_table(results, ratios))
    console.print(target_table(targets))


def _measure(requests: dict[int, dict[str, ProtocolRequest]], number: int) -> Figures:
    print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    return {
        _label(name, rows): _requests_per_second(request)
        for rows, by_protocol in requests.items()
        for name, request in by_protocol.items()
    }


def _requests_per_second(request: ProtocolRequest) -> float:
    figures = successful_load_test(request.body, CONNECTIONS, headers=request.headers, path=request.path)
    return figures["per_second"]


def _label(name: str, rows: int) -> str:
    return f"{name}, {rows} row{'s' * (rows > 1)}"


def _ratio(figures: Figures, name: str) -> float:
    rows = int(name.rpartition(", ")[2].split()[0])
    return figures[name] / figures[_label(NATIVE, rows)]


def _requests(row: Figures, rows: int) -> dict[str, ProtocolRequest]:
    """Return requests with the same rows in each protocol."""
    table = [row] * rows
    csv = "\n".join(",".join(str(value) for value in row.values()) for _ in table).encode()
    return {
        NATIVE: ProtocolRequest("/predict", _json({"rows": table})),
        JSON_TENSORS: ProtocolRequest(INFER, _json({"inputs": _tensors(row, rows)})),
        BINARY_TENSORS: _binary(row, rows),
        "TensorFlow Serving, rows": ProtocolRequest("/v1/models/benchmark:predict", _json({"instances": table})),
        "TensorFlow Serving, columns": ProtocolRequest(
            "/v1/models/benchmark:predict", _json({"inputs": {name: [value] * rows for name, value in row.items()}})
        ),
        "SageMaker, CSV": ProtocolRequest("/invocations", csv, {"Content-Type": "text/csv"}),
        "MLflow, dataframe_split": ProtocolRequest(
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


def _binary(row: Figures, rows: int) -> ProtocolRequest:
    """Return a request with binary tensors after the JSON header, for an answer with binary tensors."""
    size = {"parameters": {"binary_data_size": rows * struct.calcsize("d")}}
    inputs = [{key: tensor[key] for key in ("name", "shape", "datatype")} | size for tensor in _tensors(row, rows)]
    header = _json({"inputs": inputs, "parameters": {"binary_data_output": True}})
    blobs = b"".join(np.full(rows, value, "<f8").tobytes() for value in row.values())
    return ProtocolRequest(INFER, header + blobs, {"Inference-Header-Content-Length": str(len(header))})


def _table(results: Figures, ratios: Figures) -> Table:
    table = Table("", "requests/s", "to native JSON")
    for name, figure in results.items():
        table.add_row(name, f"{figure:,.0f}", f"x{ratios[name]:.2f}")
    return table


if __name__ == "__main__":
    main()
