"""The table that a model.yaml names, with a version that follows from its content."""

import codecs
import glob
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError
from model_deployer.contract.yaml_source import KeyPath, suggestion
from model_deployer.training.data.parquet_chunks import ParquetChunk, cut, draw, take, unreadable
from model_deployer.training.spec import Data, Spec

_FORMATS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_CHUNK = 1 << 20

#: How other tools mark a missing number in a CSV file; in a column of text these are text.
_MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?"]

#: Digits that are a name and no quantity: zeros lead, or there are more of them than an integer holds.
_CODE = r"^0\d+$|^-?\d{19,}$"
_ISO_TIME = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)"


@dataclass(frozen=True)
class Table:
    """Rows to learn from.

    Attributes:
        frame: All columns but the ignored ones that no slice is made of; rows in the order of the files.
        version: ``sha256:`` and the digest of the bytes of the files, one after the other.
        pieces: Of the files, where not all of their rows are in ``frame``.
        drawn: The ascending numbers, counted from 0, of the rows in ``frame``; None where they are all there.
    """

    frame: pl.DataFrame
    version: str
    pieces: tuple[ParquetChunk, ...] = ()
    drawn: NDArray[np.int64] | None = None


def read_table(spec: Spec, folder: Path) -> Table:
    """Read the file or files under ``data.path``, which is relative to ``folder``.

    Files of a glob are read in the order of their names and have to agree in their columns. Of more than
    ``data.rows_in_memory`` rows so many are drawn by the seed, each with the same chance.

    Raises:
        DataError: Nothing is there, a file cannot be read as its format, there are no rows, a header names a column
            twice, files disagree, a column that model.yaml names is absent, or rows are to be drawn and the files are
            not Parquet.
    """
    paths = _paths(spec, folder)
    forms = [_format(path, spec.data) for path in paths]
    version = _version(paths, forms)
    pieces = _pieces(paths, forms, spec)
    if spec.data.rows_in_memory is None or sum(piece.rows for piece in pieces) <= spec.data.rows_in_memory:
        frames = [_read(path, form, spec) for path, form in zip(paths, forms, strict=True)]
        return Table(_whole(frames, paths, spec), version)
    drawn = draw(pieces, spec.data.rows_in_memory, spec.seed)
    files = list(dict.fromkeys(piece.path for piece in pieces))
    return Table(_whole(list(take(pieces, drawn)), files, spec), version, pieces, drawn)


def _version(paths: list[Path], forms: list[str]) -> str:
    digest = hashlib.sha256()
    for path, form in zip(paths, forms, strict=True):
        for chunk in _chunks(path, text=form in {"csv", "jsonl"}):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _pieces(paths: list[Path], forms: list[str], spec: Spec) -> tuple[ParquetChunk, ...]:
    if spec.data.rows_in_memory is None:
        return ()
    if others := [path for path, form in zip(paths, forms, strict=True) if form != "parquet"]:
        raise DataError(
            f"{spec.place('data', 'rows_in_memory')}: {others[0]} is not Parquet, the only format that is read in "
            f"pieces; convert it, for example with polars: `scan_csv(...).sink_parquet(...)`"
        )
    return cut(paths)


def _whole(frames: list[pl.DataFrame], paths: list[Path], spec: Spec) -> pl.DataFrame:
    frame = _concatenate(frames, paths)
    if not frame.height:
        raise DataError(f"{paths[0]}: the table has no rows")
    _check_columns(frame, spec)
    left_out = set(spec.data.ignore) - set(spec.slices)
    return _columns(frame, [name for name in frame.columns if name not in left_out])


def _paths(spec: Spec, folder: Path) -> list[Path]:
    place, pattern = spec.place("data", "path"), spec.data.path
    literal = folder / pattern
    if literal.is_dir():
        raise DataError(
            f"{place}: {literal} is a folder; name a file or a glob such as '{pattern.rstrip('/')}/*.parquet'"
        )
    if literal.exists():
        return [literal]
    found = sorted(folder / name for name in glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 (may be absolute)
    files = [path for path in found if path.is_file()]
    if not files:
        raise DataError(f"{place}: there is no file {literal}; a relative path starts at the folder of model.yaml")
    return files


def _format(path: Path, data: Data) -> str:
    form = _FORMATS.get(path.suffix.lower()) if data.format == "auto" else data.format
    if form is None:
        known = ", ".join(_FORMATS)
        raise DataError(
            f"{path}: the format cannot be told from the suffix (known: {known}); say it under `data.format`"
        )
    return form


def _chunks(path: Path, *, text: bool) -> Iterator[bytes]:
    """The bytes of a file piece by piece; a text file is checked to be UTF-8 on the way."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if text:
                    decoder.decode(chunk)
                yield chunk
        decoder.decode(b"", final=text)
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: the file is not UTF-8; convert it, for example with `iconv -f WINDOWS-1252 -t UTF-8`"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read: {error.strerror}") from None


def _read(path: Path, form: str, spec: Spec) -> pl.DataFrame:
    try:
        with path.open("rb") as file:  # polars would take some names for globs
            if form == "csv":
                return _read_csv(file, _header(path, file), spec)
            if form == "jsonl":
                frame = pl.read_ndjson(file, infer_schema_length=None)
                return frame.with_columns(_as_times(column) for column in frame.select(pl.col(pl.String)))
            return pl.read_parquet(file) if form == "parquet" else pl.read_ipc(file)
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: the table has no rows") from None
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise unreadable(path, form, error) from None


def _read_csv(file: BinaryIO, header: list[str], spec: Spec) -> pl.DataFrame:
    """A CSV file, in which all that model.yaml calls a category or text stays as it is written."""
    written = pl.read_csv(file, infer_schema=False, new_columns=header)
    said = {name for name, override in spec.features.items() if override.kind in {"categorical", "text"}}
    return written.with_columns(_typed(column) for column in written if column.name not in said)


def _typed(written: pl.Series) -> pl.Series:
    """A column of a CSV file as what it holds throughout: numbers, booleans or times, else text."""
    present = written.replace(_MISSING, [None] * len(_MISSING))
    if present.null_count() == len(present) or written.str.contains(_CODE).any():
        return written
    for dtype in (pl.Int64, pl.Float64):
        numbers = present.cast(dtype, strict=False)
        if numbers.null_count() == present.null_count():
            return numbers
    if present.drop_nulls().str.to_lowercase().is_in(["true", "false"]).all():
        return present.str.to_lowercase() == "true"
    times = _as_times(present)
    return times if times.dtype == pl.Datetime else written


def _as_times(strings: pl.Series) -> pl.Series:
    """Strings that are all ISO 8601 dates or times as times, others as they are."""
    if strings.null_count() == len(strings) or not strings.str.contains(_ISO_TIME).all():
        return strings
    times = strings.str.to_datetime(strict=False, time_unit="us")
    return times if times.null_count() == strings.null_count() else strings


def _header(path: Path, file: BinaryIO) -> list[str]:
    """The names as they are written: as a header, polars renames one that stands twice, and keeps doubled quotes."""
    header = [name or "" for name in pl.read_csv(file, has_header=False, n_rows=1, infer_schema=False).row(0)]
    file.seek(0)
    if twice := sorted({name for name in header if header.count(name) > 1}):
        listed = ", ".join(f"'{name}'" for name in twice)
        raise DataError(f"{path}: the header names {listed} more than once; every column needs its own name")
    return header


def _concatenate(frames: list[pl.DataFrame], paths: list[Path]) -> pl.DataFrame:
    """One table of all files. A column without values, or of another kind of number, takes the type of the others."""
    first = frames[0]
    for frame, path in zip(frames[1:], paths[1:], strict=True):
        if odd := set(first.columns) ^ set(frame.columns):
            listed = ", ".join(f"'{name}'" for name in sorted(odd))
            raise DataError(f"{path}: its columns differ from those of {paths[0]}: {listed}")
    aligned = [_columns(frame, first.columns) for frame in frames]
    for name in first.columns:
        _check_types([frame[name] for frame in aligned], paths)
    filled = [
        frame.select(pl.lit(None).alias(s.name) if s.null_count() == s.len() else s for s in frame) for frame in aligned
    ]
    return pl.concat(filled, how="vertical_relaxed") if len(filled) > 1 else first


def _columns(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """These columns; polars' own selection would take a name such as ``*`` or ``^x$`` for a pattern."""
    return pl.DataFrame({name: frame[name] for name in names})


def _check_types(columns: list[pl.Series], paths: list[Path]) -> None:
    typed = [(column, path) for column, path in zip(columns, paths, strict=True) if column.null_count() < column.len()]
    for column, path in typed[1:]:
        first, reference = typed[0]
        if column.dtype != first.dtype and not (column.dtype.is_numeric() and first.dtype.is_numeric()):
            raise DataError(f"{path}: column '{column.name}' is {column.dtype}, but {first.dtype} in {reference}")


def _check_columns(frame: pl.DataFrame, spec: Spec) -> None:
    """Every column that model.yaml names has to be there, and none may have a name that stands for others."""
    data = spec.data
    named: list[tuple[KeyPath, str | None]] = [
        (("data", role), getattr(data, role)) for role in ("target", "time", "group", "weight")
    ]
    named += [(("data", "ignore", index), name) for index, name in enumerate(data.ignore)]
    named += [(("slices", index), name) for index, name in enumerate(spec.slices)]
    faults = [
        f"{spec.place(*path)}: the table has no column '{name}'{_hint(name, frame.columns)}"
        for path, name in named
        if name is not None and name not in frame.columns
    ]
    faults += [
        f"a column cannot be called '{name}', which polars reads as a pattern; rename it"
        for name in frame.columns
        if name.startswith("^") and name.endswith("$")
    ]
    if faults:
        raise DataError("\n".join(faults))


def _hint(name: str, columns: list[str]) -> str:
    if len(columns) == 1 and any(sign in columns[0] for sign in ";\t|"):
        return "; its header is not separated by commas, as CSV needs it (RFC 4180); write it so"
    listed = ", ".join(f"'{column}'" for column in columns[:20])
    return suggestion(name, columns) or f"; it has {listed}"
