"""How the answers of two models differ on the same rows: flips, differences, refusals, examples."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.outputs import Classification
from model_deployer.monitoring.candidate.model_answers import ModelAnswers
from model_deployer.monitoring.candidate.paired_rows import Floats, PairedRows, recorded_answers
from model_deployer.monitoring.candidate.replay_report import (
    Changes,
    Example,
    Flip,
    RefusalReason,
    Refusals,
    Reproduction,
)

#: The quantiles of differences that are listed.
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_BINS = 40

#: The kinds of flips, the reasons of refusals, and the examples that are listed.
_MAX_FLIPS, _MAX_REASONS, _MAX_EXAMPLES = 20, 20, 12

#: Numbers of float32 are equal up to this share.
_ROUNDING = 1e-5


def reproduction(rows: PairedRows) -> Reproduction | None:
    """Return whether the champion gives the answers that were captured; None if none of its own was captured."""
    is_own = (rows.table["version"] == rows.champion.manifest.version) & ~rows.table["degraded"]
    indices = is_own.arg_true().to_numpy()
    if not len(indices):
        return None
    recorded = recorded_answers(rows.champion, rows.table[indices])
    tolerance = rows.champion.manifest.tolerance
    is_equal = np.ones(len(indices), np.bool_)
    for name, expected in recorded.outputs.items():
        actual = rows.of_champion.outputs[name][indices]
        is_equal &= np.isclose(actual, expected, rtol=_ROUNDING, atol=tolerance).all(axis=1)
    return Reproduction(rows=len(indices), differing=int((~is_equal).sum()))


def changes(rows: PairedRows) -> Changes | None:
    """Return how the answers change; None if no row is answered by both."""
    if not rows.both.any():
        return None
    differences, weights = rows.differences[rows.both], rows.weights[rows.both]
    edges = np.histogram_bin_edges(differences, _BINS)
    counts, _ = np.histogram(differences, edges, weights=weights)
    flips = rows.flips
    return Changes(
        rows=int(rows.both.sum()),
        flips=None if flips is None else int(flips.sum()),
        flip_share=None if flips is None else share(flips, rows.both, rows.weights),
        by_decision=() if flips is None else tuple(_by_decision(rows, flips)),
        difference=_difference_phrase(rows),
        mean=float(np.average(differences, weights=weights)),
        mean_size=float(np.average(np.abs(differences), weights=weights)),
        quantiles={f"{at:g}": _weighted_quantile(differences, weights, at) for at in _QUANTILES},
        edges=tuple(edges.tolist()),
        shares=tuple((counts / weights.sum()).tolist()),
    )


def share(part: NDArray[np.bool_], whole: NDArray[np.bool_], weights: Floats) -> float:
    """Return the weighted share of the rows of a whole that are in a part of it; 0 of nothing."""
    total = weights[whole].sum()
    return float(weights[part & whole].sum() / total) if total else 0.0


def _by_decision(rows: PairedRows, flips: NDArray[np.bool_]) -> list[Flip]:
    ours, theirs = rows.decisions
    total = rows.weights[rows.both].sum()
    pairs = pl.DataFrame(
        {"champion": ours[flips].tolist(), "candidate": theirs[flips].tolist(), "weight": rows.weights[flips]},
        schema_overrides={"champion": pl.String, "candidate": pl.String},
    )
    counted = pairs.group_by("champion", "candidate").agg(pl.len().alias("rows"), pl.col("weight").sum())
    ordered = counted.sort(["weight", "champion", "candidate"], descending=[True, False, False]).head(_MAX_FLIPS)
    return [
        Flip(champion=line["champion"], candidate=line["candidate"], rows=line["rows"], share=line["weight"] / total)
        for line in ordered.to_dicts()
    ]


def _difference_phrase(rows: PairedRows) -> str:
    output = rows.output
    if not isinstance(output, Classification):
        unit = f", in {output.unit}" if output.unit else ""
        return f"difference of the value{unit}"
    if output.positive is not None:
        return f"difference of the probability of '{output.positive}'"
    return "half the sum of the absolute differences of all probabilities"


def _weighted_quantile(values: Floats, weights: Floats, at: float) -> float:
    order = np.argsort(values, kind="stable")
    cumulative = weights[order].cumsum()
    return float(values[order][np.searchsorted(cumulative, at * cumulative[-1])])


def refusals(rows: PairedRows) -> Refusals:
    """Return the rows that only the candidate refuses, and why."""
    new = rows.new_refusals
    return Refusals(
        rows=int(new.sum()),
        share=share(new, rows.of_champion.accepted, rows.weights),
        reasons=tuple(_reasons(rows.of_candidate, new)),
        of_champion=int(rows.of_champion.refused.sum()),
    )


def _reasons(answers: ModelAnswers, refused: NDArray[np.bool_]) -> list[RefusalReason]:
    counts: Counter[tuple[str | None, str]] = Counter()
    messages: dict[tuple[str | None, str], str] = {}
    for row in np.flatnonzero(refused).tolist():
        for problem in {(each.field, each.code): each for each in answers.problems.get(row, ())}.values():
            counts[problem.field, problem.code] += 1
            messages.setdefault((problem.field, problem.code), problem.message)
    return [
        RefusalReason(field=key[0], code=key[1], rows=count, message=messages[key])
        for key, count in counts.most_common(_MAX_REASONS)
    ]


def examples(rows: PairedRows) -> Iterator[Example]:
    """Yield the rows with the largest differences; those with a flip come first, and equal rows once."""
    sizes = np.where(rows.both, np.abs(np.nan_to_num(rows.differences)), 0.0)
    flips = np.zeros(len(sizes), np.bool_) if rows.flips is None else rows.flips
    order = np.lexsort((-sizes, ~flips))
    differing = order[(sizes > 0)[order] | flips[order]]
    fields = [name for name in rows.table.columns if name.startswith("input.")]
    ordered = rows.table.select(fields).with_columns(size=pl.Series(sizes), index=pl.int_range(pl.len()))[differing]
    distinct = ordered.unique([*fields, "size"], keep="first", maintain_order=True)
    largest = distinct["index"].head(_MAX_EXAMPLES).to_list()
    ours = _predictions(rows.champion.contract.output, rows.of_champion, largest)
    theirs = _predictions(rows.candidate.contract.output, rows.of_candidate, largest)
    for line, index, champion, candidate in zip(rows.table[largest].to_dicts(), largest, ours, theirs, strict=True):
        yield Example(
            request_id=line["request_id"],
            row=line["row"],
            time=line["time"],
            champion=champion,
            candidate=candidate,
            difference=float(rows.differences[index]),
            label=line["label"],
            fields={name.removeprefix("input."): line[name] for name in fields},
        )


def _predictions(output: Any, answers: ModelAnswers, indices: Sequence[int]) -> Sequence[Mapping[str, Any]]:
    predictions: Sequence[Mapping[str, Any]] = output.predictions(
        {name: array[list(indices)] for name, array in answers.outputs.items()}
    )
    return predictions
