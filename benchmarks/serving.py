"""Our service beside a bare ASGI function, FastAPI, LitServe and BentoML's own batching: ``make bench-serving``.

Every server gets the first core and the client the last one; one server runs at a time, in alternating rounds, so that
what else the machine does falls on all of them alike. Medians over the rounds; the ratios are what holds elsewhere.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import onnx
import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BIN = Path(sys.executable).parent
PORT = 3900
ROUNDS = 3
SECONDS = 4.0
CEILING = "bare ASGI"
OURS = "model-deployer"


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
    """Measure, and write table, picture and JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        environment = _prepare(Path(name))
        from benchmarks.mlp import ROW  # noqa: PLC0415 (only now does BENTOML_HOME say where the store is)

        rounds: dict[str, list[dict[str, float]]] = {peer: [] for peer in PEERS}
        for number in range(ROUNDS):
            for peer in PEERS:
                print(f"round {number + 1} of {ROUNDS}: {peer}", file=sys.stderr)
                rounds[peer].append(_measure(peer, environment, ROW))
    results = {peer: _medians(measured) for peer, measured in rounds.items()}
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores", "results": results}
    (RESULTS / "serving.json").write_text(json.dumps(document, indent=2) + "\n")
    Console(width=160).print(_table(results))
    _draw(results)


def _prepare(folder: Path) -> dict[str, str]:
    """A store with the model, the same graph as a file for the peers, and the environment that names both."""
    os.environ |= {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "1", "MODEL": str(folder / "mlp.onnx")}
    from benchmarks.mlp import matrix_graph, save_model  # noqa: PLC0415

    onnx.save(matrix_graph(), folder / "mlp.onnx")
    save_model(folder / "files")
    return dict(os.environ)


def _measure(peer: str, environment: dict[str, str], row: dict[str, float]) -> dict[str, float]:
    single = json.dumps({"rows": [row]}).encode()
    with _server(peer, environment, single) as (process, ready):
        busy = _load(32, single)
        lone = _load(1, single)
        measured = {
            "requests/s, 32 connections": busy["requests_per_second"],
            "p99 ms, 32 connections": busy["p99_ms"],
            "lone client p50 ms": lone["p50_ms"],
            "ready after s": ready,
            "resident MB": _resident(process),
        }
        if PEERS[peer].bulk:
            thousand = json.dumps({"rows": [row] * 1_000}).encode()
            measured["rows/s, 1,000 a request"] = 1_000 * _load(2, thousand)["requests_per_second"]
        return measured


@contextmanager
def _server(peer: str, environment: dict[str, str], body: bytes) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    program, *arguments = PEERS[peer].command
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),  # noqa: PLW1509 (no threads yet)
    )
    try:
        _wait(peer, process, body)
        yield process, time.perf_counter() - started
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.terminate()
        process.wait(timeout=60)


def _wait(peer: str, process: "subprocess.Popen[bytes]", body: bytes) -> None:
    deadline = time.monotonic() + 60
    headers = {"content-type": "application/json"}
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.post(f"http://127.0.0.1:{PORT}/predict", content=body, headers=headers).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit(f"{peer} did not start: {' '.join(PEERS[peer].command)}")


def _load(connections: int, body: bytes) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.load", str(PORT), str(connections), str(SECONDS)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=body,
        capture_output=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}),
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _resident(process: "subprocess.Popen[bytes]") -> float:
    parent = psutil.Process(process.pid)
    return float(sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True))) / 1e6)


def _medians(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in measured) for name in measured[0]}


def _table(results: dict[str, dict[str, float]]) -> Table:
    """A row a server: every figure, and what it is of the ceiling's."""
    ceiling = results[CEILING]
    table = Table("", *ceiling)
    for peer, figures in results.items():
        table.add_row(peer, *(_cell(figures.get(name), figure) for name, figure in ceiling.items()))
    return table


def _cell(figure: float | None, ceiling: float) -> str:
    return "" if figure is None else f"{figure:,.4g} (x{figure / ceiling:.2f})"


def _draw(results: dict[str, dict[str, float]]) -> None:
    import matplotlib  # noqa: PLC0415 (needed only here)

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    measures = ["requests/s, 32 connections", "lone client p50 ms", "rows/s, 1,000 a request"]
    figure, axes = pyplot.subplots(1, len(measures), figsize=(13, 3.2), constrained_layout=True)
    for axis, measure in zip(axes, measures, strict=True):
        shown: dict[str, Any] = {peer: figures[measure] for peer, figures in results.items() if measure in figures}
        colours = ["tab:green" if peer == OURS else "lightgrey" if peer == CEILING else "tab:blue" for peer in shown]
        axis.barh(list(shown), list(shown.values()), color=colours)
        axis.invert_yaxis()
        axis.set_title(measure)
    figure.savefig(RESULTS / "serving.png", dpi=120)


if __name__ == "__main__":
    main()
