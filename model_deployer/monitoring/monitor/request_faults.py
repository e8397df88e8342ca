"""Requests that the model does not see: they are refused, or none arrive any more.

These are counts, not tests: the service refused these requests whatever statistics say.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date

import numpy as np
import polars as pl

from model_deployer.contract.number_format import count, percent
from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.movements import RECENT_DAYS
from model_deployer.monitoring.observation import DataFault
from model_deployer.monitoring.traffic.traffic import Traffic

#: The share of the requests of the last days that are refused for one field, and their number, if callers are broken.
MIN_REFUSED_SHARE, MIN_REFUSED = 0.05, 20

#: The share that are refused before their fields are read, if callers are broken: one caller may lack a key.
MIN_UNREAD_SHARE = 0.5

#: What refusals count fields as that the model does not have.
OTHER_FIELD = "other"

#: The days with requests before which a pause says nothing, and how many times as long as any pause before it is.
_MIN_DAYS, _LONGER = 7, 2

#: The longest pause that is news: after it, the store is that of a model that is not used any more.
_LONG_AGO = 30


def refused_requests(rows: pl.DataFrame, refusals: pl.DataFrame, days: Days) -> Iterator[DataFault]:
    """Yield what requests of the last days were refused for: fields, or codes of requests whose fields were not read.

    Args:
        rows: The captured rows of the days, with the column ``day``.
        refusals: The refused requests of the days, with the column ``day``.
        days: The days.
    """
    first = days.count - RECENT_DAYS
    recent = refusals.filter(pl.col("day") >= first)
    answered = rows.filter(pl.col("day") >= first)
    requests = float(answered.group_by("request_id").agg(pl.col("weight").max())["weight"].sum()) + recent.height
    read = recent.filter(pl.col("fields") != "").with_columns(pl.col("fields").str.split(",")).explode("fields")
    for field, part in _parts(read, "fields"):
        if part.height >= max(MIN_REFUSED, MIN_REFUSED_SHARE * requests):
            cause = "fields that the model does not have" if field == OTHER_FIELD else f"'{field}'"
            yield _refused(field, part, requests, days, f"{cause} ({_commonest(part, 'problem_codes')})")
    for code, part in _parts(recent.filter(pl.col("fields") == ""), "code"):
        if part.height >= max(MIN_REFUSED, MIN_UNREAD_SHARE * requests):
            yield _refused("", part, requests, days, f"the error '{code}'")


def stopped_requests(traffic: Traffic) -> Iterator[DataFault]:
    """Yield a fault if no request of any version has been captured for longer than ever before, and lately.

    Args:
        traffic: The traffic of all versions.
    """
    captured = [*_dates(traffic.rows), *_dates(traffic.refusals)]
    dates = np.unique(np.array(captured, "datetime64[D]"))
    if len(dates) < _MIN_DAYS:
        return
    last: date = dates[-1].item()
    silent = (traffic.now.astimezone(UTC).date() - last).days - 1
    pause = int(np.diff(dates).astype(int).max()) - 1
    if _LONGER * pause < silent <= _LONG_AGO:
        text = (
            f"no request was captured on the {count(silent, 'complete day')} after {last}, and the longest pause "
            f"before had {count(pause, 'day')}: none arrives, or the servers do not capture any more"
        )
        yield DataFault(field="", fault="stopped", since=last, share=1.0, text=text)


def _parts(refusals: pl.DataFrame, column: str) -> Sequence[tuple[str, pl.DataFrame]]:
    return [(str(name), part) for (name,), part in sorted(refusals.group_by(column))]


def _refused(field: str, part: pl.DataFrame, requests: float, days: Days, cause: str) -> DataFault:
    """Return a fault; ``part`` are the requests that were refused for it, and ``requests`` the number of all."""
    share, since = part.height / requests, days.date(int(part["day"].to_numpy().min()))
    text = f"{percent(share)} of the requests of the last week were refused because of {cause}"
    return DataFault(field=field, fault="refused", since=since, share=round(share, 6), text=text)


def _commonest(part: pl.DataFrame, column: str) -> str:
    return str(part[column].value_counts(sort=True)[column][0]).replace(",", ", ")


def _dates(rows: pl.DataFrame) -> list[date]:
    return rows["time"].dt.convert_time_zone("UTC").dt.date().unique().to_list()
