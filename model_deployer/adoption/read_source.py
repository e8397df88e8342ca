"""Read a source without running it: what it is, its inputs, and its graph if every part has a writer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import onnx

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.graph.scores import remove_decision
from model_deployer.adoption.graph.unsupported import SeveralDecisions, UnsupportedModel
from model_deployer.adoption.graph.written_model import Field, WrittenModel, reads_texts, write_model
from model_deployer.adoption.graph.written_steps import WrittenSteps, write_steps
from model_deployer.adoption.interface import Interface
from model_deployer.adoption.network.arrangement import StatedFields, arrange
from model_deployer.adoption.network.image_input import StatedImage, UnknownSize
from model_deployer.adoption.network.network import NETWORKS, Network, read_network
from model_deployer.adoption.network.sequence_input import StatedSequence
from model_deployer.adoption.network.tensor_input import StatedTensor
from model_deployer.adoption.source.detect import detect
from model_deployer.adoption.source.role import fitted_model, role_of
from model_deployer.adoption.source.source import Source
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.stored_model import source_columns, stored_model, stored_steps
from model_deployer.contract.source_runner import Meaning, Pixels

#: What the imports of a pickle are called that a reader has to know.
_VERDICTS = ("dangerous", "code", "unknown")

_CLUSTERS = "numbers groups of rows"
_OUTLIERS = "tells usual rows from unusual ones"

#: Estimators of scikit-learn that learn without a target, and what they answer.
_WITHOUT_TRUTH = {
    **dict.fromkeys(("KMeans", "MiniBatchKMeans", "BisectingKMeans", "Birch", "MeanShift"), _CLUSTERS),
    **dict.fromkeys(("AffinityPropagation", "AgglomerativeClustering", "DBSCAN", "HDBSCAN", "OPTICS"), _CLUSTERS),
    **dict.fromkeys(("SpectralClustering", "GaussianMixture", "BayesianGaussianMixture"), _CLUSTERS),
    **dict.fromkeys(("IsolationForest", "LocalOutlierFactor", "OneClassSVM", "SGDOneClassSVM"), _OUTLIERS),
    **dict.fromkeys(("EllipticEnvelope", "KernelDensity"), _OUTLIERS),
    "NearestNeighbors": "finds similar rows",
}

#: The kinds of sources that get a missing text as None; others get it as NaN, as pandas reads it from a table.
_WITHOUT_NAN = NETWORKS | {"cog"}

#: How many names a line lists.
_MAX_LISTED = 12


@dataclass(frozen=True)
class SourceHints:
    """What model.yaml says about a source.

    Attributes:
        columns: The columns that the model reads, in its order; None if the source has to say it.
        labels: What the classes are called in the table, in the order of the source; None if the source says it.
        steps: For a folder, the files that the rows pass through, in their order.
        environment: The packages to load it with; ``current`` for those of this process; empty for those that the
            source names.
        outputs: What the numbers of an answer mean; None if the source has to show it.
        vectors: The fields that are vectors.
        images: The fields that are images, and what model.yaml says of them.
        sequences: The fields that are sequences, and what model.yaml says of them.
        targets: What the numbers of an answer are called, in the order of the source; empty for one target.
        categories: The texts of each column that may be categories, for a source that has only their hashes.
        classes: The two values of the target in the table, as texts, in ascending order; None if it has others.
        tensors: The fields that are tensors, and what model.yaml or the table says of them.
    """

    columns: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    steps: Sequence[str] = ()
    environment: Literal["current"] | Sequence[str] = ()
    outputs: Meaning | Literal["embedding"] | None = None
    vectors: Sequence[str] = ()
    images: Mapping[str, StatedImage] = field(default_factory=dict)
    targets: Sequence[str] = ()
    sequences: Mapping[str, StatedSequence] = field(default_factory=dict)
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    classes: tuple[str, str] | None = None
    tensors: Mapping[str, StatedTensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadSource:
    """What a source says before it runs.

    Attributes:
        source: The files that make it up, and what they and the texts around them say.
        root: The file or folder that was read.
        digest: ``sha256:`` and the digest of its files.
        interface: Its inputs and its output; None if they are not known before it runs.
        graph: Its graph; None if a part of it has no writer.
        reason: Why there is no graph; None if there is one.
        critical: Values of each field at which it changes its behaviour.
        missing: How it gets a missing text, see :class:`contract.source_runner.SourceRunner`.
    """

    source: Source
    root: Path
    digest: str
    interface: Interface | None = None
    graph: onnx.ModelProto | None = None
    reason: str | None = None
    critical: Mapping[str, set[float | str]] = field(default_factory=dict)
    missing: Literal["none", "nan"] = "nan"

    @property
    def estimator(self) -> str | None:
        """The import path of the class of the model; None if the format has none."""
        stored = self.source.model.stored
        return stored.path if stored is not None else None

    @property
    def has_steps(self) -> bool:
        """Whether the rows pass through steps before the model."""
        return len(self.source.files) > 1

    @property
    def is_network(self) -> bool:
        """Whether it is a network, whose graph is made when it is opened."""
        return self.source.kind in NETWORKS

    def stated_fields(self, hints: SourceHints) -> StatedFields:
        """Return what the source and model.yaml say of the fields of a network."""
        stated = [item.value for item in self.source.about("pixels")]
        pixels = Pixels.model_validate(stated[0]) if stated else None
        return StatedFields(hints.columns, hints.vectors, hints.images, pixels, hints.sequences, hints.tensors)

    @property
    def is_converted(self) -> bool:
        """Whether its graph is made in its cell: that of a network, of CatBoost, or of an old XGBoost."""
        return (self.is_network and self.reason is None) or self.converted_library is not None

    @property
    def converted_library(self) -> str | None:
        """The library that converts the model to a readable format in its cell; None if the model is readable."""
        if self.graph is not None or self.has_steps:
            return None
        model = self.source.model
        library = model.kind if model.stored is None else model.stored.library
        return library if library in ("catboost", "xgboost") else None

    @property
    def is_program(self) -> bool:
        """Whether loading it needs consent: only a graph in ONNX does not; other files go to a library."""
        return any(file.kind != "onnx" for file in self.source.files)

    @property
    def form(self) -> Literal["texts"] | None:
        """How it gets rows, where it is known before it runs: a vectorizer gets a list of texts."""
        first = self.source.files[0].stored
        return "texts" if first is not None and reads_texts(first) else None

    @property
    def is_unnamed(self) -> bool:
        """Whether the source has no names for its columns."""
        if self.interface is None:
            return True
        return all(field.name == f"x{position}" for position, field in enumerate(self.interface.fields))

    @property
    def about(self) -> str:
        """What the source is, in a few words: its format, its class and the versions that it names."""
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.source.versions.items()))
        parts = [self.source.kind, self.estimator, f"stored with {versions}" if versions else None]
        return " ".join(", ".join(part for part in parts if part).split())  # a file may state any text as a version

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what is known of the source before it runs, as the stage and the line of a report."""
        yield "read", self.about
        steps = [file.path.name + (f"#{file.key}" if file.key else "") for file in self.source.files]
        if len(steps) > 1:
            yield "read", f"the rows pass through {', then '.join(steps)}"
        yield from (("left out", reason) for reason in self.source.left_out.values())
        yield from (("warning", warning) for warning in self._warnings())
        for statement in self.source.statements:
            if statement.subject in ("columns", "labels", "threshold", "pixels"):
                yield "read", f"{statement.place} says: {statement.text}"
        if self.interface is not None:
            yield "read", f"it reads {_shown([field.name for field in self.interface.fields])}"
        yield "graph", self._graph if self.is_converted else self.reason or self._graph

    @property
    def _graph(self) -> str:
        if self.converted_library is not None:
            return f"{self.converted_library} saves it as JSON in its cell, and the graph is written of that"
        if not self.is_network:
            return "every part of it has a graph writer"
        own = "its own graph is served" if self.source.kind == "onnx" else "it is converted to ONNX in its cell"
        return f"the steps have graph writers, and of the network, {own}" if self.has_steps else own

    def _warnings(self) -> Iterator[str]:
        imports = self.source.imports
        paths = {verdict: [item.path for item in imports if item.verdict == verdict] for verdict in _VERDICTS}
        attacks = [item.path for item in imports if item.may_run_commands]
        others = [name for name in paths["dangerous"] if name not in attacks]
        if attacks:
            yield f"loading it would call {_shown(attacks)}, which no model needs: it may be an attack"
        if others:
            yield f"loading it may call functions: {_shown(others)}"
        if paths["code"]:
            yield "it carries functions as code, which run when it is loaded"
        if paths["unknown"]:
            yield f"it needs classes of its author: {_shown(paths['unknown'])}"


def _shown(value: object) -> str:
    names = [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def read_source(path: Path, hints: SourceHints) -> ReadSource:
    """Read a source; nothing of it is imported or called.

    Args:
        path: The file or folder.
        hints: What model.yaml says about it.

    Raises:
        UnreadableSource: if it is damaged, is not a model, or makes several decisions; the message says what it is.
    """
    source = detect(path, hints.steps)
    _refuse_transformer(source, path)
    _refuse_without_truth(source, path)
    read = ReadSource(source, path, digest_of(path), missing="none" if source.kind in _WITHOUT_NAN else "nan")
    columns = hints.columns or source_columns(source)
    if read.is_network:
        return _read_network(read, replace(hints, columns=columns))
    try:
        return with_graph(read, write_model(stored_model(source), columns))
    except SeveralDecisions as reason:
        raise UnreadableSource(f"'{path.name}': {reason}") from None
    except UnsupportedModel as reason:
        return replace(read, reason=str(reason))


def _read_network(read: ReadSource, hints: SourceHints) -> ReadSource:
    """Return what a network says of its inputs; the graph of a file in ONNX is read, others are converted later."""
    if read.has_steps:
        try:
            return with_steps(read, write_steps(stored_steps(read.source), hints.columns, passes_missing=False))
        except UnsupportedModel as reason:
            return replace(read, reason=f"a step before the network cannot become a graph: {reason}")
    if read.source.kind != "onnx":
        return read
    path = read.source.model.path
    try:
        network = read_network(path.read_bytes(), path.parent)
        return replace(read, interface=_interface_of_network(network, read.stated_fields(hints)))
    except UnknownSize:
        return read  # model.yaml, which is not written yet, may say it
    except UnsupportedModel as reason:
        raise UnreadableSource(f"'{path.name}': {reason}") from reason


def _interface_of_network(network: Network, stated: StatedFields) -> Interface:
    slots = arrange(network.inputs, stated, takes_missing=network.takes_missing)
    return Interface(tuple(field for slot in slots for field in slot.fields), network.labels)


def _refuse_transformer(source: Source, path: Path) -> None:
    """Refuse a step of scikit-learn without a model; a step of a team may have ``predict``."""
    stored = source.model.stored
    if stored is None or role_of(stored).kind != "transformer" or fitted_model(stored).library != "sklearn":
        return
    raise UnreadableSource(
        f"'{path.name}' holds a '{fitted_model(stored).name}', which prepares columns and predicts nothing: hand over "
        f"the folder with the model"
    )


def _refuse_without_truth(source: Source, path: Path) -> None:
    """Refuse a model of scikit-learn whose numbers are neither a quantity nor a class that a table can have."""
    stored = source.model.stored
    model = None if stored is None else fitted_model(stored)
    if model is None or model.library != "sklearn" or model.name not in _WITHOUT_TRUTH:
        return
    raise UnreadableSource(
        f"'{path.name}' holds a '{model.name}', which {_WITHOUT_TRUTH[model.name]}: no truth can evaluate its answers. "
        f"Fit a classifier to the labels that it gives, and adopt that"
    )


def with_graph(read: ReadSource, written: WrittenModel) -> ReadSource:
    """Return what a source says, with the graph that was written of it."""
    if written.outputs == ("decision",):
        reason = "it decides without probabilities or scores"
        return replace(read, interface=written.interface, reason=reason)
    remove_decision(written.onnx)
    return replace(_with_fields(read, written.fields), graph=written.onnx, interface=written.interface)


def with_steps(read: ReadSource, steps: WrittenSteps) -> ReadSource:
    """Return what a network says, with the fields of the steps before it; its output is not known yet."""
    interface = Interface(tuple(field.source_field for field in steps.fields), None)
    return replace(_with_fields(read, steps.fields), interface=interface)


def _with_fields(read: ReadSource, fields: Sequence[Field]) -> ReadSource:
    critical = {field.name: set(field.critical) for field in fields}
    forms = {form for field in fields for form in field.fact.missing_forms}
    missing: Literal["none", "nan"] = "nan" if "NaN" in forms else "none"
    return replace(read, critical=critical, missing=missing)
