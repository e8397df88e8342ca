"""The merged cells of a sheet: only the first of them has a value in the file, and a person sees it in all of them."""

import html
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from model_deployer.training.reading.content import Content

_BLOCK_BYTES = 1 << 20

#: The longest text of a merge in the XML of a sheet, with room to spare.
_OVERLAP_BYTES = 100

_MERGE = re.compile(rb'<(?:\w+:)?mergeCell [^>]*?ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')


@dataclass(frozen=True)
class Merge:
    """Cells that are merged: their first and last column, as letters, and row, counted from 1."""

    left: str
    top: int
    right: str
    bottom: int

    def __str__(self) -> str:
        return f"{self.left}{self.top}:{self.right}{self.bottom}"


def merged_rows(content: Content, sheet: str) -> Iterator[Merge]:
    """Yield the merged cells of a sheet that span several rows; none if the file is not an .xlsx file.

    Args:
        content: The bytes of the file.
        sheet: The name of the sheet.
    """
    source = BytesIO(content.source) if isinstance(content.source, bytes) else content.source
    if not zipfile.is_zipfile(source):
        return
    with zipfile.ZipFile(source) as archive:
        path = _path(archive, sheet)
        if path is None:
            return
        with archive.open(path) as file:
            end = b""
            while block := file.read(_BLOCK_BYTES):
                text = end + block
                matches = list(_MERGE.finditer(text))
                for match in matches:
                    merge = Merge(match[1].decode(), int(match[2]), match[3].decode(), int(match[4]))
                    if merge.bottom > merge.top:
                        yield merge
                end = text[max(matches[-1].end() if matches else 0, len(text) - _OVERLAP_BYTES) :]


def _path(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the path of a sheet in the archive; None if it is not where Excel writes it."""
    names, book, relations = set(archive.namelist()), "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
    if not {book, relations} <= names:
        return None
    sheets = {tag.get("name"): tag.get("r:id") for tag in _tags(archive.read(book), "sheet")}
    targets = {tag.get("Id", ""): tag.get("Target", "") for tag in _tags(archive.read(relations), "Relationship")}
    target = targets.get(sheets.get(sheet) or "", "")
    path = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    return path if path in names else None


def _tags(document: bytes, name: str) -> Iterator[dict[str, str]]:
    """Yield the attributes of each element with a name."""
    for tag in re.findall(rf"<(?:\w+:)?{name} [^>]*>", document.decode("utf-8", "replace")):
        yield {key: html.unescape(value) for key, value in re.findall(r'([\w:]+)="([^"]*)"', tag)}
