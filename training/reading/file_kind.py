"""What kind of file some bytes are, from how they begin."""

import re
from pathlib import Path
from typing import Literal

from model_deployer.contract.errors import DataError

#: The kinds of files that can be read.
FileKind = Literal[
    "arrow", "bzip2", "csv", "duckdb", "excel", "gzip", "json", "jsonl", "parquet", "sqlite", "xz", "zip", "zstd"
]

_COMPRESSIONS: dict[bytes, FileKind] = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
}

_MAGIC: dict[bytes, FileKind] = {
    b"PAR1": "parquet",
    b"ARROW1\0\0": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"SQLite format 3\0": "sqlite",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "excel",
}

_DUCKDB_MAGIC, _DUCKDB_OFFSET = b"DUCK", 8

#: Files that people have instead of a table, and what to do with them.
_OTHERS = {
    b"%PDF": "a PDF document; export the table to CSV or Excel",
    b"\x89HDF": "an HDF5 file; convert it to Parquet, for example with pandas",
    b"Obj\x01": "an Avro file; convert it to Parquet",
    b"ORC": "an ORC file; convert it to Parquet",
    b"FEA1": "a Feather file of version 1; write it again with a current version of Arrow",
    b"\x80\x04\x95": "a pickle, which can run code when it is read; write the table as Parquet",
    b"\x80\x05\x95": "a pickle, which can run code when it is read; write the table as Parquet",
    b"$FL2": "an SPSS file; convert it to Parquet or CSV",
    b"<stata_dta>": "a Stata file; convert it to Parquet or CSV",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
}

#: How a web page begins, such as the page of a login in place of a download.
_HTML = re.compile(rb"\s*<(!doctype html|html|head|body|table|\?xml)", re.IGNORECASE)

#: How a dump of a database begins, and a line in it.
_SQL_START = re.compile(rb"\s*(--|/\*|pragma|begin|set|drop table|create table|insert into)", re.IGNORECASE)
_SQL_LINE = re.compile(rb"^(drop table|create table|insert into|begin transaction)\b", re.IGNORECASE | re.MULTILINE)

#: Byte order marks, longest first, with the encoding that they announce.
BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def compression_of(head: bytes) -> FileKind | None:
    """Return the kind of a compressed file from its first bytes; None if it is not compressed."""
    return next((kind for magic, kind in _COMPRESSIONS.items() if head.startswith(magic)), None)


def kind_of(path: Path, head: bytes) -> FileKind:
    """Return the kind of a file that is not compressed.

    Args:
        path: The file, for messages.
        head: The first bytes of the file, some thousands.

    Raises:
        DataError: if the bytes are those of something other than a table.
    """
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[_DUCKDB_OFFSET:].startswith(_DUCKDB_MAGIC):
        return "duckdb"
    for magic, description in _OTHERS.items():
        if head.startswith(magic):
            raise DataError(f"{path}: expected a table, and this is {description}")
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise DataError(f"{path}: expected a table, and this is a web page or XML; download or export the table itself")
    if _SQL_START.match(head) and _SQL_LINE.search(head):
        raise DataError(
            f"{path}: expected a table, and this is a dump in SQL; load it into a database and name that under "
            f"`data.connection`, or export the table to CSV"
        )
    if unmarked_wide_encoding(head) is None and not _has_mark(head) and b"\0" in head[:4096]:
        raise DataError(
            f"{path}: expected a table, and this is a binary file of an unknown kind; write it as Parquet or CSV, or "
            f"name its format under `data.format`"
        )
    return _kind_of_text(head)


def unmarked_wide_encoding(head: bytes) -> str | None:
    """Return ``utf-16-le`` or ``utf-16-be`` if text has one of them without a byte order mark, else None."""
    sample = head[:4096]
    even, odd = sample[0::2], sample[1::2]
    if len(odd) < 2:
        return None
    if odd.count(0) > 0.6 * len(odd) and even.count(0) < 0.05 * len(even):
        return "utf-16-le"
    if even.count(0) > 0.6 * len(even) and odd.count(0) < 0.05 * len(odd):
        return "utf-16-be"
    return None


def _has_mark(head: bytes) -> bool:
    return any(head.startswith(mark) for mark in BYTE_ORDER_MARKS)


def _kind_of_text(head: bytes) -> FileKind:
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)
    text = head.decode(encoding or unmarked_wide_encoding(head) or "utf-8", errors="replace").lstrip()
    if re.match(r"\[\s*[\[{\]]", text):
        return "json"
    if not text.startswith("{"):
        return "csv"
    first, newline, _ = text.partition("\n")
    return "jsonl" if not newline or first.rstrip().endswith("}") else "json"
