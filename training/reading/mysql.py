"""What pymysql needs to know to read a MySQL or MariaDB."""

from collections.abc import Callable
from typing import Any

#: Refuses every change, also of tables that have no transactions, and of the tables themselves.
READ_ONLY = "SET SESSION TRANSACTION READ ONLY"


def decoders() -> dict[Any, Any]:
    """Return the converters of pymysql, with bits as numbers, and zero dates (``0000-00-00``) as missing values."""
    from pymysql.constants import FIELD_TYPE  # noqa: PLC0415
    from pymysql.converters import conversions  # noqa: PLC0415

    times = (FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)
    others = {kind: _unless_zero(conversions[kind]) for kind in times}
    return {**conversions, **others, FIELD_TYPE.BIT: lambda bits: int.from_bytes(bits, "big")}


def _unless_zero(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text.startswith("0000-00-00") else convert(text)
