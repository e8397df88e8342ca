"""Measure how much one hostile or bulk caller delays another caller: ``make bench-interference``.

A client sends one row every 10 ms, first alone, then next to each of the callers below, who send their request again
and again over two connections. The server runs on the first core. The clients share the last one, where the callers
have the lowest priority.
"""

import gzip
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.record import RESULTS, Target, target_table, write_results
from benchmarks.running import PORT, ROOT, Figures, rate_test, server
from benchmarks.wrk import WrkRequest

ROUNDS = 3

#: The requests per second of the client that is measured.
RATE = 100

#: The connections of a caller.
CONNECTIONS = 2

_JSON = {"Content-Type": "application/json"}
_CSV = {"Content-Type": "text/csv"}


def main() -> None:
    """Measure, and write a table and JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        os.environ |= {"BENTOML_HOME": str(Path(name) / "home"), "BENTOML_DO_NOT_TRACK": "1"}
        from benchmarks.mlp import ROW, save_model  # noqa: PLC0415 (the import needs BENTOML_HOME)

        save_model(Path(name) / "files")
        command = ("bentoml", "serve", "--arg", "model=benchmark", "--port", str(PORT))
        body = json.dumps({"rows": [ROW]}).encode()
        with server(command, dict(os.environ), body):
            rounds = [_measure(body, number) for number in range(ROUNDS)]
    results = {
        caller: {name: statistics.median(figures[caller][name] for figures in rounds) for name in ("p50_ms", "p99_ms")}
        for caller in rounds[0]
    }
    alone = results["alone"]
    ratios = {caller: figures["p50_ms"] / alone["p50_ms"] for caller, figures in results.items()}
    targets = [
        Target("p50 next to the worst caller, to that alone", max(ratios.values()), maximum=3),
        Target("p99 ms next to the worst caller", max(figures["p99_ms"] for figures in results.values()), maximum=50),
    ]
    write_results(RESULTS / "interference.json", {"rounds": ROUNDS, "results": results, "p50 ratios": ratios}, targets)
    console = Console(width=120)
    console.print(_table(results, ratios))
    console.print(target_table(targets))


def callers() -> dict[str, Callable[[], WrkRequest]]:
    """Return the requests of hostile and bulk callers by name, as functions: some bodies are large."""
    from benchmarks.mlp import NAMES, ROW  # noqa: PLC0415 (the import needs BENTOML_HOME)

    wrong = [ROW | {"x0": "a text", "x1": 1e9}] * 9_000
    columns = {name: [value] * 10_000 for name, value in ROW.items()}
    infer, predict = "/v2/models/benchmark/infer", "/v1/models/benchmark:predict"
    tensor = {"name": "x0", "shape": [1], "datatype": "FP64", "data": [1.0]}
    return {
        "10,000 rows": lambda: _json({"rows": [ROW] * 10_000}),
        "10,000 rows as columns": lambda: _json({"columns": columns}),
        "10,000 rows to TensorFlow Serving": lambda: _json({"instances": [ROW] * 10_000}, predict),
        "10,000 rows to Azure": lambda: _json({"data": [ROW] * 10_000}, "/score"),
        "10,000 rows of CSV": lambda: WrkRequest(
            "\n".join([",".join(map(str, ROW.values()))] * 10_000).encode(), _CSV, "/invocations"
        ),
        "10,000 rows of tensors": lambda: _json(
            {"inputs": [tensor | {"name": name, "shape": [10_000], "data": columns[name]} for name in NAMES]}, infer
        ),
        "9,000 invalid rows": lambda: _json({"rows": wrong}),
        "9,000 invalid rows to TorchServe": lambda: _json(wrong, "/predictions/benchmark"),
        "520 unknown fields": lambda: _json({"rows": [{f"y{index:04}": 1 for index in range(520)}]}),
        "200,000 tensors": lambda: _json({"inputs": [tensor] * 200_000}, infer),
        "5,000,000 empty rows": lambda: WrkRequest(b'{"data":[' + b"{}," * 5_000_000 + b"{}]}", _JSON, "/score"),
        "8,000,000 lines in gzip": lambda: WrkRequest(
            gzip.compress(b"1\n" * 8_000_000), _CSV | {"Content-Encoding": "gzip"}, "/invocations"
        ),
        "15 MB of one text": lambda: _json({"rows": [ROW | {"x0": "\\" * 7_500_000}]}),
        "nested lists": lambda: WrkRequest(b'{"rows":' + b"[" * 8_000_000, _JSON),
    }


def _json(document: Any, path: str = "/predict") -> WrkRequest:
    return WrkRequest(json.dumps(document, separators=(",", ":")).encode(), _JSON, path)


def _measure(body: bytes, number: int) -> dict[str, Figures]:
    figures = {"alone": _latencies(body)}
    for caller in callers():
        print(f"round {number + 1} of {ROUNDS}: {caller}", file=sys.stderr)
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.interference", caller],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            preexec_fn=_last_core_lowest_priority,  # noqa: PLW1509 (no threads yet)
        )
        assert process.stdout
        process.stdout.readline()
        figures[caller] = _latencies(body)
        process.terminate()
        process.wait()
    return figures


def _last_core_lowest_priority() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.nice(19)


def _latencies(body: bytes) -> Figures:
    statuses = rate_test(body, clients=50, rate=RATE)["statuses"]
    if statuses.keys() != {"200"}:
        raise SystemExit(f"not all requests were answered with 200: {sorted(statuses)}")
    figures: Figures = statuses["200"]
    return figures


def _table(results: Mapping[str, Figures], ratios: Figures) -> Table:
    table = Table("next to", "p50 ms", "p99 ms", "p50 to that alone")
    for caller, figures in results.items():
        table.add_row(caller, f"{figures['p50_ms']:.2f}", f"{figures['p99_ms']:.2f}", f"x{ratios[caller]:.2f}")
    return table


def attack(caller: str) -> None:
    """Send the request of a caller again and again; print a line once the first one is answered."""
    request = callers()[caller]()

    def send(is_first: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        while True:
            try:
                connection.request("POST", request.path, request.body, dict(request.headers))
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
            if is_first:
                is_first = False
                print("started", flush=True)

    for index in range(CONNECTIONS):
        threading.Thread(target=send, args=(index == 0,)).start()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        attack(sys.argv[1])
    else:
        main()
