"""Find problems of a table before a model is trained on it."""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from model_deployer.adoption.tensor_column import axes_of
from model_deployer.contract.evaluation import Finding, Severity
from model_deployer.training.data.columns import (
    canonical,
    has_several_words,
    holds_strings,
    is_constant,
    is_readable,
    missing,
)
from model_deployer.training.data.features import candidates
from model_deployer.training.data.leakage import association, is_suspicious, leaks, numbers, one_sided_class
from model_deployer.training.data.shaping import lags
from model_deployer.training.data.split import Parts
from model_deployer.training.data.target import Target
from model_deployer.training.data.text_values import are_codes
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import Spec

#: The label of a row that sums up others, in the languages of most exports.
_TOTAL = r"(?i)^\s*(grand total|sub-?totals?|totals?|summe|gesamt|gesamtsumme|zwischensumme|sous-total|totale)\s*:?\s*$"

#: Drift is reported if the Kolmogorov-Smirnov distance between a column's distributions in the training and the test
#: part is at least this, and too large to be chance.
DRIFT_THRESHOLD = 0.15

#: A column looks like an identifier if at least this share of its values differ.
MIN_IDENTIFIER_SHARE = 0.98

#: Names of columns of persons and other units that a table may describe several times, alone or as an identifier.
_UNIT = (
    r"(^|_|(?<=[a-z])(?=[A-Z]))(customer|client|patient|user|person|member|employee|student|account|device|machine|"
    r"sensor|store|shop|household|company|vehicle|license|subject|respondent)"
)
_UNIT_NAME = re.compile(rf"{_UNIT}(_?name)?$", re.IGNORECASE)
_UNIT_IDENTIFIER = re.compile(rf"{_UNIT}_?(id|number|no|nr|key|code|uuid|hash)$", re.IGNORECASE)

#: A column with such a name may be a group if its values are repeated, on average at most this number of times.
MAX_GROUP_ROWS = 200

#: A category repeats the group if at least this share of the rows are in the most frequent group of their value...
MIN_OWN_SHARE = 0.8

#: ...and it has at least as many values, so that this is not chance.
MIN_OWN_LEVELS = 10

#: Its values span the groups if at least this share of the test rows have one that training has seen.
MIN_SPANNING_SHARE = 0.05

#: Fewer rows may be in order by chance.
MIN_SORTED_ROWS = 50

#: The order of the rows tells the target if its association with it is at least this.
SORTED_THRESHOLD = 0.9

#: The critical value of the two-sample Kolmogorov-Smirnov test at a significance level of 0.001.
KS_CRITICAL_VALUE = 1.95


def profile(frame: pl.DataFrame, target: Target, parts: Parts, spec: Spec) -> list[Finding]:
    """Find leaks, identifiers, empty and constant columns, duplicates, rare classes and drift.

    Columns are examined on the training and validation rows; the test rows serve only to measure drift and duplicates.

    Args:
        frame: The table.
        target: The target of all rows.
        parts: The rows of each part.
        spec: The model.yaml. With ``strict: true`` a leak is an ``error``, else a ``warning``.

    Returns:
        The findings: first by column, then those of the table as a whole.
    """
    columns = candidates(frame, spec)
    rows = parts.train_and_validation
    train, test = frame[rows], frame[parts.test]
    train_target = Target(target.values[rows], target.labels)
    findings = [finding for name in columns for finding in _check_column(train[name], test[name], train_target, spec)]
    return [
        *findings,
        *_check_groups(frame, columns, parts, spec),
        *_check_fields_of_groups(frame, columns, parts, spec),
        *_check_order(frame, target, spec),
        *_check_duplicates(pl.DataFrame({name: frame[name] for name in (*columns, spec.data.target)}), parts),
        *_check_classes(target, parts),
    ]


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each finding."""
    for finding in findings:
        print_stage(finding.severity, f"{f'{finding.column}: ' if finding.column else ''}{finding.message}")


def is_identifier(column: pl.Series) -> bool:
    """Return whether a column looks like an identifier: (nearly) all values differ, short strings or dense integers."""
    if column.len() < 50 or column.n_unique() < MIN_IDENTIFIER_SHARE * column.len():
        return False
    if column.dtype.is_integer():
        numbers = column.cast(pl.Float64)
        return bool((numbers - numbers.min()).max() < 2 * column.len())  # type: ignore[operator]
    return isinstance(column.dtype, pl.String | pl.Categorical) and not has_several_words(column.cast(pl.String))


def _check_column(train: pl.Series, test: pl.Series, target: Target, spec: Spec) -> Iterator[Finding]:
    name = train.name
    if not is_readable(train):
        return
    if missing(train).all():
        advice = "has no value in the training and validation rows; it is left out"
        yield _finding("warning", name, "empty_column", advice)
        return
    if is_constant(train):
        advice = "has a single value in the training and validation rows; it is left out"
        yield _finding("info", name, "constant_column", advice)
        return
    if is_identifier(train):
        advice = "has a different value in (nearly) every row; if it is an identifier, list it under `data.ignore`"
        yield _finding("warning", name, "identifier_column", advice)
    elif name in {lag.name for lag in lags(spec)}:
        pass  # an earlier value is known in time, however much it tells
    elif leaks(train, target, spec.seed):
        advice = (
            "predicts the target (nearly) perfectly on its own; if it is not known at the time of prediction, "
            "list it under `data.ignore`"
        )
        yield _finding("error" if spec.strict else "warning", name, "leakage", advice)
    elif is_suspicious(train, target, spec.seed):
        advice = "predicts the target very well on its own; make sure that it is known at the time of prediction"
        yield _finding("warning", name, "suspicious_column", advice)
    elif (label := one_sided_class(train, target)) is not None:
        advice = (
            f"has a value (almost) only if the target is '{label}'; if it is filled in after the outcome is known, "
            f"list it under `data.ignore`"
        )
        yield _finding("warning", name, "one_sided_column", advice)
    if train.dtype.is_float() and (infinite := train.is_infinite().sum()):
        yield _finding(
            "warning", name, "infinite_values", f"holds {infinite:,} infinite values, which count as missing"
        )
    if numbers_advice := _numbers_as_text(train, spec):
        yield _finding("warning", name, "numbers_as_text", numbers_advice)
    if holds_strings(train) and (totals := train.cast(pl.String).str.contains(_TOTAL).sum()):
        advice = f"calls {totals:,} rows a total; if they sum up other rows, leave them out with `data.where`"
        yield _finding("warning", name, "totals", advice)
    if (distance := _drift(train, test)) >= DRIFT_THRESHOLD:
        advice = f"is distributed differently in the test part (Kolmogorov-Smirnov distance {distance:.2f})"
        yield _finding("info", name, "drift", advice)


def _finding(severity: Severity, column: str | None, code: str, message: str) -> Finding:
    return Finding(severity=severity, column=column, code=code, message=message)


def _numbers_as_text(column: pl.Series, spec: Spec) -> str | None:
    """Return what to do about a column of text that holds numbers; None if it is fine."""
    override = spec.features.get(column.name)
    if column.dtype != pl.String or (override is not None and override.kind is not None):
        return None
    levels = column.drop_nulls().unique()
    share = 1 - canonical(levels, "numeric").null_count() / len(levels)
    if len(levels) <= 2 or share < 0.5 or (share == 1 and are_codes(levels)):
        return None
    if share == 1:
        return (
            "holds numbers as text, and is read as categories; to read them as numbers, state their form under "
            "`data.formats`, such as `1234.5`"
        )
    return (
        "holds numbers and other texts, and is read as categories; if the texts mean that a number is missing, list "
        "them under `data.missing`"
    )


def _drift(train: pl.Series, test: pl.Series) -> float:
    """Return the two-sample Kolmogorov-Smirnov statistic of two numeric columns; 0 if chance explains it."""
    if not train.dtype.is_numeric():
        return 0.0
    left, right = (np.sort(numbers(column).drop_nulls().to_numpy()) for column in (train, test))
    if not len(left) or not len(right):
        return 0.0
    points = np.concatenate([left, right])
    shares = [np.searchsorted(values, points, side="right") / len(values) for values in (left, right)]
    distance = float(np.abs(shares[0] - shares[1]).max())
    critical_distance = KS_CRITICAL_VALUE * math.sqrt(1 / len(left) + 1 / len(right))
    return distance if distance > critical_distance else 0.0


def _check_groups(frame: pl.DataFrame, columns: Sequence[str], parts: Parts, spec: Spec) -> Iterator[Finding]:
    """Propose a group: a column of persons or other units whose rows are in the test part and in others."""
    if spec.data.group or spec.by_time:
        return
    for name in columns:
        column = frame[name]
        is_unit = _UNIT_IDENTIFIER.search(name) or (column.dtype == pl.String and _UNIT_NAME.search(name))
        if not is_unit or not is_readable(column) or column.dtype.is_float():
            continue
        levels = column.n_unique()
        if levels < 20 or not 1.1 * levels < column.len() < MAX_GROUP_ROWS * levels:
            continue
        if (shared := _share_known(column, parts)) > 0.2:
            advice = (
                f"{shared:.0%} of the test rows have a value that also occurs in the training or validation part; if "
                "it stands for a person, a device or another unit that will be new in production, name it under "
                "`data.group`"
            )
            yield _finding("warning", name, "repeated_units", advice)


def _check_fields_of_groups(frame: pl.DataFrame, columns: Sequence[str], parts: Parts, spec: Spec) -> Iterator[Finding]:
    """Report categories that are (nearly) the group again, such as the album of a song that is grouped by artist."""
    group = spec.data.group
    if group is None or group not in frame.columns or _share_known(frame[group], parts) > 0:
        return
    for name in columns:
        column = frame[name]
        if not is_readable(column) or not holds_strings(column):
            continue
        own, known = _share_in_one_group(column, frame[group]), _share_known(column, parts)
        each = "each" if own == 1 else "nearly each"
        if own >= MIN_OWN_SHARE and known < MIN_SPANNING_SHARE:
            message = (
                f"{each} of its values is in one '{group}' only, so {1 - known:.0%} of the test rows have a value that "
                "training has not seen; if that is so in production, too, the model can learn nothing from it"
            )
            yield _finding("warning", name, "field_is_group", message)
        elif own >= MIN_OWN_SHARE:
            message = (
                f"{each} of its values is in one '{group}', but some are in several: {known:.0%} of the test rows have "
                "a value that also occurs in the training or validation part; if rows with the same value belong "
                "together, the test metrics are too optimistic, so name it under `data.group`"
            )
            yield _finding("warning", name, "field_spans_groups", message)


def _share_known(column: pl.Series, parts: Parts) -> float:
    """Return the share of the test rows whose value also occurs in the training or validation part."""
    is_known = column[parts.test].is_in(column[parts.train_and_validation].implode())
    return float(is_known.fill_null(value=False).sum() / max(1, len(is_known)))


def _share_in_one_group(column: pl.Series, group: pl.Series) -> float:
    """Return the share of the rows that are in the most frequent group of their value; 0 if few values repeat.

    Values of a single row say nothing.
    """
    counts = (
        pl.DataFrame({"value": column.cast(pl.String), "group": group.cast(pl.String)})
        .drop_nulls()
        .group_by("value", "group")
        .len("rows")
        .group_by("value")
        .agg(pl.col("rows").sum().alias("rows"), pl.col("rows").max().alias("most"))
        .filter(pl.col("rows") > 1)
    )
    rows, most = (int(counts[name].sum()) for name in ("rows", "most"))
    return 0.0 if rows < column.len() / 2 or counts.height < MIN_OWN_LEVELS else most / rows


def _check_order(frame: pl.DataFrame, target: Target, spec: Spec) -> Iterator[Finding]:
    """Report a table that is sorted by its target."""
    if frame.height < MIN_SORTED_ROWS or spec.by_time:
        return
    if association(pl.Series("row", range(frame.height)), target, spec.seed) >= SORTED_THRESHOLD:
        message = (
            "the rows are sorted by the target, so that a column that numbers them, such as an index, tells it; make "
            "sure that no feature does"
        )
        yield _finding("warning", None, "sorted_by_target", message)


def _check_duplicates(frame: pl.DataFrame, parts: Parts) -> Iterator[Finding]:
    hashable = [column for column in frame if not column.dtype.is_nested() or axes_of(column.dtype)]
    rows = frame.select(hashable).hash_rows()
    if repeated := len(rows) - rows.n_unique():
        yield _finding("info", None, "duplicate_rows", f"{repeated:,} of {len(rows):,} rows repeat an earlier one")
    if shared := rows[parts.test].is_in(rows[parts.train_and_validation].implode()).sum():
        message = (
            f"{shared:,} of {len(parts.test):,} test rows also occur in the training or validation part, so the test "
            f"metrics are too optimistic; remove duplicates, or name the column that they share under `data.group`"
        )
        yield _finding("warning", None, "test_rows_in_training", message)


def _check_classes(target: Target, parts: Parts) -> Iterator[Finding]:
    if target.labels is None:
        return
    counts = np.bincount(target.values, minlength=len(target.labels))
    order = np.argsort(-counts, kind="stable")[:20]
    shares = ", ".join(f"'{target.labels[code]}' {counts[code] / counts.sum():.1%}" for code in order)
    yield _finding("info", None, "class_balance", f"{len(counts)} classes: {shares}")
    if len({label.strip().casefold() for label in target.labels}) < len(target.labels):
        message = "some classes differ only in case or in blanks; if they are the same, write them in one way"
        yield _finding("warning", None, "class_spelling", message)
    for name, rows in (("validation", parts.validation), ("test", parts.test)):
        absent = sorted(set(target.labels) - {target.labels[code] for code in np.unique(target.values[rows])})
        if absent:
            listed = ", ".join(f"'{label}'" for label in absent[:20])
            message = f"the {name} part has no row of {listed}; nothing about them can be measured there"
            yield _finding("warning", None, "class_not_in_part", message)
