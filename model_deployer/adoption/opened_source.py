"""A source that was opened: what it says, its graph if it has one, and the process in which it answers."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnx

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment, current_environment, prepare_environment
from model_deployer.adoption.class_names import class_names
from model_deployer.adoption.graph.trees.catboost_model import read_catboost
from model_deployer.adoption.graph.trees.xgboost_model import with_document
from model_deployer.adoption.graph.unsupported import SeveralDecisions, UnsupportedModel
from model_deployer.adoption.graph.written_model import write_model
from model_deployer.adoption.installed_packages import with_dependencies
from model_deployer.adoption.interface import Interface, SourceField, label_text
from model_deployer.adoption.opened_network import open_network
from model_deployer.adoption.read_source import ReadSource, SourceHints, with_graph
from model_deployer.adoption.source_cell import OpenCell, open_cell, source_environment, source_requirements
from model_deployer.adoption.stored_model import source_columns
from model_deployer.contract.adoption import Adoption
from model_deployer.contract.errors import CheckFailed, UsageError
from model_deployer.contract.source_runner import NetworkAnswer, SourceRunner

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
        cell: The process that has loaded it, and the copy of its files.
    """

    interface: Interface
    origin: Adoption
    graph: onnx.ModelProto | None
    critical: Mapping[str, set[float | str]]
    runner: SourceRunner
    cell: OpenCell

    @property
    def has_names(self) -> bool:
        """Whether the source itself names its columns."""
        return self.runner.network is None and bool(self.cell.process.description["names"])

    @property
    def is_converted_network(self) -> bool:
        """Whether its graph is that of an exporter, which may add in another order than the source."""
        return self.runner.network is not None and self.origin.format != "onnx"


@contextmanager
def open_source(read: ReadSource, hints: SourceHints, trust: str | None, name: str) -> Iterator[OpenedSource]:
    """Load a source in its cell; the cell ends with the context.

    Args:
        read: What the source says before it runs.
        hints: What model.yaml says about it.
        trust: The digest that the user consents to run; None without a consent.
        name: What model.yaml calls it, for messages.

    Raises:
        UsageError: if there is no consent.
        CellError: if the files are not what was consented to, or the source cannot be loaded.
        CheckFailed: if the source is a model of a kind that cannot be adopted.
    """
    if trust is None and not read.is_program:
        trust = read.digest
    if trust is None:
        raise UsageError(
            f"{name} may hold programs, and it has to be loaded to prove that the served model answers as it does. If "
            f"you trust its author, add `trust: {read.digest}` under `adopt`, or run `deployer adopt` with --trust"
        )
    environment = _environment(read, hints)
    with open_cell(read.source, read.root, trust, environment) as cell:
        if read.is_network:
            network = open_network(read, cell, hints)
            yield _opened(network.read, hints, environment, cell, network.answer)
        else:
            yield _opened(_converted(read, cell, hints), hints, environment, cell)


def _environment(read: ReadSource, hints: SourceHints) -> CellEnvironment:
    if hints.environment == "current":
        return current_environment()
    return prepare_environment(hints.environment) if hints.environment else source_environment(read.source)


def _converted(read: ReadSource, cell: OpenCell, hints: SourceHints) -> ReadSource:
    """Return what a source says, with the graph of a model that only its own library can read."""
    if read.converted_library is None:
        return read
    step = cell.steps[-1]
    try:
        is_catboost = read.converted_library == "catboost"
        known = {"columns": hints.columns, "categories": dict(hints.categories)} if is_catboost else {}
        content = cell.process.convert(step.kind, cell.files / step.path, key=step.key, **known)
        stored = read_catboost(content) if is_catboost else with_document(read.source.model.stored, content)
        return with_graph(read, write_model(stored, hints.columns))
    except SeveralDecisions as reason:
        raise CheckFailed(f"'{read.root.name}': {reason}") from None
    except (CellError, UnsupportedModel) as reason:
        return replace(read, reason=str(reason))


def _opened(
    read: ReadSource,
    hints: SourceHints,
    environment: CellEnvironment,
    cell: OpenCell,
    network: NetworkAnswer | None = None,
) -> OpenedSource:
    description = cell.process.description
    interface = read.interface or _described(description, hints, source_columns(read.source))
    if interface.labels is None and description["classes"] is not None:
        interface = replace(interface, labels=tuple(map(label_text, description["classes"])))
    codes = tuple(map(str, range(len(interface.labels or ()))))
    names = class_names(read.source, len(codes)) if codes and interface.labels == codes else None
    if labels := hints.labels or names:
        interface = replace(interface, labels=_renamed(interface.labels, labels))
    stored_with = {name: version for name, version in read.source.versions.items() if version[:1].isdigit()}
    origin = Adoption(
        source=read.root.name,
        digest=read.digest,
        format=read.source.kind,
        estimator=read.estimator or description.get("class"),
        stored_with=stored_with,
        answered_with=dict(description["versions"]),
        served_by="graph" if read.graph is not None else "runner",
        reason=read.reason,
        notes=environment.notes,
    )
    runner = _runner(read, environment, cell)
    if network is not None:
        answer: Literal["value", "probabilities"] = "value" if network.meaning == "value" else "probabilities"
        network = network.model_copy(update={"names": interface.labels or ()})
        runner = runner.model_copy(update={"answer": answer, "network": network})
    return OpenedSource(interface, origin, read.graph, read.critical, runner, cell)


def _described(description: Mapping[str, Any], hints: SourceHints, columns: Sequence[str] | None) -> Interface:
    """Return what a loaded source says of itself, for one whose files do not say it; they may list its columns."""
    names = description.get("names") or hints.columns or columns or [*hints.images, *hints.tensors]
    if not names and description.get("features"):
        names = [f"x{position}" for position in range(int(description["features"]))]
    if not names:
        raise CheckFailed("the source does not say which columns it reads; list them under `adopt.columns`")
    classes = description.get("classes")
    labels = None if classes is None else tuple(map(label_text, classes))
    return Interface(tuple(_described_field(str(name), hints) for name in names), labels)


def _described_field(name: str, hints: SourceHints) -> SourceField:
    """Return a field of a program, which gets images as arrays of their pixels, and tensors as arrays."""
    tensor, image = hints.tensors.get(name), hints.images.get(name)
    if tensor is not None and tensor.dimensions is None:
        raise CheckFailed(
            f"the source does not say how large the tensor '{name}' is: add `shape: [[1, 500], 80]`, with the smallest "
            f"and the largest size of a free axis, to the field under `features`"
        )
    if tensor is not None:
        return SourceField(
            name,
            "number",
            refuses_missing=True,
            dimensions=tensor.dimensions,
            minimum=tensor.minimum,
            maximum=tensor.maximum,
        )
    if image is None:
        return SourceField(name)
    if image.size is None or image.channels is None:
        raise CheckFailed(
            f"the source does not say how large the image '{name}' is: add `size: [height, width]` and `channels: 3` "
            f"to it under `features`"
        )
    if image.pixels is not None:
        raise UsageError(f"the source is a program, which gets the pixels of '{name}' as they are: leave out `pixels`")
    return SourceField(name, "number", refuses_missing=True, image=(*image.size, image.channels))


def _renamed(labels: Sequence[str] | None, names: Sequence[str]) -> tuple[str, ...]:
    if labels is not None and len(labels) != len(names):
        raise UsageError(f"`adopt.labels` has {len(names)} names, but the model has {len(labels)} classes")
    return tuple(names)


def _runner(read: ReadSource, environment: CellEnvironment, cell: OpenCell) -> SourceRunner:
    description = cell.process.description
    is_classifier = description["classes"] is not None
    answer = "probabilities" if description["has_probabilities"] else "decision" if is_classifier else "value"
    return SourceRunner(
        python=".".join(environment.versions["python"].split(".")[:2]),
        requirements=_pins(environment, read, description["versions"]),
        steps=cell.steps,
        scripts=cell.scripts,
        form=read.form,
        missing=read.missing,
        answer=answer,
    )


def _pins(environment: CellEnvironment, read: ReadSource, answered_with: Mapping[str, str]) -> tuple[str, ...]:
    """Return all packages of an environment with their versions; of that of this process, only those in use."""
    versions = environment.versions
    if environment.python == Path(sys.executable):
        needed = {re.split("[<>=]", line)[0] for line in source_requirements(read.source)} | answered_with.keys()
        versions = with_dependencies(needed)
    return tuple(f"{name}=={version}" for name, version in sorted(versions.items()) if name not in _OF_THE_ENVIRONMENT)
