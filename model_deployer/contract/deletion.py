"""The deletion of a subject, as a file of the traffic store: servers apply it to what they have not stored yet.

The file does not name the subject: it has salted digests of the values that its rows have. It is in
``deletions/date=YYYY-MM-DD/``, and removed with the traffic of its day.
"""

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from model_deployer.contract.document import JsonDocument

#: The folder of the files.
FOLDER = "deletions"

#: The name of the pair of columns that names a row, ``REQUEST/ROW``.
ROW_OF_REQUEST = "request_id/row"

_REMEDY = "remove the file, and run `deployer capture delete` again"


class Deletion(JsonDocument):
    """A deletion.

    Attributes:
        time: The time of the deletion, in UTC. Later rows are not meant.
        salt: What the digests are salted with.
        digests: For a column, or :data:`ROW_OF_REQUEST`, the digests of the texts that rows of the subject have there.
    """

    time: datetime
    salt: str
    digests: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, texts: Mapping[str, Iterable[str]]) -> Self:
        """Return a deletion of now.

        Args:
            texts: For each column, the texts that rows of the subject have there, in the form of :func:`text_of`.
        """
        salt = uuid.uuid4().hex
        digests = {column: frozenset(_digest(salt, text) for text in values) for column, values in texts.items()}
        return cls(time=datetime.now(UTC), salt=salt, digests=digests)

    @classmethod
    def of_rows(cls, request_ids: Sequence[str], rows: Sequence[int], row_ids: Sequence[str | None]) -> Self:
        """Return a deletion of what belongs to captured rows: their labels, and the answers of a shadow."""
        texts = {f"{request}/{row}" for request, row in zip(request_ids, rows, strict=True)}
        return cls.of({ROW_OF_REQUEST: texts, "row_id": {row_id for row_id in row_ids if row_id is not None}})

    @classmethod
    def from_bytes(cls, content: bytes, source: str) -> Self:
        """Return the deletion of a file.

        Raises:
            ArtifactError: if the content is none.
        """
        try:
            return cls.parse(json.loads(content), source, _REMEDY)
        except ValueError:
            return cls.parse(None, source, _REMEDY)

    def to_bytes(self) -> bytes:
        """Return the content of a file."""
        return json.dumps(self.to_json()).encode()

    @property
    def path(self) -> str:
        """The path of a new file for it in the traffic store."""
        return f"{FOLDER}/date={self.time:%Y-%m-%d}/{self.salt}.json"

    def matches(self, columns: Mapping[str, Sequence[Any]], times: Sequence[datetime | None]) -> list[bool]:
        """Return whether each row belongs to the subject and is not newer than the deletion.

        A label or an answer of a shadow for a row of the subject belongs to it at any time.

        Args:
            columns: The columns of rows by name, also those that the deletion does not name.
            times: The times of the rows.
        """
        named = {column: columns[column] for column in self.digests.keys() & columns.keys()}
        rows: list[str | None] = [None] * len(times)
        if ROW_OF_REQUEST in self.digests and {"request_id", "row"} <= columns.keys():
            rows = [f"{request}/{row}" for request, row in zip(columns["request_id"], columns["row"], strict=True)]
        return [
            self._has(ROW_OF_REQUEST, rows[index])
            or (
                (time is None or time <= self.time)
                and any(self._has(column, values[index]) for column, values in named.items())
            )
            for index, time in enumerate(times)
        ]

    def _has(self, column: str, value: object) -> bool:
        text = text_of(value)
        return text is not None and _digest(self.salt, text) in self.digests.get(column, ())


def text_of(value: object) -> str | None:
    """Return a captured value as a text that does not depend on its type in a column: 3 and 3.0 are equal."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(float(value))
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    return str(value)


def texts_of(value: str) -> Collection[str]:
    """Return the texts that :func:`text_of` may give for a value that a user wrote: a number, a time, a text."""
    texts = {value, value.lower()} if value.lower() in ("true", "false") else {value}
    if (number := _number(value)) is not None:
        texts.add(repr(number))
    if (time := _time(value)) is not None:
        texts.add(str(text_of(time)))
    return texts


def parts_of(value: str) -> list[list[Any]]:
    """Return the values that :func:`contract.field_hash.hash_value` may get for a value that a user wrote."""
    parts: list[list[Any]] = [[value]]
    if value.lower() in ("true", "false"):
        parts.append([float(value.lower() == "true")])
    if (number := _number(value)) is not None:
        parts.append([number])
    if (time := _time(value)) is not None:
        parts.append([(time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()])
    return parts


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _time(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def _digest(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}/{text}".encode()).hexdigest()[:32]
