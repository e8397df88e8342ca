"""Watch a model: read its captured traffic, compute the evidence, and decide. Read from :func:`monitor`."""

import json
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.document import JsonDocument
from model_deployer.contract.errors import DataError
from model_deployer.monitoring.monitor.data_faults import data_faults
from model_deployer.monitoring.monitor.days import Days, complete_days
from model_deployer.monitoring.monitor.estimated_risk import estimated_risk
from model_deployer.monitoring.monitor.label_shares import label_shares
from model_deployer.monitoring.monitor.labelled_rows import labelled_rows
from model_deployer.monitoring.monitor.live_calibration import live_calibration
from model_deployer.monitoring.monitor.live_combinations import live_combinations
from model_deployer.monitoring.monitor.live_risk import live_risk
from model_deployer.monitoring.monitor.movements import RECENT_DAYS, by_name, movements, outside
from model_deployer.monitoring.monitor.request_faults import refused_requests, stopped_requests
from model_deployer.monitoring.monitor.row_losses import row_loss
from model_deployer.monitoring.monitor.separation import separation
from model_deployer.monitoring.monitor.slice_risks import slice_risks
from model_deployer.monitoring.monitor.table_rows import table_rows
from model_deployer.monitoring.monitor.timeline import main_output, timeline
from model_deployer.monitoring.monitor.watched import Watched, watched_fields, watched_predictions
from model_deployer.monitoring.observation import LiveCombinations, Observation, TrafficSummary
from model_deployer.monitoring.statistics.many_fields import ALPHA, SHARES, budget
from model_deployer.monitoring.traffic.traffic import Traffic, read_traffic
from model_deployer.monitoring.traffic.traffic_files import TrafficFiles, Window
from model_deployer.monitoring.verdict import Verdict, decide

#: The version of the document.
FORMAT = 1

#: With fewer rows, a few values outside of the table's range say nothing.
MIN_REGIME_ROWS = 30


class MonitorReport(JsonDocument):
    """What a monitor reports of a model.

    Attributes:
        format: The version of this document.
        name, version: The model.
        verdict: What to do about it.
        observed: What was observed.
    """

    format: int = FORMAT
    name: str
    version: str
    verdict: Verdict
    observed: Observation

    @property
    def tag(self) -> str:
        """The tag of the model, ``name:version``."""
        return f"{self.name}:{self.version}"

    def to_text(self) -> str:
        """Return the document as JSON with a line for each field."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True)
class MonitorOptions:
    """What to watch.

    Attributes:
        since: The time of the first row; None for all. Evidence begins there.
        alpha: The largest probability of any false alarm in a year.
        now: The present; None for that of the clock.
    """

    since: datetime | None = None
    alpha: float = ALPHA
    now: datetime | None = None


def monitor(tag: str | None, files: TrafficFiles, options: MonitorOptions = MonitorOptions()) -> MonitorReport:
    """Watch a model.

    Args:
        tag: The model as for :func:`contract.store.resolve`. Without a version, it is the one that answered last, if
            the store has it.
        files: The traffic store.
        options: What to watch.

    Raises:
        ModelNotFound, AmbiguousModel, ArtifactError: as :func:`contract.store.load`.
        DataError: if the traffic store cannot be read, or has no traffic of the model.
    """
    artifact, name = None, tag
    if tag is None or ":" in tag or "@" in tag:
        artifact = store.load(tag)
        name = artifact.manifest.name
    assert name is not None
    traffic = read_traffic(files, name, Window(since=options.since), options.now)
    if artifact is None:
        artifact = store.load(_last_version(name, traffic))
    return report(artifact, traffic, options)


def report(artifact: Artifact, traffic: Traffic, options: MonitorOptions = MonitorOptions()) -> MonitorReport:
    """Return what captured traffic says about a model, and what to do about it; arguments as of :func:`observe`."""
    observed = observe(artifact, traffic, options)
    verdict = decide(artifact.tag, observed)
    return MonitorReport(
        name=artifact.manifest.name, version=artifact.manifest.version, verdict=verdict, observed=observed
    )


def observe(artifact: Artifact, traffic: Traffic, options: MonitorOptions) -> Observation:
    """Return what captured traffic says about a model.

    Args:
        artifact: The model.
        traffic: The traffic of all its versions.
        options: What to watch.

    Raises:
        DataError: if this version has neither answered nor refused anything.
    """
    is_own = pl.col("version") == artifact.manifest.version
    answered, refused = traffic.rows.filter(is_own), traffic.refusals.filter(is_own)
    if answered.is_empty() and refused.is_empty():
        others = ", ".join(traffic.versions) or "none"
        raise DataError(f"{artifact.tag} has not answered any captured row in this time; versions that have: {others}")
    # Days on which all requests were refused count, too, after the first row that was answered.
    later = refused if answered.is_empty() else refused.filter(pl.col("time") > answered["time"].max())
    days = complete_days(pl.concat([answered["time"], later["time"]]), traffic.now)
    rows, refusals = days.of(answered), days.of(refused)
    captured = traffic.rows.columns
    watched, unwatched = watched_fields(artifact, captured)
    compared = table_rows(artifact, watched, rows, days)
    parts = _budget(options.alpha, has_rows=not isinstance(compared, str))
    fields = movements(watched, rows, days, "fields", parts["fields"])
    predictions = movements(watched_predictions(artifact, captured), rows, days, "predictions", parts["predictions"])
    if rows.is_empty():
        rows = rows.with_columns(pl.lit(None, pl.Float64).alias(main_output(artifact)))
    labelled, loss = labelled_rows(rows, traffic.labels, days, traffic.now), row_loss(artifact)
    risk, risk_alarm = live_risk(loss, labelled.rows, days, parts["risk"])
    calibration, calibration_alarm = live_calibration(artifact, labelled.rows, days, parts["calibration"])
    if isinstance(compared, str):
        combinations, combinations_alarm = LiveCombinations(reason=compared), None
    else:
        by_field = {each.name: each for each in watched}
        combinations, combinations_alarm = live_combinations(compared, by_field, days, parts["combinations"])
    raised = (fields.alarm, predictions.alarm, combinations_alarm, risk_alarm, calibration_alarm)
    alarms = sorted(filter(None, raised), key=lambda alarm: alarm.raised)
    has_moved = any(alarm.group in _MOVING and not alarm.is_over for alarm in alarms)
    moved = by_name(fields.each)
    return Observation(
        made=traffic.now,
        traffic=_summary(traffic, rows, days),
        alpha=options.alpha,
        budget=parts,
        alarms=tuple(alarms),
        faults=(
            *stopped_requests(traffic),
            *refused_requests(rows, refusals, days),
            *data_faults([each for each in watched if moved], moved, rows, days),
        ),
        fields=fields.each,
        predictions=predictions.each,
        combinations=combinations,
        separation=separation(compared, days) if has_moved and not isinstance(compared, str) else None,
        unwatched=unwatched,
        regime=_regime(watched, rows, days),
        labels=labelled.labels,
        risk=risk,
        calibration=calibration,
        estimated=estimated_risk(artifact, rows, labelled.rows, loss, calibration),
        slices=slice_risks(artifact, watched, labelled.rows, loss),
        label_shift=label_shares(artifact.contract.output, rows, labelled.rows, days),
        timeline=timeline(artifact, traffic, labelled.rows, loss),
    )


#: The groups of tests that say that rows are not as in the table.
_MOVING = ("fields", "predictions", "combinations")


def _budget(alpha: float, has_rows: bool) -> dict[str, float]:
    """Return the part of each group of tests; combinations, which need rows of the table, have none without them."""
    return budget(alpha, {name: share for name, share in SHARES.items() if has_rows or name != "combinations"})


def _last_version(name: str, traffic: Traffic) -> str:
    """Return the tag of the version that answered last, if the model store has it; else the name."""
    last = (traffic.refusals if traffic.rows.is_empty() else traffic.rows)["version"][-1]
    return f"{name}:{last}" if last in map(str, store.versions(name)) else name


def _regime(watched: list[Watched], rows: pl.DataFrame, days: Days) -> float | None:
    """Return the share of the rows of the last week with any number outside of the table's range.

    Where a week has few rows, it is that of the last rows: a single row says nothing about a regime.
    """
    if len(rows) < MIN_REGIME_ROWS:
        return None
    recent = rows.filter(pl.col("day") >= days.count - RECENT_DAYS)
    recent = rows.tail(MIN_REGIME_ROWS) if len(recent) < MIN_REGIME_ROWS else recent
    columns = [column for each in watched if (column := outside(each, recent)) is not None]
    if not columns or recent.is_empty():
        return None
    return round(float(np.average(np.any(columns, axis=0), weights=recent["weight"].to_numpy())), 6)


def _summary(traffic: Traffic, rows: pl.DataFrame, days: Days) -> TrafficSummary:
    return TrafficSummary(
        first=days.date(0) if days.count else None,
        last=days.date(days.count - 1) if days.count else None,
        days=days.count,
        captured=len(rows),
        rows_a_day=round(float(rows["weight"].sum()) / max(1, days.count), 1),
        lost=int(traffic.losses["rows"].sum()),
        future=traffic.future_rows,
    )
