"""Count false alarms in simulated years, and measure how fast planted faults are detected: ``make bench-monitoring``.

Every test of a model runs with its default budget: drift of fields, of predictions, and of combinations of values, risk
and calibration. A look is taken after each period. Labels of a day are known at its end. Last, the flights of the
example are replayed.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any, get_args

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import expit

from benchmarks.record import RESULTS, Target, target_table, write_results
from benchmarks.replayed_flights import replays
from benchmarks.simulated_traffic import (
    CLIENTS,
    CODED_FIELDS,
    DECILES,
    FAULTS,
    PERIODS,
    Floats,
    Ints,
    Rows,
    World,
    coded_days,
    field_year,
    model_odds,
    traffic,
)
from model_deployer.contract.reference_rows import WEEK_DAYS
from model_deployer.contract.unit_spread import UnitSpread, spread_of_units
from model_deployer.monitoring.statistics.blocks import Blocks, block_means
from model_deployer.monitoring.statistics.calibration_shift import LabelledRows, calibration_evidence
from model_deployer.monitoring.statistics.combinations import CodedField, Codes, UsualCombinations
from model_deployer.monitoring.statistics.evidence import Evidence
from model_deployer.monitoring.statistics.exchangeability import exchangeability
from model_deployer.monitoring.statistics.field_drift import field_drift
from model_deployer.monitoring.statistics.losses import decision_errors
from model_deployer.monitoring.statistics.many_fields import budget, many_fields
from model_deployer.monitoring.statistics.risk import Promise, risk
from model_deployer.monitoring.statistics.unit_change import unit_change
from model_deployer.training.export.reference_rows import MAX_WEEKS

FILE = RESULTS / "monitoring.json"

#: The simulated years of each world, and the fields of a model.
YEARS: Mapping[World, int] = {
    "independent rows": 200,
    "clustered": 200,
    "seasonal": 200,
    "wandering": 200,
    "wandering, table of 30 days": 100,
    "hours": 20,
}
FIELDS = 10

#: The days of the table, of live traffic before a fault, and of live traffic with it; the simulations of each fault.
TABLE_DAYS, DAYS_BEFORE, DAYS_AFTER, REPEATS = 120, 30, 60, 20

#: The tests of a model.
TESTS = ("fields", "predictions", "combinations", "risk", "calibration")

PROCESSES = 2

#: How much worse the live error rate may be, and how far probabilities may be from shares.
TOLERANCE, BIAS_TOLERANCE = 0.02, 0.02

#: The rows of a day whose labels arrive, in years without a fault.
LABELLED_ROWS = 100

#: The rows of a day whose combinations are compared.
COMBINED_ROWS = 500

#: The decision is the label of interest if its probability is at least this.
THRESHOLD = 0.5


@dataclass(frozen=True)
class Years:
    """The simulated years of a world.

    Attributes:
        years: The number of model-years.
        years_with_alarms: Those with an alarm of any test.
        alarms: Those with an alarm of each test.
    """

    years: int
    years_with_alarms: int
    alarms: Mapping[str, int]


@dataclass(frozen=True)
class Detection:
    """How a planted fault is detected.

    Attributes:
        simulations: The number of simulations.
        early: The simulations with an alarm before the fault.
        detected: The share of simulations in which a test detects it within the simulated days, by test, and by any.
        days: The median and the 90 % quantile of the days until its alarm, by test, and by any; None if it is later.
        rows: The same of the rows until the first alarm.
        named: The change of a unit on the first day, or else the field with the largest e-value at the first alarm of
            fields, that most simulations name; empty if they name none.
    """

    simulations: int
    early: int
    detected: Mapping[str, float]
    days: Mapping[str, tuple[int | None, int | None]]
    rows: tuple[int | None, int | None]
    named: str


def main() -> None:
    """Simulate what is missing in the results, and write tables and JSON after each world and each fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="simulate everything again")
    options = parser.parse_args()
    document = _read(options.again)
    with get_context("spawn").Pool(PROCESSES) as pool:
        for fault in FAULTS:
            if fault not in document["detections"]:
                simulations = pool.starmap(detection_days, [(fault, seed) for seed in range(REPEATS)])
                document["detections"][fault] = asdict(_detection(simulations))
                _write(document)
        for world in get_args(World):
            if world not in document["years"]:
                alarms = pool.starmap(year_alarms, [(world, seed) for seed in range(YEARS[world])], chunksize=5)
                document["years"][world] = asdict(_years(alarms))
                _write(document)
    if not document["replays"]:
        document["replays"] = [asdict(each) for each in replays()]
        _write(document)
    Console().print(_years_table(document), _detection_table(document), target_table(_targets(document)))


def _read(is_again: bool) -> dict[str, Any]:
    """Return the results so far: years by world, detections by fault, and replays of the flights."""
    if is_again or not FILE.exists():
        return {"years": {}, "detections": {}, "replays": []}
    document = json.loads(FILE.read_text())
    return {name: document[name] for name in ("years", "detections", "replays")}


def _write(document: dict[str, Any]) -> None:
    write_results(FILE, document, _targets(document))


def year_alarms(world: World, seed: int) -> list[str]:
    """Return the tests of a model that raise an alarm in a year without a fault.

    Args:
        world: The world.
        seed: The seed of the year.
    """
    random = np.random.default_rng([seed, *world.encode()])
    alphas, horizon = budget(), PERIODS[world][1]
    fields = {}
    for field in range(FIELDS + 1):
        year = field_year(world, random)
        spread = spread_of_units(year.units, horizon)
        fields[str(field)] = field_drift(spread, year.live, horizon).evidence
    predictions = fields.pop(str(FIELDS))
    day_effect = 0.0 if world == "independent rows" else 0.1
    labelled, live = _labels(60, day_effect, random), _labels(365, day_effect, random)
    alarms = {
        "fields": many_fields(fields, alphas["fields"]).alarm is not None,
        "predictions": predictions.alarm(alphas["predictions"]) is not None,
    } | _label_alarms(labelled, live)
    table_days = TABLE_DAYS if world == "hours" else PERIODS[world][0]
    coded = coded_days(world, table_days + 365, COMBINED_ROWS, random)
    combinations = _combination_evidence(CODED_FIELDS, coded[:table_days], coded[table_days:])
    alarms["combinations"] = combinations.alarm(alphas["combinations"]) is not None
    return [test for test, is_raised in alarms.items() if is_raised]


def _labels(days: int, day_effect: float, random: np.random.Generator) -> LabelledRows:
    """Return labelled rows of days whose risk differs by a common effect on the log odds."""
    blocks = np.repeat(np.arange(days), LABELLED_ROWS)
    odds = random.normal(-0.9, 1.4, len(blocks))
    true = odds + day_effect * random.standard_normal(days)[blocks]
    return LabelledRows(expit(odds), random.random(len(blocks)) < expit(true), blocks)


def _errors(rows: LabelledRows) -> Blocks:
    return block_means(decision_errors(rows.probabilities >= THRESHOLD, rows.labels), rows.blocks)


def _label_evidence(evaluated: LabelledRows, live: LabelledRows) -> dict[str, Evidence]:
    """Return the evidence of each test that needs labels."""
    errors = _errors(live)
    promise = Promise(_errors(evaluated).mean, TOLERANCE)
    return {
        "risk": risk(errors, promise, budget()["risk"]).evidence,
        "calibration": calibration_evidence(live, BIAS_TOLERANCE),
    }


def _label_alarms(evaluated: LabelledRows, live: LabelledRows) -> dict[str, bool]:
    alphas = budget()
    evidence = _label_evidence(evaluated, live)
    return {test: each.alarm(alphas[test]) is not None for test, each in evidence.items()}


@dataclass(frozen=True)
class Simulated:
    """What one simulation of a fault gives.

    Attributes:
        days: The day of the first alarm of each test, from 0 with the fault; negative before it; None without an alarm.
        rows: The rows of each day since the fault.
        field: The field with the largest e-value at the first alarm of fields; None without one.
        unit: The change of the unit of the distance on the first day with the fault; None if none is named.
    """

    days: Mapping[str, int | None]
    rows: tuple[int, ...]
    field: str | None
    unit: str | None


def detection_days(fault: str, seed: int) -> Simulated:
    """Return when each test detects a planted fault.

    Args:
        fault: The name of the fault.
        seed: The seed of the simulation.
    """
    random = np.random.default_rng([seed, *fault.encode()])
    table = traffic(TABLE_DAYS, random)
    live = _with_fault(traffic(DAYS_BEFORE + DAYS_AFTER, random), fault, random)
    codes = _coded_fields(table, live)
    fields = _field_evidence(table, live, codes)
    predictions = fields.pop("prediction")
    alphas = budget()
    many = many_fields(fields, alphas["fields"])
    evidence = {"fields": many.joint, "predictions": predictions}
    coded = [CodedField(name, codes[name][2] - 1, name.startswith(("number", "distance"))) for name in _FIELDS]
    evidence["combinations"] = _combination_evidence(
        coded,
        _coded_days(table.days, [codes[name][0] for name in _FIELDS]),
        _coded_days(live.days, [codes[name][1] for name in _FIELDS]),
    )
    evidence |= _label_evidence(_labelled(table, random), _labelled(live, random))
    periods = {test: _alarm_period(each, alphas[test]) for test, each in evidence.items()}
    at = periods["fields"]
    first = live.only(live.days == DAYS_BEFORE)
    change = unit_change(np.quantile(table.distance, np.linspace(0, 1, 21)), first.distance, first.client, seed)
    return Simulated(
        days={test: None if period is None else period - DAYS_BEFORE for test, period in periods.items()},
        rows=tuple(np.bincount(live.days)[DAYS_BEFORE:].tolist()),
        field=None if at is None else max(fields, key=lambda name: fields[name].log_values[at]),
        unit=change.name if change else None,
    )


def _alarm_period(evidence: Evidence, alpha: float) -> int | None:
    alarm = evidence.alarm(alpha)
    return alarm.period if alarm else None


def _with_fault(rows: Rows, fault: str, random: np.random.Generator) -> Rows:
    is_before = rows.days < DAYS_BEFORE
    before, after = rows.only(is_before), FAULTS[fault](rows.only(~is_before), random)
    return Rows(*(np.concatenate([getattr(each, name) for each in (before, after)]) for name in vars(rows)))


def _labelled(rows: Rows, random: np.random.Generator) -> LabelledRows:
    labels = random.random(len(rows.odds)) < expit(rows.odds)
    return LabelledRows(expit(model_odds(rows)), labels, rows.days)


#: The fields of simulated rows.
_FIELDS = (*(f"number {column}" for column in range(5)), "distance", "category 0", "category 1", "client")


def _coded_fields(table: Rows, live: Rows) -> dict[str, tuple[Ints, Ints, int]]:
    """Return the bins of each field, and of the prediction: of the table, of live rows, and how many there are."""
    numbers = {f"number {column}": (table.numbers[:, column], live.numbers[:, column]) for column in range(5)}
    numbers |= {"distance": (table.distance, live.distance), "prediction": (model_odds(table), model_odds(live))}
    codes: dict[str, tuple[Ints, Ints, int]] = {
        name: (_codes(old, old), _codes(old, new), len(DECILES) + 2) for name, (old, new) in numbers.items()
    }
    codes |= {f"category {k}": (table.categories[:, k], live.categories[:, k], 6) for k in range(2)}
    codes["client"] = (table.client, live.client, CLIENTS)
    return codes


def _field_evidence(table: Rows, live: Rows, codes: Mapping[str, tuple[Ints, Ints, int]]) -> dict[str, Evidence]:
    """Return the evidence of the drift of each field, of the client, and of the prediction."""
    return {
        name: field_drift(_spread(table.days, old, bins), _counts(live.days, new, bins)).evidence
        for name, (old, new, bins) in codes.items()
    }


def _coded_days(days: Ints, codes: Sequence[Ints]) -> Codes:
    """Return the first rows of each day, uint8 [days, rows, fields]."""
    starts = np.searchsorted(days, np.unique(days))
    rows = starts[:, None] + np.arange(COMBINED_ROWS)
    return np.asarray(np.stack(codes, axis=-1)[rows], np.uint8)


def _combination_evidence(fields: Sequence[CodedField], table: Codes, live: Codes) -> Evidence:
    """Return the evidence that combinations of values changed; both are [days, rows, fields]."""
    weeks = table[: len(table) // WEEK_DAYS * WEEK_DAYS].reshape(-1, WEEK_DAYS, *table.shape[1:])
    kept = np.unique(np.linspace(0, len(weeks) - 1, MAX_WEEKS).round().astype(np.int64))
    usual = UsualCombinations(fields, weeks[kept], len(table))
    alpha = budget()["combinations"]
    scores = usual.live_scores(live)
    evidence = exchangeability(usual.scores, scores, alpha, seed=0, only_high=True).evidence
    # The scores of a week are known at its end.
    known = np.repeat(np.arange(WEEK_DAYS - 1, len(scores), WEEK_DAYS), WEEK_DAYS)
    highest = evidence.log_values.reshape(-1, WEEK_DAYS).max(axis=1)
    log_values, starts = np.zeros(len(live)), np.zeros(len(live), np.int64)
    log_values[known] = np.repeat(highest, WEEK_DAYS)
    starts[known] = np.repeat(evidence.starts[WEEK_DAYS - 1 :: WEEK_DAYS], WEEK_DAYS)
    return Evidence(log_values, starts)


def _codes(reference: Floats, values: Floats) -> Ints:
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values))


def _counts(days: Ints, codes: Ints, bins: int) -> Ints:
    return np.bincount(days * bins + codes, minlength=(days.max() + 1) * bins).reshape(-1, bins)


def _spread(days: Ints, codes: Ints, bins: int) -> UnitSpread:
    return spread_of_units(_counts(days, codes, bins))


def _years(alarms: list[list[str]]) -> Years:
    by_test = {test: sum(test in each for each in alarms) for test in TESTS}
    return Years(len(alarms), sum(bool(each) for each in alarms), by_test)


def _detection(simulations: list[Simulated]) -> Detection:
    """Return the summary of the simulations of a fault; those with an alarm before it are only counted."""
    clean = [each for each in simulations if all(day is None or day >= 0 for day in each.days.values())]
    days: dict[str, list[int | None]] = {test: [each.days[test] for each in clean] for test in simulations[0].days}
    days["any"] = [min((day for day in each.days.values() if day is not None), default=None) for each in clean]
    rows = [
        sum(each.rows[: day + 1]) if day is not None else None for each, day in zip(clean, days["any"], strict=True)
    ]
    return Detection(
        simulations=len(simulations),
        early=len(simulations) - len(clean),
        detected={test: sum(day is not None for day in each) / len(clean) for test, each in days.items()},
        days={test: _quantiles([None if day is None else day + 1 for day in each]) for test, each in days.items()},
        rows=_quantiles(rows),
        named=_commonest([each.unit for each in clean]) or _commonest([each.field for each in clean]) or "",
    )


def _quantiles(values: list[int | None]) -> tuple[int | None, int | None]:
    """Return the median and the 90 % quantile; None where that many values are None."""
    ordered = sorted(values, key=lambda value: (value is None, value))
    return ordered[len(ordered) // 2], ordered[int(0.9 * len(ordered))]


def _commonest(names: list[str | None]) -> str | None:
    """Return the commonest name if most have it."""
    name = max(set(names), key=names.count)
    return name if name is not None and names.count(name) > len(names) / 2 else None


def _targets(document: dict[str, Any]) -> list[Target]:
    years, detections = document["years"].values(), document["detections"]
    total, with_alarms = (sum(each[name] for each in years) for name in ("years", "years_with_alarms"))
    worst = max((each["years_with_alarms"] / each["years"] for each in years), default=0)
    broken = [detections[fault]["days"]["any"][1] or DAYS_AFTER for fault in _BROKEN if fault in detections]
    detected = sum(each["detected"]["any"] > 0.5 for each in detections.values())
    return [
        Target("model-years without a fault", total, minimum=400),
        Target("share of them with any alarm", with_alarms / max(1, total), maximum=0.05),
        Target("the same in the worst world", worst, maximum=0.05),
        Target("faults detected in most simulations", detected, minimum=10),
        Target("days until a broken field is detected (90 %)", max(broken, default=DAYS_AFTER), maximum=1),
    ]


#: The faults that the first day shows.
_BROKEN = ("a field is missing", "a unit is thousandfold", "a field is frozen")


def _years_table(document: dict[str, Any]) -> Table:
    table = Table("world", "years", "with alarms", *TESTS)
    for world, each in document["years"].items():
        alarms = (each["alarms"][test] for test in TESTS)
        table.add_row(world, *map(str, (each["years"], each["years_with_alarms"], *alarms)))
    return table


def _detection_table(document: dict[str, Any]) -> Table:
    table = Table("fault", "early", "any", "rows", *TESTS, "named")
    for fault, each in document["detections"].items():
        days = (each["days"][test] for test in TESTS)
        table.add_row(fault, *map(str, (each["early"], each["days"]["any"], each["rows"], *days, each["named"])))
    return table


if __name__ == "__main__":
    main()
