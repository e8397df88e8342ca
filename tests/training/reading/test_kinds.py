"""The bytes of a file decide how it is read, not its name."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from backports import zstd

from model_deployer.contract.errors import DataError
from tests.training.reading.files import read, read_one

FRAME = pl.DataFrame({"x": [1, 2, 3], "y": ["a", "b", "a"]})
CSV = FRAME.write_csv().encode()


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def zipped(*names: str, content: bytes = CSV) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


KINDS: dict[str, bytes] = {
    "csv": CSV,
    "parquet": written(FRAME.write_parquet),
    "arrow file": written(FRAME.write_ipc),
    "arrow stream": written(FRAME.write_ipc_stream),
    "json lines": FRAME.write_ndjson().encode(),
    "json array": json.dumps(FRAME.to_dicts(), indent=2).encode(),
    "json array in UTF-16": json.dumps(FRAME.to_dicts()).encode("utf-16"),
    "excel": written(FRAME.write_excel),
}

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
    "zip": lambda content: zipped("folder/t.csv", "__MACOSX/folder/._t.csv", content=content),
}


def compressed(content: bytes) -> bytes:
    """Return content as gzip, each time as the same bytes."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
def test_every_kind_and_compression_gives_the_same_table(tmp_path: Path, kind: str, compression: str | None) -> None:
    content = KINDS[kind] if compression is None else COMPRESSIONS[compression](KINDS[kind])
    (tmp_path / "misleading.pdf").write_bytes(content)
    assert read(tmp_path, "misleading.pdf").frame.equals(FRAME)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"%PDF-1.7 ...", "this is a PDF document; export the table"),
        (b"<!DOCTYPE html><html>", "this is a web page or XML; download or export the table itself"),
        (b"-- MySQL dump 10.13\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `t`;\n", "this is a dump in SQL"),
        (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", "this is a dump in SQL; load it"),
        (b"<table><tr><td>x</td></tr></table>", "this is a web page or XML"),
        (b"\x80\x04\x95\x00", "this is a pickle, which can run code"),
        (b"\x00\x01\x02" * 10, "a binary file of an unknown kind"),
        (compressed(CSV)[:-12], "the gzip file is damaged or cut off"),
        (COMPRESSIONS["zstd"](CSV)[:8] + b"xx", "the zstd file is damaged or cut off"),
        (zipped("a.csv").replace(b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\xe9"), "the zip file is damaged"),
        (zipped("a.csv", "b.csv"), "it holds 2 files: 'a.csv', 'b.csv'; unpack the one to use"),
        (compressed(compressed(compressed(CSV))), "compressed more than 2 times"),
        (b'[{"x": 1, "y": 2},\n {"x": 1 "y": 2}]', "line 2: not valid JSON"),
        (b'[{"x": 1, "y": 2}, [3]]', "row 2: expected an object"),
        (b'{\n"x": [1],\n"y": [2]}', "expected an array of objects"),
        (b'{"x": [1, 2], "y": [2, 3]}', "expected an array of objects"),
        (b'{"x": {"0": 1, "1": 2}, "y": {"0": 2, "1": 3}}', "expected an array of objects"),
        (b'{"x": {"a": 1}}\n{"x": 17}', "row 2: 'x' is a value, and an object in row 1"),
        (b'[{"x": 17}, {"x": [1]}]', "row 2: 'x' is an array, and a value in row 1"),
    ],
)
def test_what_is_not_a_table(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=rf"t\.csv.*{complaint}"):
        read_one(tmp_path / "t.csv", content)


@pytest.mark.parametrize("indent", [None, 1])
def test_rows_within_the_answer_of_an_api(tmp_path: Path, indent: int | None) -> None:
    content = json.dumps({"page": 1, "errors": [], "items": FRAME.to_dicts()}, indent=indent).encode()
    table = read_one(tmp_path / "t.json", content)
    assert table.frame.equals(FRAME)
    assert table.notes == ("read as JSON: the rows are under the key 'items'",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    "text", ['{"city": "Köln", "y": 1}\n{"city": "Zürich", "y": 2}', '[{"city": "Köln"}, {"city": "Zürich"}]']
)
def test_json_in_several_encodings(tmp_path: Path, text: str, encoding: str) -> None:
    assert read_one(tmp_path / "t", text.encode(encoding)).frame["city"].to_list() == ["Köln", "Zürich"]


@pytest.mark.parametrize("text", ['[{"x": NaN, "y": 1}, {"x": 2.5, "y": 2}]', '{"x": Infinity}\n\n{"x": 2.5}\n'])
def test_numbers_that_only_python_writes_are_missing(tmp_path: Path, text: str) -> None:
    assert read_one(tmp_path / "t", text.encode()).frame["x"].to_list() == [None, 2.5]


def test_a_file_that_cannot_be_read_is_never_to_be_converted_in_place(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_one(tmp_path / "t.csv", compressed(b"x,y\n1,caf\xe9\n")[:-3])
    assert "iconv" not in str(caught.value)
