"""Delete what a traffic store has of one subject: captured rows, refusals, labels, and rows of a shadow."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from model_deployer.contract.deletion import FOLDER, Deletion, parts_of, text_of, texts_of
from model_deployer.contract.errors import DataError, UsageError
from model_deployer.contract.field_hash import field_key, hash_value, secret_id
from model_deployer.contract.traffic import HASH_SECRET
from model_deployer.monitoring.traffic.traffic_files import TrafficFiles

#: Whether each line of a file belongs to a subject, by the lines and the path of the file.
_Matcher = Callable[[pl.DataFrame, str], pl.Series]

_MONTH = re.compile(r"/date=(\d{4}-\d{2})-")

#: What names a captured row in other tables.
_KEYS = {"request_id": pl.String(), "row": pl.Int64(), "row_id": pl.String()}


@dataclass(frozen=True)
class Subject:
    """Whose rows are meant: all that have any of these.

    Attributes:
        row_id: The caller's own id of a row.
        request_id: The id of a request.
        field: The name of a field whose values are captured, and the value as text: ``("customer", "4711")``.
        secrets: The contents of the key files with which the field may have been captured as a hash.

    Raises:
        UsageError: if none is named.
    """

    row_id: str | None = None
    request_id: str | None = None
    field: tuple[str, str] | None = None
    secrets: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.row_id is None and self.request_id is None and self.field is None:
            raise UsageError("name whose rows to delete: --row-id, --request-id, or --field NAME=VALUE")

    def matches(self, lines: pl.DataFrame, path: str) -> pl.Series:
        """Return whether each line of a file belongs to the subject.

        Args:
            lines: The lines.
            path: The path of the file in the store, which has the day of the lines.
        """
        is_match = pl.Series([False]).new_from_index(0, len(lines))
        for column, value in (("row_id", self.row_id), ("request_id", self.request_id)):
            if column in lines.columns and value is not None:
                is_match = is_match | (lines[column].cast(pl.String) == value).fill_null(False)
        for column, texts in self._texts_of_field(_month(path)).items():
            if column in lines.columns:
                is_match = is_match | pl.Series([text_of(value) in texts for value in lines[column]], dtype=pl.Boolean)
        return is_match

    def unknown_secrets(self, lines: pl.DataFrame) -> set[str]:
        """Return the names of the secrets of hashes of the field that are not among the given ones.

        Rows of earlier releases do not name their secret.
        """
        if self.field is None or f"hash.{self.field[0]}" not in lines.columns:
            return set()
        names = lines[HASH_SECRET].drop_nulls().unique() if HASH_SECRET in lines.columns else ["without a name"]
        return set(names) - {secret_id(secret) for secret in self.secrets}

    def deletion(self) -> Deletion:
        """Return the deletion that servers apply to what they have not stored yet."""
        ids = {"row_id": self.row_id, "request_id": self.request_id}
        texts = {column: {value} for column, value in ids.items() if value is not None}
        for column, values in self._texts_of_field(datetime.now(UTC)).items():
            texts[column] = set(values)
        return Deletion.of(texts)

    def _texts_of_field(self, month: datetime) -> dict[str, set[str]]:
        """Return the texts that rows of the subject have in the columns of the field, in a month."""
        if self.field is None:
            return {}
        name, value = self.field
        keys = [field_key(secret, month, name) for secret in self.secrets]
        hashes = {hash_value(key, parts) for key in keys for parts in parts_of(value)}
        return {f"input.{name}": set(texts_of(value)), f"hash.{name}": {each for each in hashes if each}}


@dataclass(frozen=True)
class Deleted:
    """What was deleted.

    Attributes:
        rows, refusals, labels, shadow: The number of lines of each table.
        not_searched: The months with hashes of the field whose secret is not among the given ones, with the names of
            these secrets: ``2026-08 (1a2b3c4d)``.
    """

    rows: int
    refusals: int
    labels: int
    shadow: int
    not_searched: tuple[str, ...] = ()


def delete(files: TrafficFiles, subject: Subject) -> Deleted:
    """Delete what a traffic store has of a subject, and have servers delete what they have not stored yet.

    Each file is replaced as a whole, and one that becomes empty is removed. An interrupted deletion is finished by
    the same call. Captured rows go last: labels and rows of a shadow are found by them, too.

    Args:
        files: The traffic store.
        subject: Whose rows are meant.

    Raises:
        UsageError: if the field is only captured as its bin.
        DataError: if a file cannot be read, written or removed.
    """
    # First, so that a file that a server stores from now on is either seen below, or without the subject.
    _announce(files, subject.deletion())
    keys, not_searched = _captured(files, subject)
    if len(keys):
        _announce(files, Deletion.of_rows(*keys.select("request_id", "row", "row_id")))
    announced = [Deletion.from_bytes(files.read(path), path) for path in files.paths(FOLDER, ".json")]
    ids = keys["row_id"].drop_nulls().unique()

    def is_of_row(lines: pl.DataFrame, path: str) -> pl.Series:
        of_requests = lines.select("request_id", "row").with_row_index()
        matched = of_requests.join(keys, on=["request_id", "row"], how="semi")["index"].cast(pl.Int64)
        by_row = pl.Series(range(len(lines)), dtype=pl.Int64).is_in(matched.implode())
        by_id = lines["row_id"].is_in(ids.implode()).fill_null(False)
        return by_row | by_id | subject.matches(lines, path) | _matches_any(announced, lines)

    labels, shadow = _remove(files, "labels", is_of_row), _remove(files, "shadow", is_of_row)
    return Deleted(
        rows=_remove(files, "traffic", subject.matches),
        refusals=_remove(files, "refusals", subject.matches),
        labels=labels,
        shadow=shadow,
        not_searched=not_searched,
    )


def _announce(files: TrafficFiles, deletion: Deletion) -> None:
    """Store a deletion for the servers, which look for one before and after they store rows."""
    files.write(deletion.path, deletion.to_bytes())


def _matches_any(deletions: Sequence[Deletion], lines: pl.DataFrame) -> pl.Series:
    """Return whether deletions mean each line: also of rows that servers have deleted before they were stored."""
    columns, times = lines.to_dict(as_series=False), lines["received" if "received" in lines.columns else "time"]
    is_match = [deletion.matches(columns, times.to_list()) for deletion in deletions]
    return pl.Series([any(row) for row in zip(*is_match, strict=True)], dtype=pl.Boolean)


def _captured(files: TrafficFiles, subject: Subject) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the ids of the captured rows of a subject, and the months that were not searched."""
    captured = [pl.DataFrame(schema=_KEYS)]
    not_searched: set[str] = set()
    for path in files.paths("traffic"):
        lines = _read(files, path)
        _require_values(lines, subject)
        captured.append(lines.filter(subject.matches(lines, path)).select(*_KEYS))
        not_searched |= {f"{_month(path):%Y-%m} ({name})" for name in subject.unknown_secrets(lines)}
    return pl.concat(captured), tuple(sorted(not_searched))


def _require_values(lines: pl.DataFrame, subject: Subject) -> None:
    """Check that the rows of a subject can be found in a file by the value of a field."""
    if subject.field is None:
        return
    name = subject.field[0]
    if f"bin.{name}" in lines.columns:
        raise UsageError(
            f"'{name}' is captured as its bin, which the rows of many have in common; name the rows with --row-id or "
            "--request-id"
        )
    if f"hash.{name}" in lines.columns and not subject.secrets:
        raise UsageError(
            f"'{name}' is captured as a hash: name the file with its key, and those before it, with --key-file"
        )


def _remove(files: TrafficFiles, table: str, matches: _Matcher) -> int:
    """Remove the matching lines of a table, and return their number."""
    removed = 0
    for path in list(files.paths(table)):
        rows = _read(files, path)
        is_match = matches(rows, path)
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


def _month(path: str) -> datetime:
    """Return a time in the month of a file, by its path."""
    month = _MONTH.search(path)
    return datetime.strptime(month[1], "%Y-%m").replace(tzinfo=UTC) if month else datetime.now(UTC)
