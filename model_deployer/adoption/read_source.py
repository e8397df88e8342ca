"""Read a source without running it: what it is, its inputs, and its graph if every part has a writer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import onnx

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import Field, WrittenModel, write_model
from model_deployer.adoption.interface import Interface, SourceField, label_text
from model_deployer.adoption.source.definitions import Definition, find_definitions
from model_deployer.adoption.source.detect import detect
from model_deployer.adoption.source.pickle_scan import Verdict
from model_deployer.adoption.source.source import Source, SourceFile
from model_deployer.adoption.source.statement import Statement
from model_deployer.adoption.source_requirements import source_python, source_requirements
from model_deployer.adoption.stored_model import source_columns, stored_model
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
        statements: What its files and the texts next to them say of it, each with its place.
        left_out: For each file that is not a part of it, why.
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
    statements: tuple[Statement, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

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
        for statement in self.statements:
            if statement.subject in ("columns", "labels", "threshold"):
                yield "read", f"{statement.place} says: {statement.text}"
        yield from (("left out", reason) for reason in self.left_out.values())
        yield "graph", self.reason or "every part of it has a graph writer"


def read_source(path: Path, hints: SourceHints) -> ReadSource:
    """Read a source; nothing of it is imported or called.

    Args:
        path: The file or folder.
        hints: What model.yaml says about it.

    Raises:
        UnreadableSource: if it is damaged, or is not a model; the message says what it is.
    """
    source = detect(path, hints.steps)
    root = path if path.is_dir() else path.parent
    unknown = [(item.module, item.name) for item in source.imports if item.verdict == "unknown"]
    stored = source.model.stored
    first = source.files[0].stored
    read = ReadSource(
        name=path.name,
        digest=digest_of(path),
        format=source.kind,
        estimator=stored.path if stored is not None else None,
        versions=source.versions,
        python=source_python(source),
        requirements=source_requirements(source),
        steps=tuple(_step(file, root) for file in source.files),
        definitions=find_definitions(root, unknown),
        interface=None,
        graph=None,
        reason=None,
        warnings=tuple(_warnings(source)),
        statements=source.statements,
        left_out=source.left_out,
        form="texts" if first is not None and first.name.endswith("Vectorizer") else None,
    )
    try:
        model = stored_model(source)
        return with_graph(read, write_model(model, hints.columns or source_columns(source)))
    except UnsupportedModel as reason:
        return replace(read, reason=str(reason))


def _warnings(source: Source) -> Iterator[str]:
    if dangerous := _paths(source, "dangerous"):
        yield f"loading it would call {', '.join(dangerous)}, which no model needs: it may be an attack"
    if code := _paths(source, "code"):
        yield f"it carries functions as code, restored by {', '.join(code[:3])}"


def _paths(source: Source, verdict: Verdict) -> list[str]:
    return [item.path for item in source.imports if item.verdict == verdict]


def _step(file: SourceFile, root: Path) -> SourceStep:
    return SourceStep(kind=file.kind, path=file.path.relative_to(root).as_posix(), key=file.key)


def with_graph(read: ReadSource, written: WrittenModel) -> ReadSource:
    """Return what a source says with the graph that was written of it."""
    critical = {field.name: set(field.critical) for field in written.fields}
    forms = {form for field in written.fields for form in field.fact.missing_forms}
    missing: Literal["none", "nan"] = "nan" if "NaN" in forms else "none"
    return replace(
        read, graph=written.onnx, reason=None, interface=interface_of(written), critical=critical, missing=missing
    )


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
