"""A world of parcels: a table, a model that is trained on it, and captured traffic with planted changes."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import model_deployer as md
from model_deployer.api import Model
from model_deployer.contract.traffic import partition
from model_deployer.monitoring.monitor.monitor import MonitorReport, report
from model_deployer.monitoring.traffic.traffic import read_traffic
from model_deployer.monitoring.traffic.traffic_files import open_files

Floats = NDArray[np.float64]

#: The days and the rows a day of the table, and of the traffic.
TABLE_DAYS, TRAFFIC_DAYS, DAY_ROWS = 90, 40, 300

#: The day with which a planted change begins.
CHANGE = 20

#: The first day of the traffic, and the present: four hours after its last day.
START = datetime(2024, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=TRAFFIC_DAYS, hours=4)

FIELDS = ("distance", "weight", "temperature", "channel")

#: The time of day of requests: the store has a file for each of these hours.
_HOURS = (0, 9, 15, 23)

#: The labels of a day arrive this many days later.
_LABEL_DELAY = timedelta(days=2)


def fields(days: int, seed: int) -> pl.DataFrame:
    """The fields of rows by day. Days differ by weather, and by the mixture of channels."""
    random = np.random.default_rng(seed)
    shape = (days, DAY_ROWS)
    weather = 12 + 4 * random.standard_normal((days, 1))
    web = 0.5 + 0.04 * random.standard_normal((days, 1))
    draws = random.random(shape)
    channel = np.where(draws < web, "web", np.where(draws < web + 0.3, "shop", "phone"))
    temperature = (weather + 3 * random.standard_normal(shape)).ravel()
    temperature[random.random(temperature.size) < 0.02] = np.nan
    return pl.DataFrame(
        {
            "day": np.repeat(np.arange(days), DAY_ROWS),
            "distance": np.exp(4 + 0.6 * random.standard_normal(shape)).ravel().round(1),
            "weight": random.gamma(2, 3, shape).ravel().round(2),
            "temperature": temperature.round(1),
            "channel": channel.ravel(),
        }
    ).with_columns(pl.col("temperature").fill_nan(None))


def log_odds(rows: pl.DataFrame) -> Floats:
    """The log odds of being late, which the model can learn."""
    distance, weight = rows["distance"].to_numpy(), rows["weight"].to_numpy()
    phone = (rows["channel"] == "phone").to_numpy()
    return np.asarray(2.5 * (np.log(distance) - 4) + 0.15 * (weight - 6) + 1.0 * phone - 1.0)


def labels(odds: Floats, seed: int) -> list[str]:
    """Labels with these log odds of ``late``."""
    is_late = np.random.default_rng(seed).random(len(odds)) < 1 / (1 + np.exp(-odds))
    return [("on_time", "late")[late] for late in is_late.tolist()]


def train(folder: Path) -> Model:
    """Train the model on 90 days."""
    rows = fields(TABLE_DAYS, seed=1)
    random = np.random.default_rng(2)
    minutes = rows["day"].to_numpy() * 1440 + random.integers(0, 1440, len(rows))
    start = START - timedelta(days=TABLE_DAYS + 10)
    times = [start.replace(tzinfo=None) + timedelta(minutes=int(minute)) for minute in minutes]
    table = rows.drop("day").with_columns(when=pl.Series(times), arrival=pl.Series(labels(log_odds(rows), seed=3)))
    return md.train(
        data=table.sort("when"),
        target="arrival",
        name="parcels",
        positive="late",
        time="when",
        split={"method": "time"},
        estimator={"name": "linear"},
        cost={"false_positive": 1, "false_negative": 3, "training": 500},
        folder=folder,
    )


def load() -> Model:
    """Return the model."""
    return md.load("parcels")


def watched(model: Model, store: Path) -> MonitorReport:
    """What a monitor reports of a traffic store, at the present of this world."""
    return report(model.artifact, read_traffic(open_files(str(store)), "parcels", now=NOW))


Change = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class World:
    """A world of traffic.

    Attributes:
        sent: Changes the fields that the service receives from the day :data:`CHANGE` on; the truth stays that of the
            unchanged ones.
        real: Changes the fields in reality, and thus their truth, too.
        odds: Returns the changed log odds of being late from those of before and the rows.
        labelled_days: The days with labels.
        weight: The number of rows that each captured one stands for.
    """

    sent: Change = lambda rows: rows
    real: Change = lambda rows: rows
    odds: Callable[[Floats, pl.DataFrame], Floats] = lambda odds, rows: odds
    labelled_days: int = TRAFFIC_DAYS
    weight: float = 10.0


def write_traffic(store: Path, model: Model, world: World, seed: int = 10) -> pl.DataFrame:
    """Write the traffic of a world and its labels into a traffic store, and return the rows with their labels."""
    rows = fields(TRAFFIC_DAYS, seed)
    before, after = rows.filter(pl.col("day") < CHANGE), world.real(rows.filter(pl.col("day") >= CHANGE))
    truth = np.concatenate([log_odds(before), world.odds(log_odds(after), after)])
    rows = pl.concat([before, world.sent(after)], how="vertical_relaxed")
    random = np.random.default_rng(seed + 1)
    hours = np.sort(random.choice(_HOURS, (TRAFFIC_DAYS, DAY_ROWS)), axis=1).ravel()
    seconds = rows["day"].to_numpy() * 86_400 + hours * 3600 + random.integers(0, 3600, len(rows))
    rows = rows.with_columns(
        time=pl.Series([START + timedelta(seconds=int(second)) for second in seconds], dtype=pl.Datetime("us", "UTC")),
        hour=hours,
        label=pl.Series(labels(truth, seed + 2)),
        request_id=pl.Series([f"request-{index}" for index in range(len(rows))]),
    )
    _write_rows(store, model, rows, world.weight)
    write_labels(store, rows.filter(pl.col("day") < world.labelled_days))
    return rows


def _write_rows(store: Path, model: Model, rows: pl.DataFrame, weight: float) -> None:
    answers = model.predict(rows.select(FIELDS))
    constants: dict[str, Any] = {"protocol": "native", "degraded": False, "milliseconds": 2.5, "weight": weight}
    table = rows.select(
        "request_id",
        pl.lit(0, pl.Int64).alias("row"),
        "time",
        pl.lit(200, pl.Int64).alias("status"),
        *(pl.lit(value).alias(name) for name, value in constants.items()),
        pl.lit(None, pl.String).alias("row_id"),
        *(pl.col(name).alias(f"input.{name}") for name in FIELDS),
        *(answers[name].alias(f"output.{name}") for name in answers.columns if name != "error"),
    )
    for (_, _), part in table.with_columns(rows["day"], rows["hour"]).group_by("day", "hour"):
        folder = store / partition("traffic", model.tag, part["time"][0])
        write_file(folder / "part.parquet", part.drop("day", "hour"))


def write_labels(store: Path, rows: pl.DataFrame, delay: timedelta = _LABEL_DELAY) -> None:
    """Write the labels of rows, which came in some days after their time."""
    table = rows.select(
        "request_id",
        pl.lit(0, pl.Int64).alias("row"),
        pl.lit(None, pl.String).alias("row_id"),
        "label",
        (pl.col("time") + delay).alias("time"),
        (pl.col("time") + delay).alias("received"),
    ).filter(pl.col("received") < NOW)
    if len(table):
        write_file(store / partition("labels", "parcels", NOW) / f"{delay.days}.parquet", table)


def write_file(path: Path, table: pl.DataFrame) -> None:
    """Write a file of the store as the capture does: complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    table.write_parquet(content)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(content.getvalue())
    unfinished.replace(path)
