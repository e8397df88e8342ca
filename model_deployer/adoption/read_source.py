"""Read a source without running it: what it is, its inputs, and its graph if every part has a writer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import onnx

from model_deployer.adoption.cell.requirements import requirements
from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import Field, WrittenModel, write_model
from model_deployer.adoption.interface import Interface, SourceField, label_text
from model_deployer.adoption.source.definitions import Definition, find_definitions
from model_deployer.adoption.source.pickle_file import read_pickle
from model_deployer.adoption.source.pickle_scan import PickleScan, scan_pickle
from model_deployer.adoption.source.versions import versions_of_object
from model_deployer.adoption.stored_object import StoredObject
from model_deployer.contract.source_runner import SourceStep

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
    """

    columns: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    steps: Sequence[str] = ()
    environment: Literal["current"] | Sequence[str] = ()


@dataclass(frozen=True)
class ReadSource:
    """What a source says before it runs.

    Attributes:
        name: The name of the file or folder.
        digest: ``sha256:`` and the digest of its files.
        format: What it is, in words.
        estimator: The import path of the class of the model; None if it has none.
        versions: The versions of libraries that it names.
        python: The version of Python that it was made with; None if it is not known.
        requirements: The packages to load it with.
        steps: The files to load.
        definitions: The scripts with the classes that it needs.
        interface: Its inputs and its output; None if they are not known before it runs.
        graph: Its graph; None if a part of it has no writer.
        reason: Why there is no graph; None if there is one.
        critical: Values of each field at which it changes its behaviour.
        form, missing, categories: How it gets rows, see :class:`contract.source_runner.SourceRunner`.
        warnings: What the reader has to know before it runs, such as programs in its files.
    """

    name: str
    digest: str
    format: str
    estimator: str | None
    versions: Mapping[str, str]
    python: tuple[int, int] | None
    requirements: Sequence[str]
    steps: tuple[SourceStep, ...]
    definitions: Sequence[Definition]
    interface: Interface | None
    graph: onnx.ModelProto | None
    reason: str | None
    critical: Mapping[str, set[float | str]] = field(default_factory=dict)
    form: Literal["frame", "array", "texts"] | None = None
    missing: Literal["none", "nan"] = "none"
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def is_unnamed(self) -> bool:
        """Whether the source has no names for its columns."""
        if self.interface is None:
            return True
        return all(field.name == f"x{position}" for position, field in enumerate(self.interface.fields))

    @property
    def about(self) -> str:
        """What the source is, in a few words: its format, its class and the versions that it names."""
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.versions.items()))
        parts = [self.format, self.estimator, f"stored with {versions}" if versions else None]
        return ", ".join(part for part in parts if part)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what is known of the source before it runs, as the stage and the line of a report."""
        yield "read", self.about
        for warning in self.warnings:
            yield "warning", warning
        for definition in self.definitions:
            names = ", ".join(f"{name} (line {line})" for name, line in definition.lines.items())
            yield "read", f"{definition.path.name} defines {names}, which the source needs"
        if self.interface is not None:
            fields = ", ".join(field.name for field in self.interface.fields[:_MAX_LISTED])
            more = len(self.interface.fields) - _MAX_LISTED
            yield "read", f"it reads {fields}{f' and {more} more' if more > 0 else ''}"
            if self.interface.labels is not None:
                yield "read", f"it predicts {', '.join(self.interface.labels[:_MAX_LISTED])}"
        yield "graph", self.reason or "every part of it has a graph writer"


def read_source(path: Path, hints: SourceHints) -> ReadSource:
    """Read a source; nothing of it is imported or called.

    Args:
        path: The file or folder.
        hints: What model.yaml says about it.

    Raises:
        UnreadableSource: if it is damaged, or is not a model; the message says what it is.
    """
    content = path.read_bytes()
    scan = scan_pickle(content)
    imports = scan.imports
    stored = read_pickle(content)
    versions = versions_of_object(stored, imports)
    libraries = {item.module.partition(".")[0] for item in imports if item.verdict == "library"}
    unknown = [(item.module, item.name) for item in imports if item.verdict == "unknown"]
    read = ReadSource(
        name=path.name,
        digest=digest_of(path),
        format="pickle",
        estimator=stored.path if isinstance(stored, StoredObject) else None,
        versions=versions,
        python=None,
        requirements=requirements(["joblib"], libraries, versions),
        steps=(SourceStep(kind="joblib", path=path.name),),
        definitions=find_definitions(path.parent, unknown),
        interface=None,
        graph=None,
        reason=None,
        warnings=tuple(_warnings(scan)),
    )
    try:
        return _with_graph(read, write_model(stored, hints.columns))
    except UnsupportedModel as reason:
        return replace(read, reason=str(reason))


def _warnings(scan: PickleScan) -> Iterator[str]:
    if dangerous := scan.paths("dangerous"):
        yield f"loading it would call {', '.join(dangerous)}, which no model needs: it may be an attack"
    if code := scan.paths("code"):
        yield f"it carries functions as code, restored by {', '.join(code[:3])}"


def _with_graph(read: ReadSource, written: WrittenModel) -> ReadSource:
    critical = {field.name: set(field.critical) for field in written.fields}
    forms = {form for field in written.fields for form in field.fact.missing_forms}
    missing: Literal["none", "nan"] = "nan" if "NaN" in forms else "none"
    return replace(read, graph=written.onnx, interface=interface_of(written), critical=critical, missing=missing)


def interface_of(written: WrittenModel) -> Interface:
    """Return the inputs and the output of a model that was written as a graph."""
    labels = None if written.labels is None else tuple(map(label_text, written.labels))
    return Interface(tuple(map(_field, written.fields)), labels, written.threshold)


def _field(field: Field) -> SourceField:
    fact, texts = field.fact, tuple(str(value) for value in field.fact.categories if isinstance(value, str))
    return SourceField(
        name=field.name,
        kind=field.kind,
        categories=texts or None if field.kind == "text" else None,
        refuses_unknown=field.kind == "text" and fact.accepted is not None,
        refuses_missing=not fact.accepts_missing,
    )
