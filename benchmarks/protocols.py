"""Compare the protocols of other servers with the native JSON, on one server in one run: ``make bench-protocols``.

The protocols are measured in turn, in several rounds, so that other load on the machine affects all of them equally.
Only the ratios to the native route are meaningful on other machines.
"""

import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import RESULTS, Target, target_table, write_results
from benchmarks.running import PORT, Figures, server
from benchmarks.wrk import WrkRequest, load_test

ROUNDS = 5
CONNECTIONS = 16
NATIVE = "native JSON"
JSON_TENSORS, BINARY_TENSORS = "Open Inference, JSON", "Open Inference, binary"
INFER = "/v2/models/benchmark/infer"


def main() -> None:
    """Measure, and write a table and JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        os.environ |= {"BENTOML_HOME": str(Path(name) / "home"), "BENTOML_DO_NOT_TRACK": "1"}
        from benchmarks.mlp import ROW, save_model  # noqa: PLC0415 (the import needs BENTOML_HOME)

        save_model(Path(name) / "files")
        command = ("bentoml", "serve", "--arg", "model=benchmark", "--port", str(PORT))
        requests = {rows: _requests(ROW, rows) for rows in (1, 100)}
        with server(command, dict(os.environ), requests[1][NATIVE].body) as (process, _):
            rounds = [_measure(process, requests, number) for number in range(ROUNDS)]
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


def _measure(process: "subprocess.Popen[bytes]", requests: dict[int, dict[str, WrkRequest]], number: int) -> Figures:
    print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    return {
        _label(name, rows): _requests_per_second(process, request)
        for rows, by_protocol in requests.items()
        for name, request in by_protocol.items()
    }


def _requests_per_second(process: "subprocess.Popen[bytes]", request: WrkRequest) -> float:
    result = load_test(process, request, CONNECTIONS)
    if result.errors:
        raise SystemExit(f"{result.errors} requests to {request.path} were not answered with 200")
    return result.per_second


def _label(name: str, rows: int) -> str:
    return f"{name}, {rows} row{'s' * (rows > 1)}"


def _ratio(figures: Figures, name: str) -> float:
    rows = int(name.rpartition(", ")[2].split()[0])
    return figures[name] / figures[_label(NATIVE, rows)]


def _requests(row: Figures, rows: int) -> dict[str, WrkRequest]:
    """Return requests with the same rows in each protocol."""
    table = [row] * rows
    columns = {name: [value] * rows for name, value in row.items()}
    csv = "\n".join(",".join(str(value) for value in row.values()) for _ in table).encode()
    return {
        NATIVE: WrkRequest(_json({"rows": table})),
        JSON_TENSORS: WrkRequest(_json({"inputs": _tensors(row, rows)}), path=INFER),
        BINARY_TENSORS: _binary(row, rows),
        "TensorFlow Serving, rows": WrkRequest(_json({"instances": table}), path="/v1/models/benchmark:predict"),
        "TensorFlow Serving, columns": WrkRequest(_json({"inputs": columns}), path="/v1/models/benchmark:predict"),
        "SageMaker, CSV": WrkRequest(csv, {"Content-Type": "text/csv"}, "/invocations"),
        "MLflow, dataframe_split": WrkRequest(
            _json({"dataframe_split": {"columns": list(row), "data": [list(row.values())] * rows}}), path="/invocations"
        ),
    }


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _tensors(row: Figures, rows: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [rows, 1], "datatype": "FP64", "data": [value] * rows} for name, value in row.items()
    ]


def _binary(row: Figures, rows: int) -> WrkRequest:
    """Return a request with binary tensors after the JSON header, for an answer with binary tensors."""
    size = {"parameters": {"binary_data_size": rows * struct.calcsize("d")}}
    inputs = [{key: tensor[key] for key in ("name", "shape", "datatype")} | size for tensor in _tensors(row, rows)]
    header = _json({"inputs": inputs, "parameters": {"binary_data_output": True}})
    blobs = b"".join(np.full(rows, value, "<f8").tobytes() for value in row.values())
    return WrkRequest(header + blobs, {"Inference-Header-Content-Length": str(len(header))}, INFER)


def _table(results: Figures, ratios: Figures) -> Table:
    table = Table("", "requests/s", "to native JSON")
    for name, figure in results.items():
        table.add_row(name, f"{figure:,.0f}", f"x{ratios[name]:.2f}")
    return table


if __name__ == "__main__":
    main()
