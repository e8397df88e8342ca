"""Fit and write one model with its table, answer rows with it, or time it; run by the environment of the libraries.

``python benchmarks/adopted list`` | ``write NUMBER FOLDER`` | ``answer NUMBER FOLDER`` | ``time NUMBER FOLDER``
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
from case import Case
from cases import CASES, NOTES
from tables import ROWS

#: What is kept of the fitted model for the later questions; it is not the file that is adopted.
KEPT = "fitted.pkl"

TIMED_ROWS, CALLS = (1, 100), 200


def main() -> None:
    """Answer one request of the benchmark."""
    warnings.simplefilter("ignore")
    verb, *arguments = sys.argv[1:]
    if verb == "list":
        origins = ["notes"] * len(NOTES) + [case.source for case in CASES[len(NOTES) :]]
        print(json.dumps([[case.name, origin] for case, origin in zip(CASES, origins, strict=True)]))
        return
    {"write": write, "answer": answer, "time": time_calls}[verb](CASES[int(arguments[0])], Path(arguments[1]))


def write(case: Case, folder: Path) -> None:
    """Write the model as its team hands it over, the table, and what the benchmark has to know."""
    model = case.fit()
    file = case.write(model, folder)
    (folder / KEPT).write_bytes(cloudpickle.dumps(model))
    rows = case.table()[ROWS:]
    rows[sorted([*case.columns, case.target])].to_csv(folder / "table.csv", index=False)
    facts = {"file": file, "target": case.target, "columns": case.columns}
    (folder / "case.json").write_text(json.dumps(facts))


def answer(case: Case, folder: Path) -> None:
    """Answer the rows of ``rows.json``: the numbers and decisions of each row, or None for a row that is refused."""
    model, rows = _model(folder), _frame(json.loads((folder / "rows.json").read_text()))
    results = list(_answers(case, model, rows))
    (folder / "answers.json").write_text(json.dumps(results))


def time_calls(case: Case, folder: Path) -> None:
    """Print the first quartile of the seconds of a call for 1 and for 100 rows of the table."""
    model, table = _model(folder), case.table()[ROWS:]
    print(json.dumps([_seconds(case, model, table[:count]) for count in TIMED_ROWS]))


def _seconds(case: Case, model: Any, rows: pd.DataFrame) -> float:
    prepared = case.prepare(rows[case.columns])
    call = case.answer or (lambda model, rows: getattr(model, _method(model))(rows))
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call(model, prepared)
        seconds.append(time.perf_counter() - start)
    return quantiles(seconds)[0]


def _method(model: Any) -> str:
    return "predict_proba" if hasattr(model, "predict_proba") else "predict"


def _model(folder: Path) -> Any:
    return joblib.load(folder / KEPT)


def _frame(columns: dict[str, list[Any]]) -> pd.DataFrame:
    """Return rows as the program of a team has them: numbers and texts with NaN."""
    return pd.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: list[Any]) -> pd.Series:
    is_text = any(isinstance(value, str) for value in values)
    return pd.Series(values, dtype="str") if is_text else pd.Series(np.array(values, float))


def _answers(case: Case, model: Any, rows: pd.DataFrame) -> Iterator[Any]:
    """Yield the answers; a batch that raises an error is halved until each refused row is on its own."""
    try:
        numbers, decisions = case.numbers(model, rows)
    except Exception:  # what a model raises is its answer
        if len(rows) == 1:
            yield None
            return
        middle = len(rows) // 2
        yield from _answers(case, model, rows[:middle])
        yield from _answers(case, model, rows[middle:])
        return
    for row, values in enumerate(numbers.tolist()):
        yield [values, None if decisions is None else str(decisions[row])]


if __name__ == "__main__":
    main()
