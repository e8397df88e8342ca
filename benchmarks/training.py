"""Compare our training with other methods on the same rows: ``make bench-training``.

Every data set of the suite is split 80/20, with 15 % of the 80 for validation, once per seed; a data set with a time
column is split by it. A method that needs no validation rows is fitted on them too. Every method has one core, because
threads that share a core with other programs mostly wait for each other. Results that exist already are not measured
again, so restarting an interrupted run resumes it.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.ours import COVERAGE, Ours
from benchmarks.record import RESULTS, Target, target_table, write_results
from benchmarks.rivals import BASE, RIVALS, SEARCH
from benchmarks.suite import SUITE, DataSet
from benchmarks.task import Predictions, Task
from model_deployer.training.data.dataset import read_dataset

FILE = RESULTS / "training.json"
OURS, NETWORK, TREES, LINEAR = "model-deployer", "our network alone", "our trees alone", "our linear model"
METHODS = (OURS, NETWORK, TREES, LINEAR, *RIVALS)
SEEDS = (0, 1, 2)

#: Shares of the rows; the validation part is 15 % of the rows that are not in the test part.
TEST, VALIDATION = 0.2, 0.12


@dataclass(frozen=True)
class Figures:
    """The figures of one method: its loss on the test rows, and its CPU time in seconds."""

    loss: float
    cpu_seconds: float


@dataclass(frozen=True)
class Run:
    """The results for one data set and seed.

    Attributes:
        data_set: The name of the data set.
        seed: The seed of the split and of every method.
        rows: The number of rows in all parts.
        measure: The name of the loss.
        figures: The figures by method.
        coverage: For regression, the share of test rows with a target in our prediction interval.
        seconds: The wall-clock time of all methods.
    """

    data_set: str
    seed: int
    rows: int
    measure: str
    figures: dict[str, Figures]
    coverage: float | None
    seconds: float


def main() -> None:
    """Measure what is missing in the results, and write tables, a plot and JSON."""
    options = _options()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in _not_installed():
        print(f"{name} is skipped: its package is not installed", file=sys.stderr)
    runs = [] if options.fresh else _read()
    failed = False
    for data, seed in _missing(runs, options):
        try:
            run = _run(data, seed)
        except ModuleNotFoundError as error:
            print(f"{data.name} is skipped: {error}", file=sys.stderr)
        except Exception:  # continue with the other data sets
            traceback.print_exc()
            failed = True
        else:
            runs.append(run)
            write_results(FILE, {"runs": [asdict(run) for run in runs]}, _targets(runs))
    _show(runs)
    sys.exit(failed)


def _options() -> argparse.Namespace:
    names = ",".join(data.name for data in SUITE)
    parser = argparse.ArgumentParser(prog="benchmarks.training", description=__doc__)
    parser.add_argument("--sets", default=names, help=f"names of data sets, separated by commas, from {names}")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="numbers, separated by commas")
    parser.add_argument("--fresh", action="store_true", help="discard the existing results")
    return parser.parse_args()


def _not_installed() -> list[str]:
    return [name for name, rival in RIVALS.items() if not rival.is_installed]


def _read() -> list[Run]:
    if not FILE.exists():
        return []
    return [
        Run(**run | {"figures": {method: Figures(**figures) for method, figures in run["figures"].items()}})
        for run in json.loads(FILE.read_text())["runs"]
    ]


def _missing(runs: Iterable[Run], options: argparse.Namespace) -> list[tuple[DataSet, int]]:
    """Return the requested data sets and seeds that have no results yet."""
    suite = {data.name: data for data in SUITE}
    measured = {(run.data_set, run.seed) for run in runs}
    requested = [(name, int(seed)) for name in options.sets.split(",") for seed in options.seeds.split(",")]
    if unknown := [name for name, _ in requested if name not in suite]:
        raise SystemExit(f"unknown data set '{unknown[0]}'; the data sets are {', '.join(suite)}")
    return [(suite[name], seed) for name, seed in requested if (name, seed) not in measured]


def _run(data: DataSet, seed: int) -> Run:
    frame = data.read()
    print(f"{data.name}, seed {seed}: {frame.height:,} rows", file=sys.stderr)
    start, cpu_start = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        dataset = read_dataset(_write_spec(data, frame, seed, Path(name)))
        ours = Ours(dataset, Path(name) / "fit")
        task = Task(dataset, ours.logarithm)
        methods = {LINEAR: ours.linear, TREES: ours.trees, NETWORK: ours.network, OURS: ours.graph}
        figures = {method: _measure(method, predict, task) for method, predict in methods.items()}
        # The linear model was fitted twice: alone, and as a candidate together with the network.
        cpu_seconds = time.process_time() - cpu_start - figures[LINEAR].cpu_seconds
        figures[OURS] = Figures(figures[OURS].loss, round(cpu_seconds, 1))
    for method, rival in RIVALS.items():
        if rival.is_installed:
            figures[method] = _measure(method, partial(rival.predict, task), task)
    seconds = round(time.perf_counter() - start, 1)
    return Run(data.name, seed, frame.height, task.measure, figures, ours.coverage, seconds)


def _write_spec(data: DataSet, frame: pl.DataFrame, seed: int, folder: Path) -> Path:
    """Write the table and a model.yaml, as a user would, and return the path of the latter."""
    frame.write_parquet(folder / "table.parquet")
    spec = {
        "name": data.name.lower(),
        "data": {"path": "table.parquet", "target": data.target, "time": data.time},
        "task": data.task,
        "split": {"test": TEST, "validation": VALIDATION},
        "seed": seed,
    }
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def _measure(method: str, predict: Callable[[], Predictions], task: Task) -> Figures:
    start = time.process_time()
    predictions = predict()
    figures = Figures(task.loss(predictions, task.parts.test), round(time.process_time() - start, 1))
    print(f"{method}: {task.measure} {figures.loss:.4g}, {figures.cpu_seconds:.0f} s", file=sys.stderr)
    return figures


def _relative(runs: Sequence[Run], method: str, base: str) -> dict[str, float]:
    """Return the loss of a method relative to another one, averaged over the seeds of each data set with both."""
    ratios: dict[str, list[float]] = {}
    for run in runs:
        if method in run.figures and base in run.figures:
            ratios.setdefault(run.data_set, []).append(run.figures[method].loss / run.figures[base].loss)
    return {name: statistics.mean(values) for name, values in ratios.items()}


def _targets(runs: Sequence[Run]) -> list[Target]:
    """Return the targets of our training."""
    to_search = _relative(runs, OURS, SEARCH).values()
    return [
        Target(f"loss to that of {BASE}", statistics.mean(_relative(runs, OURS, BASE).values()), maximum=0.96),
        Target(f"loss to that of {SEARCH}", statistics.mean(to_search), maximum=0.99),
        Target(f"the same, in the worst of {len(to_search)} sets", max(to_search), maximum=1.01),
        Target(f"{NETWORK}, to {BASE}", statistics.mean(_relative(runs, NETWORK, BASE).values()), maximum=0.97),
    ]


def _show(runs: Sequence[Run]) -> None:
    if not runs:
        raise SystemExit("nothing was measured")
    console = Console(width=200)
    console.print(_table(runs))
    console.print(target_table(_targets(runs)))
    _draw(runs)


def _table(runs: Sequence[Run]) -> Table:
    """Return a table with one row per data set: the mean loss of every method, and the coverage of our intervals."""
    methods = [method for method in METHODS if any(method in run.figures for run in runs)]
    table = Table("", "loss", *methods, f"coverage of our {COVERAGE:.0%} interval")
    for name in dict.fromkeys(run.data_set for run in runs):
        table.add_row(*_row([run for run in runs if run.data_set == name], methods))
    table.add_section()
    relative = [_relative(runs, method, BASE).values() for method in methods]
    table.add_row("mean", f"to {BASE}", *(f"{statistics.mean(ratios):.3f}" for ratios in relative))
    seconds = [[run.figures[method].cpu_seconds for run in runs if method in run.figures] for method in methods]
    table.add_row("mean", "seconds of a core", *(f"{statistics.mean(values):,.0f}" for values in seconds))
    return table


def _row(runs: Sequence[Run], methods: Sequence[str]) -> list[str]:
    """Return the row of one data set, from its runs."""
    losses = {
        method: statistics.mean(run.figures[method].loss for run in runs)
        for method in methods
        if all(method in run.figures for run in runs)
    }
    best = min(losses.values())
    cells = [f"[bold]{loss:.4g}[/]" if loss == best else f"{loss:.4g}" for loss in losses.values()]
    by_method = dict(zip(losses, cells, strict=True))
    coverages = [run.coverage for run in runs if run.coverage is not None]
    measures = " or ".join(dict.fromkeys(run.measure for run in runs))
    return [
        runs[0].data_set,
        measures,
        *(by_method.get(method, "") for method in methods),
        f"{statistics.mean(coverages):.1%}" if coverages else "",
    ]


def _draw(runs: Sequence[Run]) -> None:
    import matplotlib  # noqa: PLC0415 (needed only here)

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    names = list(dict.fromkeys(run.data_set for run in runs))
    figure, axis = pyplot.subplots(figsize=(10, 3 + 0.3 * len(names)), constrained_layout=True)
    for method in (*METHODS[1:], METHODS[0]):  # ours is drawn last, on top of the others
        ratios: dict[str, Any] = _relative(runs, method, BASE)
        if not ratios:
            continue
        style = {"color": "tab:green", "s": 90, "marker": "D"} if method == OURS else {"s": 40, "alpha": 0.7}
        axis.scatter(list(ratios.values()), [names.index(name) for name in ratios], label=method, **style)
    axis.axvline(1, color="lightgrey", zorder=0)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xscale("log")
    for set_formatter in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        set_formatter("{x:g}")
    axis.set_xlabel(f"loss on the test rows, relative to {BASE} (logarithmic; left is better)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(FILE.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
