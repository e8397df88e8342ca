"""A model of another library, how its program prepares rows for it, and in which file its team hands it over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from tables import ROWS, table, with_missing

Prepare = Callable[[pd.DataFrame], Any]


def as_frame(rows: pd.DataFrame) -> Any:
    """Return rows as they are."""
    return rows


def as_array(rows: pd.DataFrame) -> Any:
    """Return rows as one array of numbers."""
    return rows.to_numpy(float)


def with_categories(rows: pd.DataFrame) -> Any:
    """Return rows with the column ``c`` as a category of pandas, as it was at training time."""
    return rows.assign(c=pd.Categorical(rows.c, categories=list("uvwxyz")))


@dataclass
class Case:
    """One model.

    Attributes:
        name: What the results call it.
        make: Returns the fitted model for prepared rows and the target.
        columns: The columns that it reads, in its order.
        target: The column of the truth.
        prepare: Brings rows into the form that its program gives it.
        missing: The columns with missing values.
        save: Writes the model into a folder and returns the file; joblib by default.
        answer: Returns its numbers for prepared rows, if not ``predict_proba`` or ``predict``.
        source: Where the case comes from: the notes, or the thread of an issue.
        change: Changes the table.
    """

    name: str
    make: Callable[[Any, Any], Any]
    columns: list[str]
    target: str = "bought"
    prepare: Prepare = as_frame
    missing: list[str] = field(default_factory=list)
    save: Callable[[Any, Path], str] | None = None
    answer: Callable[[Any, Any], Any] | None = None
    source: str = "notes"
    change: Callable[[pd.DataFrame], pd.DataFrame] | None = None

    def table(self) -> pd.DataFrame:
        """Return its rows: the first half fits it, the second half evaluates it."""
        rows = with_missing(table(), self.missing)
        return self.change(rows) if self.change else rows

    def fit(self) -> Any:
        """Return the fitted model."""
        rows = self.table()[:ROWS]
        return self.make(self.prepare(rows[self.columns]), rows[self.target])

    def write(self, model: Any, folder: Path) -> str:
        """Write the model into a folder, and return the name of the file."""
        if self.save:
            return self.save(model, folder)
        joblib.dump(model, folder / "model.joblib")
        return "model.joblib"

    def numbers(self, model: Any, rows: pd.DataFrame) -> tuple[np.ndarray, list[Any] | None]:
        """Return probabilities or values, float64 [rows, n], and the decisions of a classifier."""
        prepared = self.prepare(rows[self.columns])
        if self.answer:
            return _rows(self.answer(model, prepared)), None
        decisions = np.asarray(model.predict(prepared)).reshape(-1).tolist() if hasattr(model, "classes_") else None
        if hasattr(model, "predict_proba"):
            return _rows(model.predict_proba(prepared)), decisions
        values = np.empty((len(rows), 0)) if decisions is not None else _rows(model.predict(prepared))
        return values, decisions


def _rows(values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    return array.reshape(len(array), -1)
