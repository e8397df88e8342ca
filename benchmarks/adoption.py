"""Adopt 70 models of other libraries, and recompute without the adoption's own proof whether they answer alike.

``make bench-adoption``. The models are fitted in an environment that :func:`cell.environment.prepare_environment` makes
and keeps, with the libraries in ``LIBRARIES``; none of them is imported in this process. Each model is written to a
file with its table, adopted with :func:`training.fit.fit`, and asked: the artifact in this process as a server would,
with validation, and the fitted model in a process of its own. Both get the rows of the table and rows with unusual
values. A model without a graph is adopted with the runner. Results that exist already are not measured again.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
import polars as pl
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.record import RESULTS, Target, target_table, write_results
from model_deployer.adoption.cell.environment import prepare_environment
from model_deployer.adoption.equality.probes import build_probes
from model_deployer.adoption.interface import Kind
from model_deployer.adoption.read_source import SourceHints, read_source
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import CheckFailed, DeployerError
from model_deployer.contract.outputs import Arrays, Classification
from model_deployer.serving.engines.engine import Engine
from model_deployer.serving.engines.offline import OfflineModel
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.engines.source_process import OwnSourceEngine
from model_deployer.serving.rows.columns import ColumnBuilder
from model_deployer.serving.rows.validation import Validator
from model_deployer.training.fit import fit

FILE = RESULTS / "adoption.json"
PROGRAM = Path(__file__).parent / "adopted"

#: The libraries of the models, in the environment that fits them.
LIBRARIES = (
    "catboost==1.2.10",
    "cloudpickle",
    "joblib",
    "lightgbm==4.7.0",
    "pandas==3.1.1",
    "scikit-learn==1.9.1",
    "xgboost-cpu==3.2.0",
)

#: The probe rows that are asked in addition to those of the table, and the largest difference of equal answers.
PROBES, TOLERANCE = 4_000, 1e-5

CALLS, BATCHES = 200, (1, 100)

GRAPH, RUNNER, DIFFERENT, REFUSED = "graph", "runner", "silently different", "refused"


@dataclass(frozen=True)
class Result:
    """What came out of one model.

    Attributes:
        name, origin: The case, and the notes or the thread that it comes from.
        outcome: ``graph`` or ``runner`` if its answers are those of the library; else ``silently different`` or
            ``refused``.
        reason: Why it has no graph, or why it is refused.
        seconds: The wall-clock time of the adoption, environment cached.
        rows: The rows that both answered.
        difference: The largest difference: of a probability, or of a value relative to its size or the standard
            deviation.
        flips: The rows with another decision.
        source_seconds, served_seconds: The first quartile of many calls, for 1 and for 100 rows: what one takes while
            other programs of the machine do not interrupt it.
    """

    name: str
    origin: str
    outcome: str
    reason: str | None = None
    seconds: float | None = None
    rows: int = 0
    difference: float | None = None
    flips: int = 0
    source_seconds: tuple[float, ...] = ()
    served_seconds: tuple[float, ...] = ()


def main() -> None:
    """Measure what is missing in the results, and write a table and JSON."""
    options = _options()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    python = prepare_environment(LIBRARIES).python
    cases = json.loads(_ask(python, "list"))
    results = {} if options.again else _read()
    for number, (name, origin) in enumerate(cases):
        folder = options.folder / str(number)
        if options.time and name in results:
            results[name] = Adoption(python, number, folder).timed(results[name])
            _write([results[name] for name, _ in cases if name in results])
        if options.time or name in results or (options.only and number not in options.only):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        results[name] = Adoption(python, number, folder).result(name, origin)
        print(f"{number:3d} {results[name]}", file=sys.stderr)
        _write([results[name] for name, _ in cases if name in results])
    ordered = [results[name] for name, _ in cases if name in results]
    _write(ordered)
    Console().print(_table(ordered), target_table(_targets(ordered)))


@dataclass(frozen=True)
class Adoption:
    """The adoption of one model.

    Attributes:
        python: The interpreter with the libraries.
        number: The number of the case.
        folder: Its files.
    """

    python: Path
    number: int
    folder: Path

    def result(self, name: str, origin: str) -> Result:
        """Fit it, adopt it, and compare."""
        self._ask("write")
        path = self._model_yaml("graph")
        started, reason = time.perf_counter(), None
        try:
            try:
                artifact = store.load(fit(path).tag)
            except CheckFailed as refusal:
                reason = str(refusal)
                artifact = store.load(fit(self._model_yaml("runner")).tag)
        except DeployerError as refusal:
            return Result(name, origin, REFUSED, str(refusal))
        seconds = time.perf_counter() - started
        rows, difference, flips = self._compare(artifact)
        is_equal = rows > 0 and difference <= TOLERANCE and not flips
        outcome = (RUNNER if artifact.runner else GRAPH) if is_equal else DIFFERENT
        return self.timed(Result(name, origin, outcome, reason, seconds, rows, difference, flips))

    def timed(self, result: Result) -> Result:
        """Return a result with the times of calls to the source in its process and to what is served."""
        artifact = store.load(f"adopted_{self.number}")
        source = tuple(json.loads(self._ask("time")))
        served = tuple(_seconds(artifact, count, self.folder) for count in BATCHES)
        return replace(result, source_seconds=source, served_seconds=served)

    def _ask(self, verb: str) -> str:
        return _ask(self.python, verb, str(self.number), str(self.folder))

    def _model_yaml(self, serve: str) -> Path:
        """Write the model.yaml of the source."""
        facts = json.loads((self.folder / "case.json").read_text())
        source = self.folder / facts["file"]
        adopt = {"source": facts["file"], "trust": read_source(source, SourceHints()).digest, "serve": serve}
        document = {
            "name": f"adopted_{self.number}",
            "data": {"path": "table.csv", "target": facts["target"]},
            "adopt": adopt | {"environment": list(LIBRARIES), "columns": facts["columns"]},
        }
        path = self.folder / "model.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def _compare(self, artifact: Artifact) -> tuple[int, float, int]:
        """Return the rows that both answered, the largest difference, and the rows with other decisions."""
        rows = list(_rows(artifact, self.folder))
        with closing(OfflineModel(artifact)) as model:
            answers = model.answer(rows)
        accepted = [row for row, is_accepted in zip(rows, answers.accepted.tolist(), strict=True) if is_accepted]
        columns = {name: [row[name] for row in accepted] for name in accepted[0]}
        (self.folder / "rows.json").write_text(json.dumps(columns))
        self._ask("answer")
        expected = json.loads((self.folder / "answers.json").read_text())
        return _difference(artifact, answers.outputs, expected)


def _rows(artifact: Artifact, folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of the table, and rows with unusual values, as clients send them."""
    features = artifact.contract.features
    table = pl.read_csv(folder / "table.csv").select([feature.name for feature in features])
    kinds: dict[str, Kind] = {name: "text" if table[name].dtype == pl.String else "number" for name in table.columns}
    read = read_source(folder / json.loads((folder / "case.json").read_text())["file"], SourceHints())
    casts = [
        pl.col(name).fill_null("") if kind == "text" else pl.col(name).cast(pl.Float64).fill_null(math.nan)
        for name, kind in kinds.items()
    ]
    filled = table.select(casts)
    probes = build_probes(kinds, read.critical, filled, seed=7).frame
    probes = probes.sample(min(PROBES, probes.height), seed=7)
    whole = {feature.name for feature in features if feature.kind == "integer"}
    for row in pl.concat([filled, probes]).iter_rows(named=True):
        yield {name: _sent(value, is_whole=name in whole) for name, value in row.items()}


def _sent(value: float | str, *, is_whole: bool) -> float | str | None:
    """Return a value as JSON has it."""
    if value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    return int(value) if is_whole and isinstance(value, float) and value.is_integer() else value


def _difference(artifact: Artifact, outputs: Arrays, expected: Sequence[Any]) -> tuple[int, float, int]:
    """Compare the answers; a row that only the artifact answers counts as different without limit."""
    output, served = artifact.contract.output, outputs[artifact.contract.output.tensors[0]].astype(float)
    largest, flips = 0.0, 0
    decisions = output.decisions(outputs) if isinstance(output, Classification) else None
    scale = 1.0 if decisions else float(np.std([row[0] for row in expected if row is not None]) or 1)
    for row, answer in enumerate(expected):
        if answer is None:
            return len(expected), math.inf, flips
        numbers, decision = np.array(answer[0]).astype(np.float32).astype(float), answer[1]
        if numbers.size:
            size = 1.0 if decisions else max(scale, float(np.abs(numbers).max()))
            largest = max(largest, float(np.nan_to_num(np.abs(numbers - served[row]).max() / size, nan=math.inf)))
        if decisions and decision is not None:
            flips += _plain(decision) != _plain(decisions[row])
    return len(expected), largest, flips


def _plain(label: str) -> str:
    return {"True": "true", "False": "false"}.get(label, label)


def _seconds(artifact: Artifact, count: int, folder: Path) -> float:
    """Return the first quartile of the seconds that the engine of an artifact takes for some rows of the table."""
    rows = [row for row, _ in zip(_rows(artifact, folder), range(count), strict=False)]
    columns = ColumnBuilder(artifact.contract.features)(Validator(artifact.contract).check(rows))
    output, runner = artifact.contract.output, artifact.runner
    engine: Engine = OwnSourceEngine(artifact, runner) if runner else OnnxEngine(artifact.model, output)
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        engine.run(columns)
        seconds.append(time.perf_counter() - start)
    engine.close()
    return quantiles(seconds)[0]


def _ask(python: Path, *arguments: str) -> str:
    """Run the program of the libraries, and return what it prints."""
    completed = subprocess.run([python, PROGRAM, *arguments], check=False, capture_output=True, text=True)
    if completed.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {completed.stderr[-2000:]}")
    return completed.stdout


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", action="store_true", help="measure results that exist again")
    parser.add_argument("--time", action="store_true", help="only time the models of the results again")
    parser.add_argument("--only", type=int, nargs="+", help="the numbers of the models to measure")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/bench-adoption"), help="for the files of the models")
    return parser.parse_args()


def _read() -> dict[str, Result]:
    if not FILE.exists():
        return {}
    return {result["name"]: Result(**result) for result in json.loads(FILE.read_text())["results"]}


def _write(results: Sequence[Result]) -> None:
    load = [round(value, 1) for value in os.getloadavg()]
    document = {"libraries": LIBRARIES, "load": load, "results": [asdict(result) for result in results]}
    write_results(FILE, document, _targets(results))


def _targets(results: Sequence[Result]) -> list[Target]:
    outcomes = Counter(result.outcome for result in results)
    noted = Counter(result.outcome for result in results if result.origin == "notes")
    graphs = [result for result in results if result.outcome == GRAPH]
    faster = [result.source_seconds[0] / result.served_seconds[0] for result in graphs]
    return [
        Target("models that answer otherwise, without a word", outcomes[DIFFERENT], maximum=0),
        Target("models that are refused", outcomes[REFUSED], maximum=0),
        Target("graphs among the 40 models that users try first", noted[GRAPH], minimum=34),
        Target("times that a graph is faster for one row, lowest", min(faster, default=0.0), minimum=3),
        Target("seconds of an adoption, highest", max(result.seconds or 0.0 for result in results), maximum=60),
        *(
            Target(f"ms that the runner adds to a batch, rows: {rows}", cost, maximum=2)
            for rows, cost in _costs(results)
        ),
    ]


def _costs(results: Sequence[Result]) -> Iterator[tuple[int, float]]:
    """Yield numbers of rows, and the most milliseconds that the runner takes longer than the source in its process."""
    runners = [result for result in results if result.outcome == RUNNER]
    for index, rows in enumerate(BATCHES if runners else ()):
        yield rows, 1000 * max(result.served_seconds[index] - result.source_seconds[index] for result in runners)


def _table(results: Sequence[Result]) -> Table:
    table = Table("model", "outcome", "rows", "difference", "source ms", "served ms")
    for result in results:
        times = [f"{calls[0] * 1000:.3f}" if calls else "" for calls in (result.source_seconds, result.served_seconds)]
        difference = "" if result.difference is None else f"{result.difference:.0e}"
        table.add_row(result.name, result.outcome, str(result.rows), difference, *times)
    return table


if __name__ == "__main__":
    main()
