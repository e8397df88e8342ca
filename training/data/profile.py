"""What is odd about a table, said before anything is trained on it."""

import math
from collections.abc import Iterator

import numpy as np
import polars as pl

from model_deployer.contract.evaluation import Finding, Severity
from model_deployer.training.data.columns import canonical, is_constant, is_readable, is_worded, missing
from model_deployer.training.data.features import candidates
from model_deployer.training.data.leakage import filled_for, is_suspicious, leaks, numbers
from model_deployer.training.data.split import Parts
from model_deployer.training.data.target import Target
from model_deployer.training.spec import Spec

#: From this distance between the distributions of the training and the test part on, drift is reported, unless chance
#: alone makes such a distance in more than one of a thousand columns (the Kolmogorov-Smirnov test).
DRIFT = 0.15
CRITICAL = 1.95


def profile(frame: pl.DataFrame, target: Target, parts: Parts, spec: Spec) -> list[Finding]:
    """Look for leaks, identifiers, empty and constant columns, duplicates, rare classes and drift.

    A leak is an ``error`` under ``strict`` of model.yaml, else a ``warning``. Columns are judged on the rows of
    training and validation.
    """
    columns = candidates(frame, spec)
    train, test = frame[parts.learnt], frame[parts.test]
    learnt = Target(target.values[parts.learnt], target.labels)
    findings = [finding for name in columns for finding in _of_column(train[name], test[name], learnt, spec)]
    return [
        *findings,
        *_of_duplicates(pl.DataFrame({name: frame[name] for name in (*columns, spec.data.target)}), parts),
        *_of_classes(target, parts),
    ]


def is_identifier(column: pl.Series) -> bool:
    """Whether every value differs: strings of a word or two, or integers as close as running numbers."""
    if column.len() < 50 or column.n_unique() < column.len():
        return False
    if column.dtype.is_integer():
        numbers = column.cast(pl.Float64)
        return bool((numbers - numbers.min()).max() < 2 * column.len())  # type: ignore[operator]
    return isinstance(column.dtype, pl.String | pl.Categorical) and not is_worded(column.cast(pl.String))


def _of_column(train: pl.Series, test: pl.Series, learnt: Target, spec: Spec) -> Iterator[Finding]:
    name = train.name
    if not is_readable(train):
        return
    if missing(train).all():
        yield _finding("warning", name, "empty_column", "has no value in the rows to learn from; it is left out")
        return
    if is_constant(train):
        yield _finding("info", name, "constant_column", "has one value in the rows to learn from; it is left out")
        return
    if is_identifier(train):
        advice = "has a different value in every row; if it is an identifier, list it under `data.ignore`"
        yield _finding("warning", name, "identifier_column", advice)
    elif leaks(train, learnt, spec.seed):
        advice = (
            "tells the target (nearly) perfectly on its own; if it is not known at the time of prediction, "
            "list it under `data.ignore`"
        )
        yield _finding("error" if spec.strict else "warning", name, "leakage", advice)
    elif is_suspicious(train, learnt, spec.seed):
        advice = "tells very much of the target on its own; make sure that it is known at the time of prediction"
        yield _finding("warning", name, "suspicious_column", advice)
    elif (label := filled_for(train, learnt)) is not None:
        advice = (
            f"has a value (almost) only where the target is '{label}'; if it is filled after the fact, list it under "
            f"`data.ignore`"
        )
        yield _finding("warning", name, "one_sided_column", advice)
    if train.dtype.is_float() and (infinite := train.is_infinite().sum()):
        yield _finding(
            "warning", name, "infinite_values", f"holds {infinite:,} infinite values, which count as missing"
        )
    if _is_numbers_as_text(train):
        advice = "holds numbers and a few other strings; leave the field empty where a value is missing"
        yield _finding("warning", name, "numbers_as_text", advice)
    if (distance := _drift(train, test)) >= DRIFT:
        advice = f"is distributed differently in the test part (Kolmogorov-Smirnov distance {distance:.2f})"
        yield _finding("info", name, "drift", advice)


def _finding(severity: Severity, column: str | None, code: str, message: str) -> Finding:
    return Finding(severity=severity, column=column, code=code, message=message)


def _is_numbers_as_text(column: pl.Series) -> bool:
    if column.dtype != pl.String:
        return False
    levels = column.drop_nulls().unique()
    share = 1 - canonical(levels, "numeric").null_count() / len(levels)
    return len(levels) > 10 and 0.9 <= share < 1


def _drift(train: pl.Series, test: pl.Series) -> float:
    """The two-sample Kolmogorov-Smirnov statistic of the numbers in two columns; 0 where chance explains it."""
    if not train.dtype.is_numeric():
        return 0.0
    left, right = (np.sort(numbers(column).drop_nulls().to_numpy()) for column in (train, test))
    if not len(left) or not len(right):
        return 0.0
    points = np.concatenate([left, right])
    shares = [np.searchsorted(values, points, side="right") / len(values) for values in (left, right)]
    distance = float(np.abs(shares[0] - shares[1]).max())
    return distance if distance > CRITICAL * math.sqrt(1 / len(left) + 1 / len(right)) else 0.0


def _of_duplicates(frame: pl.DataFrame, parts: Parts) -> Iterator[Finding]:
    rows = frame.select(column for column in frame if not column.dtype.is_nested()).hash_rows()
    if repeated := len(rows) - rows.n_unique():
        yield _finding("info", None, "duplicate_rows", f"{repeated:,} of {len(rows):,} rows repeat an earlier one")
    if shared := rows[parts.test].is_in(rows[parts.learnt].implode()).sum():
        message = (
            f"{shared:,} of {len(parts.test):,} test rows are also among those to learn from, so the test flatters the "
            f"model; remove duplicates, or name what they share under `data.group`"
        )
        yield _finding("warning", None, "test_rows_in_training", message)


def _of_classes(target: Target, parts: Parts) -> Iterator[Finding]:
    if target.labels is None:
        return
    counts = np.bincount(target.values, minlength=len(target.labels))
    order = np.argsort(-counts, kind="stable")[:20]
    shares = ", ".join(f"'{target.labels[code]}' {counts[code] / counts.sum():.1%}" for code in order)
    yield _finding("info", None, "class_balance", f"{len(counts)} classes: {shares}")
    for name, rows in (("validation", parts.validation), ("test", parts.test)):
        lacking = sorted(set(target.labels) - {target.labels[code] for code in np.unique(target.values[rows])})
        if lacking:
            listed = ", ".join(f"'{label}'" for label in lacking[:20])
            message = f"the {name} part has no row of {listed}; nothing can be measured about them there"
            yield _finding("warning", None, "class_not_in_part", message)
