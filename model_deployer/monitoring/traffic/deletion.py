"""Delete what a traffic store has of one subject: captured rows, refusals, labels, and rows of a shadow."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from model_deployer.contract.errors import DataError, UsageError
from model_deployer.monitoring.traffic.traffic_files import TrafficFiles


@dataclass(frozen=True)
class Subject:
    """Whose rows are meant: all that have any of these.

    Attributes:
        row_id: The caller's own id of a row.
        request_id: The id of a request.
        field: The name of a field whose values are captured, and the value as text: ``("customer", "4711")``.

    Raises:
        UsageError: if none is named.
    """

    row_id: str | None = None
    request_id: str | None = None
    field: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.row_id is None and self.request_id is None and self.field is None:
            raise UsageError("name whose rows to delete: --row-id, --request-id, or --field NAME=VALUE")

    def matches(self, rows: pl.DataFrame) -> pl.Series:
        """Return whether each line of a table belongs to the subject."""
        is_match = pl.Series([False]).new_from_index(0, len(rows))
        for column, value in (("row_id", self.row_id), ("request_id", self.request_id), self._captured):
            if column in rows.columns and value is not None:
                is_match = is_match | (rows[column].cast(pl.String) == value).fill_null(False)
        return is_match

    @property
    def _captured(self) -> tuple[str, str | None]:
        return (f"input.{self.field[0]}", self.field[1]) if self.field else ("", None)


@dataclass(frozen=True)
class Deleted:
    """What was deleted.

    Attributes:
        rows, refusals, labels, shadow: The number of lines of each table.
    """

    rows: int
    refusals: int
    labels: int
    shadow: int


#: What names a captured row in other tables.
_KEYS = {"request_id": pl.String(), "row": pl.Int64(), "row_id": pl.String()}


def delete(files: TrafficFiles, subject: Subject) -> Deleted:
    """Delete what a traffic store has of a subject.

    Each file is replaced as a whole, and one that becomes empty is removed. An interrupted deletion is finished by
    the same call. Captured rows go last: labels and rows of a shadow are found by them, too.

    Args:
        files: The traffic store.
        subject: Whose rows are meant.

    Raises:
        DataError: if a file cannot be read, written or removed.
    """
    captured = [
        rows.filter(subject.matches(rows)).select("request_id", "row", "row_id")
        for rows in (_read(files, path) for path in files.paths("traffic"))
    ]
    keys = pl.concat(captured) if captured else pl.DataFrame(schema=_KEYS)
    ids = keys["row_id"].drop_nulls().unique()

    def is_of_row(lines: pl.DataFrame) -> pl.Series:
        of_requests = lines.select("request_id", "row").with_row_index()
        matched = of_requests.join(keys, on=["request_id", "row"], how="semi")["index"].cast(pl.Int64)
        by_row = pl.Series(range(len(lines)), dtype=pl.Int64).is_in(matched.implode())
        return by_row | lines["row_id"].is_in(ids.implode()).fill_null(False) | subject.matches(lines)

    labels, shadow = _remove(files, "labels", is_of_row), _remove(files, "shadow", is_of_row)
    return Deleted(
        rows=_remove(files, "traffic", subject.matches),
        refusals=_remove(files, "refusals", subject.matches),
        labels=labels,
        shadow=shadow,
    )


def _remove(files: TrafficFiles, table: str, matches: Callable[[pl.DataFrame], pl.Series]) -> int:
    """Remove the matching lines of a table, and return their number."""
    removed = 0
    for path in list(files.paths(table)):
        rows = _read(files, path)
        is_match = matches(rows)
        if not is_match.any():
            continue
        removed += int(is_match.sum())
        kept = rows.filter(~is_match)
        if kept.is_empty():
            files.remove(path)
        else:
            content = io.BytesIO()
            kept.write_parquet(content)
            files.write(path, content.getvalue())
    return removed


def _read(files: TrafficFiles, path: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(files.read(path)))
    except pl.exceptions.PolarsError:
        raise DataError(f"{path}: the file is damaged; remove it from the traffic store") from None
