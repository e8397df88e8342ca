"""A source: the files that make up a model, and everything that they and the texts around them say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_deployer.adoption.source.pickle_scan import Import
from model_deployer.adoption.source.statement import Statement, Subject
from model_deployer.adoption.stored_object import StoredObject


@dataclass(frozen=True)
class SourceFile:
    """One step of a model.

    Attributes:
        path: The file, or the folder for formats that are folders.
        kind: Its format, as a cell loads it: ``joblib``, ``xgboost``, ``mlflow`` and so on.
        key: The place of the object within a dict or list, as ``model`` or ``0.model``; the name of a function.
        stored: The object without its code; None if the format holds none.
    """

    path: Path
    kind: str
    key: str | None = None
    stored: StoredObject | None = None

    @property
    def step(self) -> dict[str, Any]:
        """The step in the form that a cell takes."""
        return {"kind": self.kind, "path": str(self.path), "key": self.key}


@dataclass(frozen=True)
class Source:
    """A model as a team hands it over; nothing of it has run.

    Attributes:
        kind: The format of the model, such as ``joblib`` or ``mlflow``.
        files: The steps in the order in which they are applied; the model is the last one.
        objects: What was read from each file, by its path within the source.
        versions: The versions of libraries that the files state, by package; a version or a range.
        statements: What the files and the texts around them say, each with its place.
        left_out: For each file that is not a part of the model, a sentence that says why.
        imports: The classes and functions that its pickles name.
    """

    kind: str
    files: tuple[SourceFile, ...]
    objects: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    statements: tuple[Statement, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[Import, ...] = ()

    @property
    def model(self) -> SourceFile:
        """The step that predicts."""
        return self.files[-1]

    @property
    def libraries(self) -> list[str]:
        """The libraries that its pickles import, by the name of the import."""
        wanted = ("library", "code")
        return sorted({item.module.partition(".")[0] for item in self.imports if item.verdict in wanted})

    def about(self, subject: Subject) -> list[Statement]:
        """Return the statements about a subject: those in the bytes of the model first."""
        chosen = [item for item in self.statements if item.subject == subject]
        return sorted(chosen, key=lambda item: item.origin != "bytes")
