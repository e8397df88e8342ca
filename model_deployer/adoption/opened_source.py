"""A source that was opened: what it says, its graph if it has one, and the process in which it answers."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment, current_environment, prepare_environment
from model_deployer.adoption.cell.process import CellProcess, start_cell
from model_deployer.adoption.cell.trust import copy_trusted
from model_deployer.adoption.graph.trees.catboost_model import read_catboost
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import write_model
from model_deployer.adoption.interface import Interface, SourceField, label_text
from model_deployer.adoption.read_source import ReadSource, SourceHints, with_graph
from model_deployer.adoption.source.definitions import Definition
from model_deployer.contract.adoption import Adoption
from model_deployer.contract.errors import CheckFailed, UsageError
from model_deployer.contract.source_runner import SourceRunner, SourceScript
from model_deployer.system.janitor import temporary_folder

#: What every environment has, whatever the source needs.
_OF_THE_ENVIRONMENT = ("python", "pip", "setuptools", "wheel")


@dataclass(frozen=True)
class OpenedSource:
    """A model that was trained elsewhere, loaded in its cell.

    Attributes:
        interface: Its inputs and its output.
        origin: Where it comes from; ``equality`` is not known yet.
        graph: The graph that was written from what it holds; None if a part of it has no writer.
        critical: Values of each field at which it changes its behaviour.
        runner: How it is started again, and how it gets rows.
        process: The process that has loaded it.
        files: The folder with a copy of its files.
    """

    interface: Interface
    origin: Adoption
    graph: onnx.ModelProto | None
    critical: Mapping[str, set[float | str]]
    runner: SourceRunner
    process: CellProcess
    files: Path


@contextmanager
def open_source(
    read: ReadSource, path: Path, hints: SourceHints, trust: str | None, name: str
) -> Iterator[OpenedSource]:
    """Load a source in its cell; the cell ends with the context.

    Args:
        read: What the source says before it runs.
        path: The file or folder.
        hints: What model.yaml says about it.
        trust: The digest that the user consents to run; None without a consent.
        name: What model.yaml calls it, for messages.

    Raises:
        UsageError: if there is no consent.
        CellError: if the files are not what was consented to, or the source cannot be loaded.
        CheckFailed: if the source is a model of a kind that cannot be adopted.
    """
    if trust is None:
        raise UsageError(
            f"{name} may hold programs, and it has to be loaded to prove that the served model answers as it does. If "
            f"you trust its author, add `trust: {read.digest}` under `adopt`, or run `deployer adopt` with --trust"
        )
    with temporary_folder("model-deployer-source-") as folder:
        files = copy_trusted(path, folder, trust)
        environment = _environment(read, hints)
        with start_cell(environment) as process:
            root = files if files.is_dir() else folder
            steps = [{**step.to_json(), "path": str(root / step.path)} for step in read.steps]
            process.load(steps, [definition.script for definition in read.definitions])
            yield _opened(_converted(read, hints, process, root), hints, environment, process, root)


def _converted(read: ReadSource, hints: SourceHints, process: CellProcess, files: Path) -> ReadSource:
    """Return a source of CatBoost's own format with its graph, which is written from the JSON that CatBoost exports."""
    if read.graph is not None or [step.kind for step in read.steps] != ["catboost"]:
        return read
    try:
        content = process.convert("catboost", files / read.steps[0].path)
        return with_graph(read, write_model(read_catboost(content), hints.columns))
    except (CellError, UnsupportedModel) as reason:
        return replace(read, reason=str(reason))


def _environment(read: ReadSource, hints: SourceHints) -> CellEnvironment:
    if hints.environment == "current":
        return current_environment()
    return prepare_environment(hints.environment or read.requirements, read.python)


def _opened(
    read: ReadSource, hints: SourceHints, environment: CellEnvironment, process: CellProcess, files: Path
) -> OpenedSource:
    description = process.description
    interface = read.interface or _described(description, hints)
    if interface.labels is None and description["classes"] is not None:
        interface = replace(interface, labels=tuple(map(label_text, description["classes"])))
    if hints.labels:
        interface = replace(interface, labels=_renamed(interface.labels, hints.labels))
    notes = environment.notes
    origin = Adoption(
        source=read.name,
        digest=read.digest,
        format=read.format,
        estimator=read.estimator or description.get("class"),
        stored_with={name: version for name, version in read.versions.items() if version[:1].isdigit()},
        answered_with=dict(description["versions"]),
        served_by="graph" if read.graph is not None else "runner",
        reason=read.reason,
        notes=notes,
    )
    runner = _runner(read, environment, description)
    return OpenedSource(interface, origin, read.graph, read.critical, runner, process, files)


def _described(description: Mapping[str, Any], hints: SourceHints) -> Interface:
    """Return what a loaded source says of itself, for one whose files do not say it."""
    names = description.get("names") or hints.columns
    if not names and description.get("features"):
        names = [f"x{position}" for position in range(int(description["features"]))]
    if not names:
        raise CheckFailed("the source does not say which columns it reads; list them under `adopt.columns`")
    classes = description.get("classes")
    labels = None if classes is None else tuple(map(label_text, classes))
    return Interface(tuple(SourceField(str(name)) for name in names), labels)


def _renamed(labels: Sequence[str] | None, names: Sequence[str]) -> tuple[str, ...]:
    if labels is not None and len(labels) != len(names):
        raise UsageError(f"`adopt.labels` has {len(names)} names, but the model has {len(labels)} classes")
    return tuple(names)


def _runner(read: ReadSource, environment: CellEnvironment, description: Mapping[str, Any]) -> SourceRunner:
    versions = {name: version for name, version in environment.versions.items() if name not in _OF_THE_ENVIRONMENT}
    if environment.python == Path(sys.executable):
        needed = {re.split("[<>=]", line)[0] for line in read.requirements} | description["versions"].keys()
        versions = {name: version for name, version in versions.items() if name in needed}
    is_classifier = description["classes"] is not None
    answer = "probabilities" if description["has_probabilities"] else "decision" if is_classifier else "value"
    return SourceRunner(
        python=".".join(environment.versions["python"].split(".")[:2]),
        requirements=tuple(f"{name}=={version}" for name, version in sorted(versions.items())),
        steps=read.steps,
        scripts=tuple(_script(definition) for definition in read.definitions),
        form=read.form,
        missing=read.missing,
        categories=read.categories,
        answer=answer,
    )


def _script(definition: Definition) -> SourceScript:
    return SourceScript(module=definition.module, path=definition.path.name, code=definition.code)
