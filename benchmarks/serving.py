"""Compare our service with a bare ASGI function, FastAPI, LitServe and BentoML's batching: ``make bench-serving``.

Every server runs on the first core and the client on the last one: wrk, which is written in C. One server runs at a
time, in alternating rounds, so that other load on the machine affects all of them equally. The results are medians over
the rounds; only the ratios are meaningful on other machines. ``busy`` figures say what limited a server: its core was
busy all the time, and the client's was not.
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

from benchmarks.record import RESULTS, Target, target_table, write_results
from benchmarks.running import PORT, SECONDS, Figures, rate_test, run, server
from benchmarks.wrk import WrkRequest, load_test
from model_deployer.handoff.measurement.load_generator import LOST_CONNECTION

ROUNDS = 3
CEILING = "bare ASGI"
OURS = "model-deployer"
HEAVY = "1,000 rows in gzip"

#: The timeout of the clients in the measurement of overload, in milliseconds.
CLIENT_TIMEOUT_MS = 250


@dataclass(frozen=True)
class Peer:
    """A server: the command that starts it, and whether its requests may contain several rows."""

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
    """Measure, and write tables, a plot and JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        environment = _prepare(Path(name))
        from benchmarks.mlp import ROW  # noqa: PLC0415 (the import needs BENTOML_HOME)

        rounds: dict[str, list[Figures]] = {peer: [] for peer in PEERS}
        ours: list[Figures] = []
        for number in range(ROUNDS):
            for peer in PEERS:
                print(f"round {number + 1} of {ROUNDS}: {peer}", file=sys.stderr)
                rounds[peer].append(_measure(peer, environment, ROW))
            print(f"round {number + 1} of {ROUNDS}: tables, overload, workers", file=sys.stderr)
            ours.append(_measure_ours(environment, ROW, Path(name)))
    results, ours_only = {peer: _medians(figures) for peer, figures in rounds.items()}, _medians(ours)
    targets = _targets(results, ours_only)
    document = {"rounds": ROUNDS, "results": results, "model-deployer alone": ours_only}
    write_results(RESULTS / "serving.json", document, targets)
    console = Console(width=170)
    console.print(_table(results))
    console.print(_list("model-deployer", ours_only))
    console.print(target_table(targets))
    _draw(results)


def _prepare(folder: Path) -> dict[str, str]:
    """Save the model in a store, and its graph as a file for the other servers; return the environment variables."""
    os.environ |= {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "1", "MODEL": str(folder / "mlp.onnx")}
    from benchmarks.mlp import matrix_graph, save_model  # noqa: PLC0415

    onnx.save(matrix_graph(), folder / "mlp.onnx")
    save_model(folder / "files")
    return dict(os.environ)


def _measure(peer: str, environment: dict[str, str], row: Figures) -> Figures:
    single = _rows(row, 1)
    with server(PEERS[peer].command, environment, single) as (process, ready):
        busy, lone = (load_test(process, WrkRequest(single), connections) for connections in (32, 1))
        resident = max(member.memory_info().rss for member in _processes(process))
        figures = {
            "requests/s, 32 connections": busy.per_second,
            "p99 ms, 32 connections": busy.p99_ms,
            "processor us a request, 32 connections": 1e6 * busy.server_busy / busy.per_second,
            "server busy, 32 connections": busy.server_busy,
            "client busy, 32 connections": busy.client_busy,
            "lone client p50 ms": lone.p50_ms,
            "errors": busy.errors + lone.errors,
            "ready after s": ready,
            "resident MB, of the worker": resident / 1e6,
        }
        if PEERS[peer].bulk:
            figures["rows/s, 1,000 a request"] = _rows_per_second(process, WrkRequest(_rows(row, 1_000)))
        return figures


def _measure_ours(environment: dict[str, str], row: Figures, folder: Path) -> Figures:
    """Measure what the other servers do not have: tables, overload and several workers; and a loop without a server."""
    with server(PEERS[OURS].command, environment, _rows(row, 1)) as (process, _):
        figures = _measure_tables(process, row)
        figures |= _measure_overload(process, _rows(row, 100), "100 rows")
        figures |= _measure_overload(process, gzip.compress(_rows(row, 1_000)), HEAVY, **{"Content-Encoding": "gzip"})
    completed = run([sys.executable, "-m", "benchmarks.peers.loop", "1000", str(SECONDS)], min, environment)
    figures["rows/s of a loop without a server, 1,000 a turn"] = float(completed.stdout)
    for workers in (1, 2):
        settings = folder / f"{workers}.yaml"
        settings.write_text(f"services: {{ModelService: {{workers: {workers}}}}}\n")
        environment = environment | {"BENTOML_CONFIG": str(settings)}
        figures |= _measure_workers(workers, environment, row)
    return figures


def _rows_per_second(process: "subprocess.Popen[bytes]", request: WrkRequest) -> float:
    """Return the rows per second that two clients get answered with requests of 1,000 rows."""
    return 1_000 * load_test(process, request, 2).per_second


def _measure_tables(process: "subprocess.Popen[bytes]", row: Figures) -> Figures:
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
        f"rows/s, 1,000 a request, {name}": _rows_per_second(
            process, WrkRequest(body, {"Content-Type": media_type, "Accept": accept})
        )
        for name, (body, media_type, accept) in bodies.items()
    }


def _measure_overload(process: "subprocess.Popen[bytes]", body: bytes, name: str, **headers: str) -> Figures:
    """Send requests at four times the peak rate, from clients with a timeout of a quarter of a second."""
    headers = {"Content-Type": "application/json", "X-Request-Timeout-Ms": str(CLIENT_TIMEOUT_MS)} | headers
    peak = load_test(process, WrkRequest(body, headers), 8).per_second
    results = rate_test(body, clients=1_000, rate=4 * peak, headers=headers)
    accepted, refused = (results["statuses"].get(status, {}) for status in ("200", "503"))
    return {
        f"{name}: peak, requests/s": peak,
        f"{name}: answered/s at four times the peak": accepted.get("per_second", 0.0),
        f"{name}: refused/s": refused.get("per_second", 0.0),
        f"{name}: too late/s": results["statuses"].get("504", {}).get("per_second", 0.0),
        f"{name}: closed connections": results["answers"].get(str(LOST_CONNECTION), 0),
        f"{name}: p99 ms of the answered": accepted.get("p99_ms", 0.0),
        f"{name}: p99 ms of the refused": refused.get("p99_ms", 0.0),
    }


def _measure_workers(workers: int, environment: dict[str, str], row: Figures) -> Figures:
    """Measure the processor time per request: if it does not grow with the workers, throughput grows with the cores."""
    body = _rows(row, 1)
    with server(PEERS[OURS].command, environment, body, cores=os.sched_getaffinity(0)) as (process, _):
        result = load_test(process, WrkRequest(body), 32)
        used = 1e6 * result.server_busy / result.per_second
        return {f"processor us a request, {workers} worker{'s' * (workers > 1)}": used}


def _rows(row: Figures, count: int) -> bytes:
    return json.dumps({"rows": [row] * count}).encode()


def _processes(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def _medians(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def _targets(results: dict[str, Figures], ours_only: Figures) -> list[Target]:
    """Return the targets of the service."""
    ours, ceiling = results[OURS], results[CEILING]
    busy, peak = "requests/s, 32 connections", ours_only[f"{HEAVY}: peak, requests/s"]
    json_rows = ours_only["rows/s, 1,000 a request, JSON rows"]
    return [
        Target("requests/s to the bare ceiling's", ours[busy] / ceiling[busy], minimum=0.85),
        Target("requests/s to FastAPI's", ours[busy] / results["FastAPI"][busy], minimum=2),
        Target("requests/s to LitServe's", ours[busy] / results["LitServe"][busy], minimum=6),
        Target("requests/s to stock BentoML's", ours[busy] / results["BentoML stock"][busy], minimum=10),
        Target("how busy the server was at 32 connections", ours["server busy, 32 connections"], minimum=0.9),
        Target("how busy the client was at 32 connections", ours["client busy, 32 connections"], maximum=0.8),
        Target("lone p50 to the ceiling's", ours["lone client p50 ms"] / ceiling["lone client p50 ms"], maximum=1.5),
        Target(
            "JSON rows/s to a bare loop", json_rows / ours_only["rows/s of a loop without a server, 1,000 a turn"], 0.7
        ),
        Target(
            "Arrow rows/s to JSON rows/s", ours_only["rows/s, 1,000 a request, Arrow stream"] / json_rows, minimum=5
        ),
        Target(
            "goodput to the peak, at four times the peak",
            ours_only[f"{HEAVY}: answered/s at four times the peak"] / peak,
            0.9,
        ),
        Target("p99 ms of the answered", ours_only[f"{HEAVY}: p99 ms of the answered"], maximum=CLIENT_TIMEOUT_MS),
        Target("p99 ms of the refused", ours_only[f"{HEAVY}: p99 ms of the refused"], maximum=50),
        Target("ready after s", ours["ready after s"], maximum=4),
        Target("resident MB, of the worker", ours["resident MB, of the worker"], maximum=250),
        Target(
            "processor time of a request, one worker to two",
            ours_only["processor us a request, 1 worker"] / ours_only["processor us a request, 2 workers"],
            minimum=0.9,
        ),
    ]


def _table(results: dict[str, Figures]) -> Table:
    """Return a table with one row per server: every figure, and its ratio to the bare ASGI function."""
    ceiling = results[CEILING]
    table = Table("", *ceiling)
    for peer, figures in results.items():
        table.add_row(peer, *(_cell(figures.get(name), figure) for name, figure in ceiling.items()))
    return table


def _cell(figure: float | None, ceiling: float) -> str:
    if figure is None:
        return ""
    return f"{figure:,.4g} (x{figure / ceiling:.2f})" if ceiling else f"{figure:,.4g}"


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
        values: dict[str, Any] = {peer: figures[measure] for peer, figures in results.items() if measure in figures}
        colours = ["tab:green" if peer == OURS else "lightgrey" if peer == CEILING else "tab:blue" for peer in values]
        bars = axis.barh(list(values), list(values.values()), color=colours)
        axis.bar_label(bars, labels=[f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in values.values()])
        axis.set_xscale("log" if "ms" in measure else "linear")
        axis.set_xticks([])
        axis.margins(x=0.2)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.invert_yaxis()
        axis.set_title(f"{measure} (logarithmic)" if "ms" in measure else measure)
    figure.savefig(RESULTS / "serving.png", dpi=120)


if __name__ == "__main__":
    main()
