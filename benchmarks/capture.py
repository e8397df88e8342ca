"""Measure what the capture of traffic costs the service: ``make bench-capture``.

The server runs on the first core and wrk on the last one, in alternating rounds without and with capture, so that other
load on the machine affects both equally. The results are medians of the ratios of neighbouring rounds.
"""

import json
import os
import statistics
import tempfile
from pathlib import Path

import polars as pl
from rich.console import Console

from benchmarks.record import RESULTS, Target, target_table, write_results
from benchmarks.running import PORT, Figures, server
from benchmarks.wrk import WrkRequest, load_test

ROUNDS = 9

#: The share of the rows that are captured.
SHARE = 0.1

_COMMAND = ("bentoml", "serve", "--arg", "model=benchmark", "--port", str(PORT))


def main() -> None:
    """Measure, and write a table and JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        os.environ |= {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "1"}
        from benchmarks.mlp import ROW, save_model  # noqa: PLC0415 (the import needs BENTOML_HOME)

        save_model(folder / "files")
        body = json.dumps({"rows": [ROW]}).encode()
        capture = {"DEPLOYER_CAPTURE": str(folder / "store"), "DEPLOYER_CAPTURE_SHARE": str(SHARE)}
        without: list[Figures] = []
        with_capture: list[Figures] = []
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}")
            rounds: list[tuple[list[Figures], dict[str, str]]] = [(without, {}), (with_capture, capture)]
            for figures, settings in rounds if number % 2 else reversed(rounds):
                figures.append(_measure(body, settings))
        captured = sum(len(pl.read_parquet(file)) for file in (folder / "store" / "traffic").rglob("*.parquet"))
    ratios = {
        name: statistics.median(each[name] / alone[name] for each, alone in zip(with_capture, without, strict=True))
        for name in without[0]
    }
    targets = [
        Target("requests/s with capture, to those without", ratios["requests/s"], minimum=0.97),
        Target("p50 of a lone client with capture, to that without", ratios["lone client p50 ms"], maximum=1.03),
    ]
    document = {
        "rounds": ROUNDS,
        "share": SHARE,
        "captured rows": captured,
        "without": _medians(without),
        "with": _medians(with_capture),
        "ratios": ratios,
    }
    write_results(RESULTS / "capture.json", document, targets)
    Console(width=120).print(target_table(targets))


def _measure(body: bytes, settings: dict[str, str]) -> Figures:
    with server(_COMMAND, dict(os.environ) | settings, body) as (process, _):
        busy, lone = (load_test(process, WrkRequest(body), connections) for connections in (32, 1))
    return {
        "requests/s": busy.per_second,
        "p99 ms": busy.p99_ms,
        "lone client p50 ms": lone.p50_ms,
        "server busy": busy.server_busy,
        "client busy": busy.client_busy,
    }


def _medians(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


if __name__ == "__main__":
    main()
