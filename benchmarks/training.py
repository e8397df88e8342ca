"""Our training beside other ways to learn from the same rows: ``make bench-training``.

Every data set of the suite is divided 80/20, with 15 % of the 80 for validation, once a seed; a set with a time column
is divided by it. Who needs no validation rows learns from them too. Every method has one core: threads that share it
with other programs wait for each other longer than they work. What is in the results already is not fitted again, so an
interrupted run is gone on with by the same command.
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
from benchmarks.record import RESULTS, Target, verdict, write_results
from benchmarks.rivals import BASE, RIVALS, SEARCH
from benchmarks.suite import SUITE, DataSet
from benchmarks.task import Answers, Task
from model_deployer.training.data.dataset import read_dataset

FILE = RESULTS / "training.json"
OURS, NETWORK, TREES, LINEAR = "model-deployer", "our network alone", "our trees alone", "our linear model"
METHODS = (OURS, NETWORK, TREES, LINEAR, *RIVALS)
SEEDS = (0, 1, 2)

#: Shares of the rows: the validation part is 15 % of what the test leaves.
TEST, VALIDATION = 0.2, 0.12


@dataclass(frozen=True)
class Figures:
    """What one method did: its loss on the test rows, and the seconds of a core that it took."""

    loss: float
    cpu_seconds: float


@dataclass(frozen=True)
class Run:
    """One data set and seed.

    Attributes:
        data_set: Its name.
        seed: Of the split and of every method.
        rows: How many there are in all.
        measure: What the loss is.
        figures: By method.
        coverage: For a regression, the share of test rows that our intervals hold.
        seconds: Of the clock, for all of it.
    """

    data_set: str
    seed: int
    rows: int
    measure: str
    figures: dict[str, Figures]
    coverage: float | None
    seconds: float


def main() -> None:
    """Fit what the results lack, and write tables, picture and JSON."""
    options = _options()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in _absent():
        print(f"{name} is skipped: its package is not installed", file=sys.stderr)
    runs = [] if options.fresh else _read()
    failed = False
    for data, seed in _missing(runs, options):
        try:
            run = _run(data, seed)
        except ModuleNotFoundError as error:
            print(f"{data.name} is skipped: {error}", file=sys.stderr)
        except Exception:  # the others are worth measuring all the same
            traceback.print_exc()
            failed = True
        else:
            runs.append(run)
            write_results(FILE, {"runs": [asdict(each) for each in runs]}, _targets(runs))
    _show(runs)
    sys.exit(failed)


def _options() -> argparse.Namespace:
    names = ",".join(data.name for data in SUITE)
    parser = argparse.ArgumentParser(prog="benchmarks.training", description=__doc__)
    parser.add_argument("--sets", default=names, help=f"names with commas between them, of {names}")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="numbers with commas between them")
    parser.add_argument("--fresh", action="store_true", help="forget the results that there are")
    return parser.parse_args()


def _absent() -> list[str]:
    return [name for name, rival in RIVALS.items() if not rival.is_installed]


def _read() -> list[Run]:
    if not FILE.exists():
        return []
    return [
        Run(**run | {"figures": {method: Figures(**each) for method, each in run["figures"].items()}})
        for run in json.loads(FILE.read_text())["runs"]
    ]


def _missing(runs: Iterable[Run], options: argparse.Namespace) -> list[tuple[DataSet, int]]:
    """What is asked for and not there yet."""
    suite = {data.name: data for data in SUITE}
    done = {(run.data_set, run.seed) for run in runs}
    asked = [(name, int(seed)) for name in options.sets.split(",") for seed in options.seeds.split(",")]
    if unknown := [name for name, _ in asked if name not in suite]:
        raise SystemExit(f"there is no data set '{unknown[0]}'; there are {', '.join(suite)}")
    return [(suite[name], seed) for name, seed in asked if (name, seed) not in done]


def _run(data: DataSet, seed: int) -> Run:
    frame = data.read()
    print(f"{data.name}, seed {seed}: {frame.height:,} rows", file=sys.stderr)
    began, processor = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        dataset = read_dataset(_written(data, frame, seed, Path(name)))
        ours = Ours(dataset, Path(name) / "fit")
        task = Task(dataset, ours.logarithm)
        parts = {LINEAR: ours.linear, TREES: ours.trees, NETWORK: ours.network, OURS: ours.graph}
        figures = {method: _measured(method, answer, task) for method, answer in parts.items()}
        whole = time.process_time() - processor - figures[LINEAR].cpu_seconds  # which is fitted again for the network
        figures[OURS] = Figures(figures[OURS].loss, round(whole, 1))
    for method, rival in RIVALS.items():
        if rival.is_installed:
            figures[method] = _measured(method, partial(rival.answer, task), task)
    return Run(
        data.name, seed, frame.height, task.measure, figures, ours.coverage, round(time.perf_counter() - began, 1)
    )


def _written(data: DataSet, frame: pl.DataFrame, seed: int, folder: Path) -> Path:
    """The table and a model.yaml, as a user would write them."""
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


def _measured(method: str, answer: Callable[[], Answers], task: Task) -> Figures:
    began = time.process_time()
    answers = answer()
    figures = Figures(task.loss(answers, task.parts.test), round(time.process_time() - began, 1))
    print(f"{method}: {task.measure} {figures.loss:.4g}, {figures.cpu_seconds:.0f} s", file=sys.stderr)
    return figures


def _relative(runs: Sequence[Run], method: str, base: str) -> dict[str, float]:
    """A method's loss as a share of another one's, in the mean over the seeds of each set that has both."""
    shares: dict[str, list[float]] = {}
    for run in runs:
        if method in run.figures and base in run.figures:
            shares.setdefault(run.data_set, []).append(run.figures[method].loss / run.figures[base].loss)
    return {name: statistics.mean(each) for name, each in shares.items()}


def _targets(runs: Sequence[Run]) -> list[Target]:
    """What our training is held to."""
    to_search = _relative(runs, OURS, SEARCH).values()
    return [
        Target(f"loss to that of {BASE}", statistics.mean(_relative(runs, OURS, BASE).values()), most=0.96),
        Target(f"loss to that of {SEARCH}", statistics.mean(to_search), most=0.99),
        Target(f"the same, in the worst of {len(to_search)} sets", max(to_search), most=1.01),
        Target(f"{NETWORK}, to {BASE}", statistics.mean(_relative(runs, NETWORK, BASE).values()), most=0.97),
    ]


def _show(runs: Sequence[Run]) -> None:
    if not runs:
        raise SystemExit("nothing was measured")
    console = Console(width=200)
    console.print(_table(runs))
    console.print(verdict(_targets(runs)))
    _draw(runs)


def _table(runs: Sequence[Run]) -> Table:
    """A row a set: the mean loss of every method over the seeds, and how often our intervals hold the truth."""
    methods = [method for method in METHODS if any(method in run.figures for run in runs)]
    table = Table("", "loss", *methods, f"truth in our {COVERAGE:.0%} interval")
    for name in dict.fromkeys(run.data_set for run in runs):
        table.add_row(*_row([run for run in runs if run.data_set == name], methods))
    table.add_section()
    relative = [_relative(runs, method, BASE).values() for method in methods]
    table.add_row("mean", f"to {BASE}", *(f"{statistics.mean(shares):.3f}" for shares in relative))
    seconds = [[run.figures[method].cpu_seconds for run in runs if method in run.figures] for method in methods]
    table.add_row("mean", "seconds of a core", *(f"{statistics.mean(each):,.0f}" for each in seconds))
    return table


def _row(runs: Sequence[Run], methods: Sequence[str]) -> list[str]:
    """Of the runs of one set."""
    losses = {
        method: statistics.mean(run.figures[method].loss for run in runs)
        for method in methods
        if all(method in run.figures for run in runs)
    }
    best = min(losses.values())
    cells = [f"[bold]{loss:.4g}[/]" if loss == best else f"{loss:.4g}" for loss in losses.values()]
    found = dict(zip(losses, cells, strict=True))
    covered = [run.coverage for run in runs if run.coverage is not None]
    measures = " or ".join(dict.fromkeys(run.measure for run in runs))
    return [
        runs[0].data_set,
        measures,
        *(found.get(method, "") for method in methods),
        f"{statistics.mean(covered):.1%}" if covered else "",
    ]


def _draw(runs: Sequence[Run]) -> None:
    import matplotlib  # noqa: PLC0415 (needed only here)

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    names = list(dict.fromkeys(run.data_set for run in runs))
    figure, axis = pyplot.subplots(figsize=(10, 3 + 0.3 * len(names)), constrained_layout=True)
    for method in (*METHODS[1:], METHODS[0]):  # ours is drawn over the others
        shares: dict[str, Any] = _relative(runs, method, BASE)
        if not shares:
            continue
        style = {"color": "tab:green", "s": 90, "marker": "D"} if method == OURS else {"s": 40, "alpha": 0.7}
        axis.scatter(list(shares.values()), [names.index(name) for name in shares], label=method, **style)
    axis.axvline(1, color="lightgrey", zorder=0)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xscale("log")
    for place in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        place("{x:g}")
    axis.set_xlabel(f"loss on the test rows, to that of {BASE} (logarithmic; left is better)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(FILE.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
