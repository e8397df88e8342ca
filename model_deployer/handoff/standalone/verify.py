#!/usr/bin/env python3
"""Verify this package: who wrote it, that nothing was changed, that its figures agree, and that its model answers.

    python3 verify.py                            # everything; it takes some minutes
    python3 verify.py --public-key author.pem    # also who wrote it
    python3 verify.py --wheels DIR               # without a network: install the packages from a folder
    python3 verify.py --only-read                # run nothing of the package

The checks of the files, of the signature and of the figures only read. If one of them fails, nothing else is done.
THE OTHER CHECKS RUN THE CODE OF THE PACKAGE: do that only if you trust the one who wrote it. They work on a copy in a
temporary folder, so the package may be on read-only media. Needed are Python 3.11 or newer and, for the signature, the
program openssl. The exit status is 0 if no check failed.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUMS, ATTESTATION = "SHA256SUMS", "attestation.json"

#: Files that SHA256SUMS cannot list: itself, and the signature, which lists all others.
UNLISTED = frozenset({SUMS, ATTESTATION})

#: The environment that the commands of README.md make in the folder of the package; a verification does not use it.
ENVIRONMENT = ".venv"

METADATA, SAMPLES = "model/model_metadata.json", "examples/sample_requests.json"
PARITY, MEASUREMENTS = "model/parity.json", "benchmarks/measurements.json"
HOLDOUT = "examples/holdout.json"

#: The packages of the process of a source that serves its model itself.
SOURCE_REQUIREMENTS = "requirements-source.txt"

#: The command that makes the environment of this process, within that of the service.
_PREPARE_SOURCE = ("-B", "-m", "model_deployer.serving.engines.prepare_source", "bento/models")

#: Prefixes of variables that would give a program access to the packages, settings and servers of the caller.
_OWN_VARIABLES = (
    "PYTHON",
    "BENTOML",
    "VIRTUAL_ENV",
    "PYTEST",
    "DEPLOYER",
    "MODEL_DEPLOYER",
    "URL",
    "API_KEY",
    "PORT",
)

#: The time that a program gets to end, in seconds.
_STOP_SECONDS = 30

#: The packages of the service and of the tests, as options of pip.
_REQUIREMENTS = ("-r", "requirements.txt", "-r", "tests/requirements.txt")

#: The rows of a request, where the metrics are measured again.
_ROWS_AT_ONCE = 500

#: A metric of some test rows may be this many standard errors away from that of all of them.
_STANDARD_ERRORS = 5

#: A latency, as a multiple of that of the reference server, may differ by this factor between machines.
RATIO_FACTOR = 2.0

#: A 99th percentile, as the same multiple, by this factor: some seconds have few requests that are so slow.
P99_FACTOR = 5.0

#: How often latencies are measured that differ: a machine may be disturbed for a moment.
_LATENCY_ATTEMPTS = 3

#: The reference server itself may differ by this factor; machines that differ more are not compared.
MACHINE_FACTOR = 5.0

#: The smallest probability whose logarithm is taken, as in the evaluation of the model.
_EPSILON = 1e-15

_PAYLOAD = "application/vnd.in-toto+json"

#: The longest time of a check, in seconds.
TIMEOUT_SECONDS = 900


#: Returns the predictions for rows.
Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


class Failed(Exception):
    """A check failed; the text says what differs."""


class NotRun(Exception):
    """A check could not run; the text says why."""


# What only reads the package.


def changed_files(folder: Path) -> list[str]:
    """Return a sentence for each file of a package that is missing, was added or was changed; [] if none was."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        expected = {}
    if not expected:
        return [f"{SUMS} is missing or damaged"]
    existing = set(listed_files(folder))
    problems = [f"{name} is missing" for name in expected if name not in existing]
    problems += [f"{name} was added" for name in sorted(existing - expected.keys())]
    changed = (name for name in expected if name in existing and _sha256(folder / name) != expected[name])
    return problems + [f"{name} was changed" for name in changed]


def listed_files(folder: Path) -> Iterator[str]:
    """Yield the paths of all files of a package that SHA256SUMS lists, sorted."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if (path.is_file() or path.is_symlink()) and name.parts[0] != ENVIRONMENT and str(name) not in UNLISTED:
            yield name.as_posix()


def signature(folder: Path, public_key: Path | None) -> str:
    """Check that the owner of a key signed exactly the files of a package.

    The signature is a DSSE envelope (https://github.com/secure-systems-lab/dsse) around an in-toto statement, which
    lists the files, and SHA256SUMS, with their hashes.

    Raises:
        Failed: if the files were not signed with this key, or changed afterwards.
        NotRun: if there is no signature, no key, or no openssl.
    """
    path = folder / ATTESTATION
    if not path.is_file():
        if public_key:
            raise Failed("the package is not signed")
        raise NotRun("the package is not signed, so a person who changed all of it alike is not found out")
    if public_key is None:
        raise NotRun("the package is signed; name the key of its author: --public-key FILE")
    try:
        envelope = json.loads(path.read_bytes())
        payload, signatures = base64.b64decode(envelope["payload"]), envelope["signatures"]
        statement, kind = json.loads(payload), str(envelope["payloadType"])
        subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    except (ValueError, KeyError, TypeError):
        raise Failed(f"{ATTESTATION} is damaged") from None
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    if kind != _PAYLOAD or not any(_is_signature(signed, entry.get("sig", ""), public_key) for entry in signatures):
        raise Failed(f"the package was not signed with the key {public_key.name}")
    actual = {name: _sha256(folder / name) for name in (*listed_files(folder), SUMS)}
    if differing := sorted(name for name in actual.keys() | subjects if actual.get(name) != subjects.get(name)):
        raise Failed(f"changed after signing: {', '.join(differing[:5])}")
    return f"{len(subjects)} files were signed by the owner of {public_key.name}"


def _is_signature(signed: bytes, encoded: str, public_key: Path) -> bool:
    if shutil.which("openssl") is None:
        raise NotRun("the program openssl is not installed")
    with tempfile.TemporaryDirectory() as name:
        data, file = Path(name) / "data", Path(name) / "signature"
        data.write_bytes(signed)
        file.write_bytes(base64.b64decode(encoded))
        command: list[str | Path] = ["openssl", "dgst", "-sha256", "-verify", public_key, "-signature", file, data]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def differing_figures(folder: Path) -> list[str]:
    """Return a sentence for each figure that differs between the files of a package; [] if all agree.

    The model in the Bento, which the server answers from, has every figure of the documents: its manifest has the hash
    of each of its files. VERIFICATION.json has the figures as they were when the package was verified.
    """
    metadata = _read(folder, METADATA)
    manifest = metadata["manifest"]
    model = folder / "bento" / "models" / manifest["name"] / manifest["version"]
    if not (model / "manifest.json").is_file():
        return [f"bento does not hold the model {manifest['name']}:{manifest['version']}"]
    problems = _differences("manifest", manifest, _read(model, "manifest.json"))
    for name, digest in manifest["files"].items():
        if not (model / name).is_file() or _sha256(model / name) != digest:
            problems.append(f"{name} of the model in bento/ is not the file that its manifest lists")
    for name in ("contract", "evaluation", "reference"):
        file = model / f"{name}.json"
        problems += _differences(name, metadata[name], _read(model, file.name) if file.is_file() else None)
    graph = folder / "model" / f"model_v{manifest['version']}.onnx"
    if graph.is_file() and _sha256(graph) != manifest["files"].get("model.onnx"):
        problems.append(f"model/{graph.name} is not the graph of the model in bento/")
    problems += _differing_source(folder, metadata.get("runner"), model)
    problems += _differing_answers(folder, model)
    problems += inconsistent_measurements(_read(folder, MEASUREMENTS))
    return [*problems, *_differing_verification(folder, metadata)]


def _differing_source(folder: Path, runner: Any, model: Path) -> list[str]:
    """Compare the files of a source that serves its model itself with those of the model in the Bento.

    Args:
        folder: The folder of the package.
        runner: How the source is started, as model_metadata.json has it; None if the model is a graph.
        model: The model in the Bento.
    """
    file = model / "runner.json"
    problems = _differences("runner", runner, _read(model, file.name) if file.is_file() else None)
    if runner is None or problems:
        return problems
    lines = (folder / SOURCE_REQUIREMENTS).read_text(encoding="utf-8").splitlines()
    problems += _differences(SOURCE_REQUIREMENTS, lines[1:], runner["requirements"])
    manifest = _read(model, "manifest.json")["files"]
    listed = {name: digest for name, digest in manifest.items() if name.startswith("source/")}
    present = {path.relative_to(folder / "model").as_posix() for path in (folder / "model" / "source").rglob("*")
               if path.is_file()}  # fmt: skip
    return problems + [
        f"model/{name} is not the file of the source in bento/"
        for name in sorted(listed.keys() | present)
        if name not in present or _sha256(folder / "model" / name) != listed.get(name)
    ]


def differing_statements(metadata: dict[str, Any], model: dict[str, Any]) -> list[str]:
    """Return a sentence for each statement of a server about its model that differs from the package; [] if all agree.

    Args:
        metadata: The content of model_metadata.json.
        model: The answer of ``GET /model``.
    """
    expected = {**metadata["manifest"], "contract": metadata["contract"], "evaluation": metadata["evaluation"]}
    stated = {name: model.get(name) for name in ("name", "version", "origin", "contract", "evaluation")}
    problems = [_differences(f"GET /model: {name}", value, expected.get(name)) for name, value in stated.items()]
    return [problem for several in problems for problem in several]


def _differing_answers(folder: Path, model: Path) -> list[str]:
    """Compare the answers that the documents show with the golden predictions of the model."""
    samples = _read(folder, SAMPLES)
    golden = [json.loads(line) for line in (model / "golden.jsonl").read_text(encoding="utf-8").splitlines()]
    by_row = {json.dumps(case["row"], sort_keys=True): case["prediction"] for case in golden}
    problems = []
    for sample in samples["golden"]:
        for row, answer in zip(sample["request"]["rows"], sample["answer"]["predictions"], strict=True):
            expected = by_row.get(json.dumps(row, sort_keys=True))
            if expected is None or not are_close(expected, answer, samples["tolerance"]):
                problems.append(f"{SAMPLES}, '{sample['case']}': the answer is not that of the model in bento/")
    return problems


def _differing_verification(folder: Path, metadata: dict[str, Any]) -> list[str]:
    if not (folder / "VERIFICATION.json").is_file():
        return []
    figures = _read(folder, "VERIFICATION.json")["figures"]
    current = {
        METADATA: {name: metadata[name] for name in ("contract", "evaluation", "reference")},
        PARITY: _read(folder, PARITY),
        MEASUREMENTS: _read(folder, MEASUREMENTS),
    }
    return [
        f"{problem} (VERIFICATION.json)"
        for name in current
        for problem in _differences(name, current[name], figures.get(name))
    ]


def _differences(name: str, first: Any, second: Any) -> list[str]:
    """Return the first place where two values differ, with both if they are numbers or short texts."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = [*first, *(key for key in second if key not in first)]
        by_key = (_differences(f"{name}: {key}", first.get(key), second.get(key)) for key in keys)
        return next((problem for problem in by_key if problem), [])
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        by_index = (_differences(f"{name} [{index}]", *pair) for index, pair in pairs)
        return next((problem for problem in by_index if problem), [])
    return [] if first == second else [f"{name} is {_shown(first)} in one file and {_shown(second)} in another"]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


def are_close(expected: Any, actual: Any, tolerance: float) -> bool:
    """Return whether two answers are equal; numbers up to a tolerance, or 1e-5 of their size."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        pairs = [(expected[key], actual.get(key)) for key in expected]
        return expected.keys() == actual.keys() and all(are_close(*pair, tolerance) for pair in pairs)
    if isinstance(expected, list) and isinstance(actual, list):
        pairs = list(zip(expected, actual, strict=False))
        return len(expected) == len(actual) and all(are_close(*pair, tolerance) for pair in pairs)
    if isinstance(expected, float) or isinstance(actual, float):
        return _are_close_numbers(expected, actual, tolerance)
    return bool(expected == actual and type(expected) is type(actual))


def _are_close_numbers(expected: Any, actual: Any, tolerance: float) -> bool:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (expected, actual)):
        return False
    return math.isclose(expected, actual, rel_tol=1e-5, abs_tol=tolerance)


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def losses_of_rows(predictions: Sequence[dict[str, Any]], truths: Sequence[Any]) -> dict[str, list[float]]:
    """Return the losses of predictions by the name of the metric that their mean is.

    For labels, the log loss in nats; for numbers, the absolute error, and the squared error, whose root is ``rmse``; of
    several targets, those of each, such as ``rmse[weight]``.

    Args:
        predictions: The predictions, as the service answers them.
        truths: The label or number of each row, or the number of each target by name.
    """
    pairs = list(zip(predictions, truths, strict=True))
    if pairs and "values" in pairs[0][0]:
        return {
            f"{metric}[{target}]": losses
            for target in truths[0]
            for metric, losses in _errors([row["values"][target] - truth[target] for row, truth in pairs]).items()
        }
    if pairs and "probabilities" in pairs[0][0]:
        probabilities = [prediction["probabilities"][truth] for prediction, truth in pairs]
        return {"log_loss": [-math.log(min(1.0, max(_EPSILON, value))) for value in probabilities]}
    return _errors([prediction["value"] - truth for prediction, truth in pairs])


def _errors(errors: Sequence[float]) -> dict[str, list[float]]:
    return {"mae": [abs(error) for error in errors], "rmse": [error * error for error in errors]}


def held_latencies(stated: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> str:
    """Measure latencies again, hold them against those that a package states, and return them in words.

    Both are multiples of the latency of a reference server that was measured in turn, so a slower machine is not a
    difference.

    Args:
        stated: The content of measurements.json.
        measure: Measures the same loads, as ``measure.py --relative`` does; called again if they differ.

    Raises:
        Failed: if a ratio is never within ``RATIO_FACTOR`` of the stated one.
        NotRun: if one of the machines was busy, or the two cannot be compared.
    """
    problem: Exception = NotRun("the latencies were not measured")
    for _ in range(_LATENCY_ATTEMPTS):
        try:
            return _hold_once(stated, measure())
        except Failed as error:
            problem = error
    raise problem


def _hold_once(stated: dict[str, Any], measured: dict[str, Any]) -> str:
    if stated["engine"] == "cuda" and measured["machine"]["gpu"] is None:
        raise NotRun("the latencies of the package were measured on a GPU, and this machine has none")
    pairs = list(zip(stated["relative"], measured["relative"], strict=True))
    words = ", ".join(
        f"{_count(load['clients'], 'client')}: {new['ratio']:.3g} times the reference, stated {load['ratio']:.3g}, "
        f"p99 {new['p99'] / new['reference_p50']:.3g} times, stated {load['p99'] / load['reference_p50']:.3g}"
        for load, new in pairs
    )
    if all(_are_held(load, new) for load, new in pairs):
        faster = max(load["reference_p50"] / new["reference_p50"] for load, new in pairs)
        if 1 / MACHINE_FACTOR <= faster <= MACHINE_FACTOR:
            return words
        raise NotRun(f"the reference server is {max(faster, 1 / faster):.0f} times as fast on one machine: {words}")
    if any(load["busy"] for pair in pairs for load in pair):
        raise NotRun(f"busy machine: not held: {words}")
    raise Failed(f"{words}; expected within a factor of {RATIO_FACTOR:g}, and p99 within one of {P99_FACTOR:g}")


def _are_held(stated: dict[str, Any], measured: dict[str, Any]) -> bool:
    first, second = (load["p99"] / load["reference_p50"] for load in (stated, measured))
    return _is_within(stated["ratio"], measured["ratio"], RATIO_FACTOR) and _is_within(first, second, P99_FACTOR)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _is_within(first: float, second: float, factor: float) -> bool:
    return max(first, second) <= factor * min(first, second)


def inconsistent_measurements(measured: dict[str, Any]) -> list[str]:
    """Return a sentence for each latency of measurements.json that contradicts another one; [] if none does.

    A client sends one request at a time, so the rate is that of the clients divided by their mean latency (Little,
    1961, "A proof for the queuing formula L = λW"), and a median is at most twice the mean (Markov's inequality).
    """
    problems = []
    for step in (*measured["by_rows"], *measured["by_load"]):
        load = f"{MEASUREMENTS}: {_count(step['clients'], 'client')}, {_count(step['rows'], 'row')}"
        if not step["p50"] <= step["p95"] <= step["p99"]:
            problems.append(f"{load}: the percentiles are not in order")
        if not math.isclose((step["requests"] - step["failures"]) / step["seconds"], step["requests_per_second"],
                            rel_tol=0.01, abs_tol=0.1):  # fmt: skip
            problems.append(f"{load}: the rate is not the number of requests divided by their time")
        if step["p50"] * step["requests_per_second"] / 1000 > 2.1 * step["clients"]:
            problems.append(f"{load}: the rate is too high for the latency")
    best = max(measured["by_load"], key=lambda step: (not step["failures"], step["requests_per_second"]))
    by_clients = {step["clients"]: step for step in measured["by_load"]}
    relative = measured["relative"]
    if [load["clients"] for load in relative] != sorted({1, best["clients"]}):
        problems.append(f"{MEASUREMENTS}: the latencies next to a reference server are missing")
        return problems
    for load in relative:
        name, step = f"{MEASUREMENTS}: {_count(load['clients'], 'client')}", by_clients[load["clients"]]
        ratio = load["p50"] / load["reference_p50"]
        if not load["low"] <= load["ratio"] <= load["high"] or not _is_within(load["ratio"], ratio, RATIO_FACTOR):
            problems.append(f"{name}: the ratio is not that of the latencies")
        for figure, factor in (("p50", 2 * RATIO_FACTOR), ("p99", 2 * P99_FACTOR)):
            if not (step["busy"] or load["busy"] or _is_within(load[figure], step[figure], factor)):
                values = f"{step[figure]:.3g} ms, and {load[figure]:.3g} ms next to the reference"
                problems.append(f"{name}: {figure} is {values}")
    return problems


def mean(values: Sequence[float]) -> float:
    """Return the mean of some numbers."""
    return math.fsum(values) / len(values)


def differing_metrics(
    folder: Path, ask: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> tuple[list[str], str]:
    """Measure the model again on the test rows that a package holds.

    Args:
        folder: The folder of the package.
        ask: Returns the predictions for rows.

    Returns:
        A sentence for each metric that differs, and the metrics in words.

    Raises:
        NotRun: if the package holds no test rows.
    """
    if not (folder / HOLDOUT).is_file():
        raise NotRun("the package holds no test rows, so its metrics rest on the model in bento/ and on the signature")
    holdout, metadata = _read(folder, HOLDOUT), _read(folder, METADATA)
    rows, truths = ([row[name] for row in holdout["rows"]] for name in ("row", "truth"))
    parts = [ask(rows[start : start + _ROWS_AT_ONCE]) for start in range(0, len(rows), _ROWS_AT_ONCE)]
    measured = losses_of_rows([prediction for part in parts for prediction in part], truths)
    stated = {} if holdout["is_weighted"] else metadata["evaluation"]["metrics"].get("model", {})
    problems, words = [], []
    for name, losses in measured.items():
        if not math.isclose(mean(losses), holdout["metrics"][name], rel_tol=1e-3, abs_tol=1e-6):
            problems.append(f"{name} on the test rows in the package is {mean(losses):.5g}, not as {HOLDOUT} states it")
        if name in stated and not _may_be(losses, stated[name]["value"] ** _power(name)):
            value = mean(losses) ** (1 / _power(name))
            problems.append(f"{name} on {len(rows)} test rows is {value:.5g}, too far from {stated[name]['value']:.5g}")
        words.append(f"{name} {mean(losses) ** (1 / _power(name)):.4g}")
    return problems, f"{', '.join(words)} on {len(rows)} of {holdout['test_rows']} test rows"


def _power(metric: str) -> int:
    """Return what a metric is raised to, to be the mean of losses."""
    return 2 if metric.partition("[")[0] == "rmse" else 1


def _may_be(losses: Sequence[float], expected: float) -> bool:
    """Return whether an expected mean is within some standard errors of the mean of losses."""
    center = mean(losses)
    variance = math.fsum((value - center) ** 2 for value in losses) / max(1, len(losses) - 1)
    return abs(center - expected) <= _STANDARD_ERRORS * math.sqrt(variance / len(losses)) + 1e-6 * abs(expected)


# What runs the package.

#: A second process that cleans up if this one is killed: it sees the end of the pipe between them.
_CLEANER = """
import os, shutil, signal, sys
folder, *groups = sys.stdin.read().split("\\n")
for group in filter(None, groups):
    try:
        os.killpg(int(group), signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(folder, ignore_errors=True)
"""


@dataclass
class Run:
    """A verification in progress.

    Attributes:
        package: The folder of the package.
        options: The options of the command.
        folder: The copy that everything runs in; None before there is one.
        processes: The programs that were started, each the first one of a group.
        cleaner: The process that cleans up if this one is killed.
        server: The server; None before it was started.
        url: The URL of the server; empty before it is ready.
        results: The checks so far: name, result and finding.
    """

    package: Path
    options: argparse.Namespace
    folder: Path | None = None
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)
    cleaner: "subprocess.Popen[str] | None" = None
    server: "subprocess.Popen[str] | None" = None
    url: str = ""
    results: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def copy(self) -> Path:
        """The copy of the package."""
        assert self.folder is not None
        return self.folder

    def program(self, *command: str | Path, **variables: str) -> str:
        """Run a program in the copy, and return its output.

        Raises:
            Failed: if it fails; the text is the last line of its output.
            NotRun: if it takes too long.
        """
        process = self.start(*command, **variables)
        try:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise NotRun(f"it did not end within {TIMEOUT_SECONDS} s") from None
        finally:
            _kill(process)
        if process.returncode:
            lines = output.strip().splitlines() or [f"no output, exit status {process.returncode}"]
            raise Failed(lines[-1].strip())
        return output

    def start(self, *command: str | Path, log: Any = subprocess.PIPE, **variables: str) -> "subprocess.Popen[str]":
        """Start a program in the copy; its output goes to a file, or to a pipe that has to be read."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=self.copy,
            env={**kept, **self._own_folders(), "BENTOML_DO_NOT_TRACK": "1", **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        _tell(self.cleaner, process.pid)
        return process

    def _own_folders(self) -> dict[str, str]:
        """Return the variables of folders that programs write into, which are removed with the copy."""
        temporary = self.copy.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        return {"BENTOML_HOME": str(self.copy.parent / "home"), "TMPDIR": str(temporary)}


def check_files(run: Run) -> str:
    """Compare every file with SHA256SUMS."""
    _require_none(changed_files(run.package))
    note = f"; {ENVIRONMENT}, which is not a part of it, is not used" if (run.package / ENVIRONMENT).exists() else ""
    return f"{sum(1 for _ in listed_files(run.package))} files are as they were written{note}"


def check_signature(run: Run) -> str:
    """Check who signed the files."""
    return signature(run.package, run.options.public_key)


def check_figures(run: Run) -> str:
    """Compare the figures of the documents with those of the model in the Bento and of VERIFICATION.json."""
    _require_none(differing_figures(run.package))
    return "the figures of the documents are those of the model in bento/"


def check_environment(run: Run) -> str:
    """Install both requirements.txt in an empty virtual environment."""
    run.program(sys.executable, "-m", "venv", ENVIRONMENT)
    wheels = ["--no-index", "--find-links", str(run.options.wheels.resolve())] if run.options.wheels else []
    run.program(_python(run), "-m", "pip", "install", "--quiet", *_REQUIREMENTS, *wheels)
    words = "the packages of the service and of the tests are installed in a new virtual environment"
    runner = _read(run.copy, METADATA).get("runner")
    return f"{words}; {_source_environment(run, runner)}" if runner else words


def _source_environment(run: Run, runner: dict[str, Any]) -> str:
    """Make the environment of the process of the model, and compare it with the packages that it needs."""
    no_index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(run.options.wheels.resolve())} if run.options.wheels else {}
    run.program(_python(run), *_PREPARE_SOURCE, PYTHONPATH="bento/src", **no_index)
    (facts,) = (run.copy / ENVIRONMENT / "environments").glob("*/cell.json")
    installed = json.loads(facts.read_bytes())
    _require_none(installed["notes"])
    python, needed = installed["versions"]["python"], runner.get("python")
    other = "" if needed is None or f"{python}.".startswith(f"{needed}.") else f" in place of {needed}"
    return f"those of the process of the model in another, with Python {python}{other}"


def check_tests_offline(run: Run) -> str:
    """Run the tests of the package without a server."""
    if _read(run.copy, METADATA).get("runner"):
        raise NotRun("the model answers in the service only")
    return _summary(run.program(_python(run), "-m", "pytest", "tests"))


def check_start(run: Run) -> str:
    """Start a server of the package's own Bento."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": str(port)}
    start, url = time.monotonic(), f"http://127.0.0.1:{port}"
    log = run.copy.parent / "server.log"
    with log.open("w") as file:
        command = (_python(run).with_name("bentoml"), "serve", run.copy / "bento")
        run.server = server = run.start(*command, log=file, **variables)
    while time.monotonic() - start < TIMEOUT_SECONDS:
        if server.poll() is not None:
            raise Failed(f"the server ended: {log.read_text(errors='replace').strip()[-300:]}")
        with contextlib.suppress(OSError):
            if _ask(f"{url}/readyz")[0] == 200:
                run.url = url
                return f"ready after {time.monotonic() - start:.1f} s"
        time.sleep(0.1)
    raise NotRun(f"the server was not ready within {TIMEOUT_SECONDS} s")


def check_identity(run: Run) -> str:
    """Compare what the server states about its model with the package."""
    metadata = _read(run.copy, METADATA)
    _, model = _ask(f"{_url(run)}/model")
    _require_none(differing_statements(metadata, model or {}))
    return f"the server runs {model['name']}:{model['version']}, and states the figures of the package"


def check_requests(run: Run) -> str:
    """Send every request of the package, and compare the answers."""
    samples, url = _read(run.copy, SAMPLES), _url(run)
    cases = [*samples["golden"], *samples["edge"], *samples["invalid"]]
    for case in cases:
        body = case["body"] if case["body"] is not None else json.dumps(case["request"])
        status, answer = _ask(f"{url}/predict", body.encode(), case["headers"])
        if isinstance(answer, dict):
            answer.pop("request_id", None)
        if status != case["status"] or not are_close(case["answer"], answer, samples["tolerance"]):
            raise Failed(f"'{case['case']}': the answer differs from {SAMPLES}")
    return f"{len(cases)} requests were answered or refused as the package says"


def check_example(run: Run) -> str:
    """Run the example program."""
    output = run.program(_python(run), "examples/inference_example.py", URL=_url(run))
    return f"examples/inference_example.py printed {len(output.splitlines())} predictions"


def check_metrics(run: Run) -> str:
    """Measure the model again on the test rows of the package."""
    url = _url(run)
    problems, words = differing_metrics(run.copy, lambda rows: predictions_of(url, rows))
    _require_none(problems)
    return words


def predictions_of(url: str, rows: list[dict[str, Any]], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the predictions of a server for rows.

    Raises:
        Failed: if it refuses them.
    """
    status, answer = _ask(f"{url}/predict", json.dumps({"rows": rows}).encode(), headers)
    if status != 200:
        raise Failed(f"the server refuses test rows of the package with status {status}")
    predictions: list[dict[str, Any]] = answer["predictions"]
    return predictions


def check_latencies(run: Run) -> str:
    """Measure latencies again, next to those of a reference server, and hold them against the stated ones."""
    url, output = _url(run), run.copy.parent / "latencies.json"
    assert run.server
    options = ("--relative", "--url", url, "--pid", str(run.server.pid), "--output", output)

    def measure() -> Any:
        run.program(_python(run), "benchmarks/measure.py", *options)
        return json.loads(output.read_bytes())

    return held_latencies(_read(run.copy, MEASUREMENTS), measure)


def check_tests_deployed(run: Run) -> str:
    """Run the tests of the package against the server."""
    return _summary(run.program(_python(run), "-m", "pytest", "tests", URL=_url(run)))


def check_end(run: Run) -> str:
    """Stop the server with SIGTERM."""
    _url(run)
    assert run.server
    status = _terminate(run.server)
    if status != 0:
        raise Failed(f"the server ended with status {status} after SIGTERM; expected 0")
    return "the server ends with status 0 after SIGTERM"


READING = (check_files, check_signature, check_figures)
RUNNING = (
    check_environment,
    check_tests_offline,
    check_start,
    check_identity,
    check_requests,
    check_example,
    check_metrics,
    check_latencies,
    check_tests_deployed,
    check_end,
)


def _url(run: Run) -> str:
    if not run.url:
        raise NotRun("no server is running")
    return run.url


def _python(run: Run) -> Path:
    python = run.copy / ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise NotRun("there is no environment")
    return python


def _ask(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Send a request; return the status and the JSON of the answer, None if it has none."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, content = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, content = error.code, error.read()
    try:
        return status, json.loads(content)
    except ValueError:
        return status, None


def _summary(output: str) -> str:
    return output.strip().splitlines()[-1].strip("= ")


def _require_none(problems: Sequence[str]) -> None:
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise Failed("; ".join(problems[:5]) + more)


def _tell(cleaner: "subprocess.Popen[str] | None", line: object) -> None:
    if cleaner and cleaner.stdin:
        cleaner.stdin.write(f"{line}\n")
        cleaner.stdin.flush()


def _terminate(process: "subprocess.Popen[str]") -> int:
    """Ask a program to end, so that it removes its temporary files; kill it if it does not."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_STOP_SECONDS)
    _kill(process)
    return process.returncode


def _kill(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _perform(run: Run, checks: Sequence[Callable[[Run], str]], seconds: dict[str, float]) -> bool:
    """Run checks in their order and print their results; return whether none failed."""
    for check in checks:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        estimate = f" (about {seconds[name]:.0f} s)" if seconds.get(name, 0) > 5 else ""
        if sys.stdout.isatty():
            print(f"{name:>15}  {check.__doc__ or ''}{estimate}", end="\r", flush=True)
        start = time.monotonic()
        try:
            result, finding = "passed", check(run)
        except NotRun as reason:
            result, finding = "not run", str(reason)
        except (Failed, OSError, ValueError, KeyError) as error:
            result, finding = "FAILED", str(error) or type(error).__name__
        run.results.append((name, result, finding))
        took = time.monotonic() - start
        print(f"\033[K{name:>15}" if sys.stdout.isatty() else f"{name:>15}", end="  ")
        print(f"{'' if result == 'passed' else f'{result}: '}{finding}{f' ({took:.0f} s)' if took >= 1 else ''}")
    return all(result != "FAILED" for _, result, _ in run.results)


def _estimates(package: Path) -> dict[str, float]:
    """Return how long the checks took when the package was written, in seconds by name."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return {check["name"]: check["seconds"] for check in _read(package, "VERIFICATION.json")["checks"]}
    return {}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public-key", type=Path, metavar="FILE", help="the public key of the author, a PEM file")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="a folder with the packages to install, as wheels")
    parser.add_argument("--only-read", action="store_true", help="check what needs no code of the package")
    return parser.parse_args()


def _stop(number: int, _frame: Any) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Verify the package that this file is in, and return the exit status."""
    options = _arguments()
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C: programs are stopped, and the copy is removed
    run = Run(Path(__file__).resolve().parent, options)
    seconds = _estimates(run.package)
    passed = _perform(run, READING, seconds)
    if passed and not options.only_read:
        total = sum(seconds.get(name, 0) for name in ("environment", "tests offline", "start", "tests deployed"))
        print(f"\nThe following checks run the code of the package{f', about {total:.0f} s' if total else ''}.\n")
        with tempfile.TemporaryDirectory(prefix="verify-", ignore_cleanup_errors=True) as name:
            run.folder = Path(name) / "package"
            run.cleaner = subprocess.Popen(
                [sys.executable, "-c", _CLEANER], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
            _tell(run.cleaner, name)
            shutil.copytree(run.package, run.folder, ignore=shutil.ignore_patterns(ENVIRONMENT))
            try:
                passed = _perform(run, RUNNING, seconds)
            finally:
                for process in run.processes:
                    _terminate(process)
                _kill(run.cleaner)
    elif not passed:
        print("\nNothing of the package was run.")
    not_run = [name for name, result, _ in run.results if result == "not run"]
    verdict = "No check failed" if passed else "THE PACKAGE IS NOT AS IT SAYS"
    print("\n" + "; not run: ".join([verdict, *([", ".join(not_run)] if not_run else [])]) + ".")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
