"""Our service beside a bare ASGI function, FastAPI, LitServe and BentoML's own batching: ``make bench-serving``.

Every server gets the first core and the client the last one; one server runs at a time, in alternating rounds, so that
what else the machine does falls on all of them alike. Medians over the rounds; the ratios are what holds elsewhere.
"""

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.record import RESULTS, Target, verdict, write_results
from benchmarks.running import PORT, SECONDS, Figures, ask, run, send, server

ROUNDS = 3
CEILING = "bare ASGI"
OURS = "model-deployer"
HEAVY = "1,000 rows in gzip"

#: How long clients wait for an answer in the measurement of overload.
PATIENCE_MS = 250


@dataclass(frozen=True)
class Peer:
    """A server: how it is started, and whether one of its requests may hold many rows."""

    command: tuple[str, ...]
    bulk: bool = True


PEERS = {
    CEILING: Peer(("uvicorn", "benchmarks.peers.bare:app", "--port", str(PORT), "--log-level", "error")),
    OURS: Peer(("bentoml", "serve", "--arg", "model=benchmark", "--port", str(PORT))),
    "FastAPI": Peer(
        ("uvicorn", "benchmarks.peers.fastapi_app:app", "--port", str(PORT), "--log-level", "error", "--no-access-log")
    ),
    "LitServe": Peer(("python", "-m", "benchmarks.peers.litserve_app", str(PORT)), bulk=False),
    "BentoML stock": Peer(("bentoml", "serve", "benchmarks.peers.stock:Stock", "--port", str(PORT))),
}


def main() -> None:
    """Measure, and write tables, picture and JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        environment = _prepare(Path(name))
        from benchmarks.mlp import ROW  # noqa: PLC0415 (only now does BENTOML_HOME say where the store is)

        rounds: dict[str, list[Figures]] = {peer: [] for peer in PEERS}
        ours: list[Figures] = []
        for number in range(ROUNDS):
            for peer in PEERS:
                print(f"round {number + 1} of {ROUNDS}: {peer}", file=sys.stderr)
                rounds[peer].append(_measure(peer, environment, ROW))
            print(f"round {number + 1} of {ROUNDS}: tables, overload, workers", file=sys.stderr)
            ours.append(_measure_ours(environment, ROW, Path(name)))
    results, alone = {peer: _medians(measured) for peer, measured in rounds.items()}, _medians(ours)
    targets = _targets(results, alone)
    measured = {"rounds": ROUNDS, "results": results, "model-deployer alone": alone}
    write_results(RESULTS / "serving.json", measured, targets)
    console = Console(width=170)
    console.print(_table(results))
    console.print(_list("model-deployer", alone))
    console.print(verdict(targets))
    _draw(results)


def _prepare(folder: Path) -> dict[str, str]:
    """A store with the model, the same graph as a file for the peers, and the environment that names both."""
    os.environ |= {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "1", "MODEL": str(folder / "mlp.onnx")}
    from benchmarks.mlp import matrix_graph, save_model  # noqa: PLC0415

    onnx.save(matrix_graph(), folder / "mlp.onnx")
    save_model(folder / "files")
    return dict(os.environ)


def _measure(peer: str, environment: dict[str, str], row: Figures) -> Figures:
    single = _rows(row, 1)
    with server(PEERS[peer].command, environment, single) as (process, ready):
        busy, lone = ask(single, 32), ask(single, 1)
        measured = {
            "requests/s, 32 connections": busy["per_second"],
            "p99 ms, 32 connections": busy["p99_ms"],
            "lone client p50 ms": lone["p50_ms"],
            "ready after s": ready,
            "resident MB, of the worker": max(each.memory_info().rss for each in _processes(process)) / 1e6,
        }
        if PEERS[peer].bulk:
            measured["rows/s, 1,000 a request"] = 1_000 * ask(_rows(row, 1_000), 2)["per_second"]
        return measured


def _measure_ours(environment: dict[str, str], row: Figures, folder: Path) -> Figures:
    """What the peers do not have: tables, refusals, and several workers; beside it a loop without any server."""
    with server(PEERS[OURS].command, environment, _rows(row, 1)):
        measured = _measure_tables(row)
        measured |= _measure_overload(_rows(row, 100), "100 rows")
        measured |= _measure_overload(gzip.compress(_rows(row, 1_000)), HEAVY, **{"Content-Encoding": "gzip"})
    done = run([sys.executable, "-m", "benchmarks.peers.loop", "1000", str(SECONDS)], min, environment)
    measured["rows/s of a loop without a server, 1,000 a turn"] = float(done.stdout)
    for workers in (1, 2):
        settings = folder / f"{workers}.yaml"
        settings.write_text(f"services: {{ModelService: {{workers: {workers}}}}}\n")
        environment = environment | {"BENTOML_CONFIG": str(settings)}
        measured |= _measure_workers(workers, environment, row)
    return measured


def _measure_tables(row: Figures) -> Figures:
    import polars as pl  # noqa: PLC0415

    columns = {name: [value] * 1_000 for name, value in row.items()}
    stream = pl.DataFrame(columns).write_ipc_stream(None, compression="uncompressed").getvalue()
    arrow = "application/vnd.apache.arrow.stream"
    bodies = {
        "JSON rows": (_rows(row, 1_000), "application/json", "application/json"),
        "JSON columns": (json.dumps({"columns": columns}).encode(), "application/json", "application/json"),
        "Arrow stream": (stream, arrow, arrow),
    }
    return {
        f"rows/s, 1,000 a request, {name}": 1_000
        * ask(body, 2, headers={"Content-Type": media_type, "Accept": accept})["per_second"]
        for name, (body, media_type, accept) in bodies.items()
    }


def _measure_overload(body: bytes, name: str, **headers: str) -> Figures:
    """Four times as many requests as can be answered, from clients who wait for a quarter of a second."""
    headers = {"Content-Type": "application/json", "X-Request-Timeout-Ms": str(PATIENCE_MS)} | headers
    peak = ask(body, 8, headers=headers)["per_second"]
    found = send(body, clients=1_000, rate=4 * peak, headers=headers)
    accepted, refused = (found["statuses"].get(status, {}) for status in ("200", "503"))
    return {
        f"{name}: peak, requests/s": peak,
        f"{name}: answered/s at four times the peak": accepted.get("per_second", 0.0),
        f"{name}: refused/s": refused.get("per_second", 0.0),
        f"{name}: too late/s": found["statuses"].get("504", {}).get("per_second", 0.0),
        f"{name}: p99 ms of the answered": accepted.get("p99_ms", 0.0),
        f"{name}: p99 ms of the refused": refused.get("p99_ms", 0.0),
    }


def _measure_workers(workers: int, environment: dict[str, str], row: Figures) -> Figures:
    """The processor time of a request: what N workers need no more of than one, N cores answer N times as often."""
    body = _rows(row, 1)
    with server(PEERS[OURS].command, environment, body, cores=os.sched_getaffinity(0)) as (process, _):
        before = _processor_seconds(process)
        found = send(body, clients=32)
        used = _processor_seconds(process) - before
        # The warm-up is a quarter of the measured time, and its answers are not counted.
        answers = 1.25 * sum(found["answers"].values())
        return {f"processor us a request, {workers} worker{'s' * (workers > 1)}": 1e6 * used / answers}


def _rows(row: Figures, count: int) -> bytes:
    return json.dumps({"rows": [row] * count}).encode()


def _processes(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def _processor_seconds(process: "subprocess.Popen[bytes]") -> float:
    times = [each.cpu_times() for each in _processes(process)]
    return float(sum(each.user + each.system for each in times))


def _medians(measured: list[Figures]) -> Figures:
    return {name: statistics.median(each[name] for each in measured) for name in measured[0]}


def _targets(results: dict[str, Figures], alone: Figures) -> list[Target]:
    """What the service is held to."""
    ours, ceiling = results[OURS], results[CEILING]
    busy, peak = "requests/s, 32 connections", alone[f"{HEAVY}: peak, requests/s"]
    json_rows = alone["rows/s, 1,000 a request, JSON rows"]
    return [
        Target("requests/s to the bare ceiling's", ours[busy] / ceiling[busy], least=0.75),
        Target("requests/s to FastAPI's", ours[busy] / results["FastAPI"][busy], least=1.6),
        Target("requests/s to LitServe's", ours[busy] / results["LitServe"][busy], least=6),
        Target("requests/s to stock BentoML's", ours[busy] / results["BentoML stock"][busy], least=10),
        Target("lone p50 to the ceiling's", ours["lone client p50 ms"] / ceiling["lone client p50 ms"], most=2),
        Target("JSON rows/s to a bare loop", json_rows / alone["rows/s of a loop without a server, 1,000 a turn"], 0.7),
        Target("Arrow rows/s to JSON rows/s", alone["rows/s, 1,000 a request, Arrow stream"] / json_rows, least=5),
        Target(
            "goodput to the peak, at four times the peak",
            alone[f"{HEAVY}: answered/s at four times the peak"] / peak,
            0.9,
        ),
        Target("p99 ms of the answered", alone[f"{HEAVY}: p99 ms of the answered"], most=PATIENCE_MS),
        Target("p99 ms of the refused", alone[f"{HEAVY}: p99 ms of the refused"], most=50),
        Target("ready after s", ours["ready after s"], most=4),
        Target("resident MB, of the worker", ours["resident MB, of the worker"], most=250),
        Target(
            "processor time of a request, one worker to two",
            alone["processor us a request, 1 worker"] / alone["processor us a request, 2 workers"],
            least=0.9,
        ),
    ]


def _table(results: dict[str, Figures]) -> Table:
    """A row a server: every figure, and what it is of the ceiling's."""
    ceiling = results[CEILING]
    table = Table("", *ceiling)
    for peer, figures in results.items():
        table.add_row(peer, *(_cell(figures.get(name), figure) for name, figure in ceiling.items()))
    return table


def _cell(figure: float | None, ceiling: float) -> str:
    return "" if figure is None else f"{figure:,.4g} (x{figure / ceiling:.2f})"


def _list(title: str, figures: Figures) -> Table:
    table = Table(title, "")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,.4g}")
    return table


def _draw(results: dict[str, Figures]) -> None:
    import matplotlib  # noqa: PLC0415 (needed only here)

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    measures = ["requests/s, 32 connections", "lone client p50 ms", "rows/s, 1,000 a request"]
    figure, axes = pyplot.subplots(1, len(measures), figsize=(13, 3.2), constrained_layout=True)
    for axis, measure in zip(axes, measures, strict=True):
        shown: dict[str, Any] = {peer: figures[measure] for peer, figures in results.items() if measure in figures}
        colours = ["tab:green" if peer == OURS else "lightgrey" if peer == CEILING else "tab:blue" for peer in shown]
        bars = axis.barh(list(shown), list(shown.values()), color=colours)
        axis.bar_label(
            bars, labels=[f"{figure:,.3g}" if figure < 100 else f"{figure:,.0f}" for figure in shown.values()]
        )
        axis.set_xscale("log" if "ms" in measure else "linear")
        axis.set_xticks([])
        axis.margins(x=0.2)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.invert_yaxis()
        axis.set_title(f"{measure} (logarithmic)" if "ms" in measure else measure)
    figure.savefig(RESULTS / "serving.png", dpi=120)


if __name__ == "__main__":
    main()
