"""Read the table that a model.yaml names; its version is a digest of its content."""

import codecs
import glob
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError
from model_deployer.contract.yaml_source import KeyPath, suggestion
from model_deployer.training.data.parquet_chunks import ParquetChunk, read_rows, sample_rows, split_files, unreadable
from model_deployer.training.data.shaping import rename, select_rows
from model_deployer.training.data.values import Values, read_values
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
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Table:
    """A table as it is read, before any value is checked.

    Attributes:
        values: The values of the rows in memory, in the order of the files, and how they were read: all columns except
            those that are ignored and not used for slices.
        version: ``sha256:`` and the digest of the bytes of all files, in order.
        chunks: The chunks of the files; empty if all rows are in ``frame``.
        sampled_rows: The numbers of the rows in ``frame``, int64, ascending, counted from 0 within the table; None if
            all rows are in ``frame``.
    """

    values: Values
    version: str
    chunks: tuple[ParquetChunk, ...] = ()
    sampled_rows: NDArray[np.int64] | None = None

    @property
    def frame(self) -> pl.DataFrame:
        """The rows in memory, in the order of the files."""
        return self.values.frame


def read_table(spec: Spec, folder: Path) -> Table:
    """Read the file or files of ``data.path``.

    Files of a glob are read in the order of their names and must have the same columns. If there are more rows than
    ``data.rows_in_memory``, that number of rows is sampled with the seed, each row with equal probability.

    Args:
        spec: The model.yaml.
        folder: The folder of the model.yaml; a relative ``data.path`` starts there.

    Raises:
        DataError: if there is no file, a file cannot be read as its format, there are no rows, a header names a
            column twice, the columns of the files differ, a column that model.yaml names is absent, or rows are to be
            sampled and the files are not Parquet.
    """
    paths = _paths(spec, folder)
    forms = [_format(path, spec.data) for path in paths]
    version = _version(paths, forms)
    chunks = _chunks(paths, forms, spec)
    if spec.data.rows_in_memory is None or sum(chunk.rows for chunk in chunks) <= spec.data.rows_in_memory:
        frames = [_read(path, form) for path, form in zip(paths, forms, strict=True)]
        is_untyped = set(forms) == {"csv"}
        if not is_untyped:
            frames = [
                read_values(frame, spec, is_untyped=True).frame if form == "csv" else frame
                for frame, form in zip(frames, forms, strict=True)
            ]
        frames = [rename(frame, spec) for frame in frames]
        values = read_values(_combine(frames, paths, spec), spec, is_untyped)
        if is_untyped and len(frames) > 1:
            _check_text(frames, paths, values, spec)
        return Table(replace(values, frame=select_rows(values.frame, spec)), _shaped_version(version, spec))
    rows = sample_rows(chunks, spec.data.rows_in_memory, spec.seed)
    files = list(dict.fromkeys(chunk.path for chunk in chunks))
    frame = _combine(list(read_rows(chunks, rows)), files, spec)
    return Table(read_values(frame, spec, is_untyped=False), version, chunks, rows)


def _version(paths: list[Path], forms: list[str]) -> str:
    digest = hashlib.sha256()
    for path, form in zip(paths, forms, strict=True):
        for part in _read_bytes(path, text=form in {"csv", "jsonl"}):
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def _shaped_version(version: str, spec: Spec) -> str:
    """Return the version of a table that is not that of its files alone."""
    if not spec.data.shape:
        return version
    shape = json.dumps(spec.data.shape, sort_keys=True).encode()
    return f"sha256:{hashlib.sha256(version.encode() + shape).hexdigest()}"


def _chunks(paths: list[Path], forms: list[str], spec: Spec) -> tuple[ParquetChunk, ...]:
    if spec.data.rows_in_memory is None:
        return ()
    if others := [path for path, form in zip(paths, forms, strict=True) if form != "parquet"]:
        raise DataError(
            f"{spec.location('data', 'rows_in_memory')}: {others[0]} is not Parquet, the only format that can be read "
            f"in chunks; convert it, for example with polars: `scan_csv(...).sink_parquet(...)`"
        )
    return split_files(paths)


def _combine(frames: list[pl.DataFrame], paths: list[Path], spec: Spec) -> pl.DataFrame:
    frame = _concatenate(frames, paths)
    if not frame.height:
        raise DataError(f"{paths[0]}: the table has no rows")
    _check_columns(frame, spec)
    left_out = set(spec.data.ignore) - set(spec.slices)
    return _select(frame, [name for name in frame.columns if name not in left_out])


def _paths(spec: Spec, folder: Path) -> list[Path]:
    location, pattern = spec.location("data", "path"), spec.data.path
    literal = folder / pattern
    if literal.is_dir():
        raise DataError(
            f"{location}: {literal} is a folder; name a file or a glob such as '{pattern.rstrip('/')}/*.parquet'"
        )
    if literal.exists():
        return [literal]
    matches = sorted(folder / name for name in glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 (may be absolute)
    files = [path for path in matches if path.is_file()]
    if not files:
        raise DataError(f"{location}: there is no file {literal}; a relative path starts at the folder of model.yaml")
    return files


def _format(path: Path, data: Data) -> str:
    form = _FORMATS.get(path.suffix.lower()) if data.format == "auto" else data.format
    if form is None:
        known = ", ".join(_FORMATS)
        raise DataError(
            f"{path}: the format is unknown for this suffix (known: {known}); name the format under `data.format`"
        )
    return form


def _read_bytes(path: Path, *, text: bool) -> Iterator[bytes]:
    """Yield the bytes of a file in parts, and check on the way that a text file is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                if text:
                    decoder.decode(part)
                yield part
        decoder.decode(b"", final=text)
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: the file is not UTF-8; convert it, for example with `iconv -f WINDOWS-1252 -t UTF-8`"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read: {error.strerror}") from None


def _read(path: Path, form: str) -> pl.DataFrame:
    """Read a file; the columns of a CSV file are text."""
    try:
        with path.open("rb") as file:  # polars would take some names for globs
            if form == "csv":
                return pl.read_csv(file, infer_schema=False, new_columns=_header(path, file))
            if form == "jsonl":
                return pl.read_ndjson(file, infer_schema_length=None)
            return pl.read_parquet(file) if form == "parquet" else pl.read_ipc(file)
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: the table has no rows") from None
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise unreadable(path, form, error) from None


def _header(path: Path, file: BinaryIO) -> list[str]:
    """Read the names exactly; as a header, polars would rename a repeated name and keep doubled quotes."""
    header = [name or "" for name in pl.read_csv(file, has_header=False, n_rows=1, infer_schema=False).row(0)]
    file.seek(0)
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        listed = ", ".join(f"'{name}'" for name in repeated)
        raise DataError(f"{path}: the header names {listed} more than once; every column needs its own name")
    return header


def _concatenate(frames: list[pl.DataFrame], paths: list[Path]) -> pl.DataFrame:
    """Join the files; a column that is empty or numeric in one file takes a type that suits all files."""
    first = frames[0]
    for frame, path in zip(frames[1:], paths[1:], strict=True):
        if differing := set(first.columns) ^ set(frame.columns):
            listed = ", ".join(f"'{name}'" for name in sorted(differing))
            raise DataError(f"{path}: its columns differ from those of {paths[0]}: {listed}")
    aligned = [_select(frame, first.columns) for frame in frames]
    for name in first.columns:
        _check_types([frame[name] for frame in aligned], paths)
    untyped = [
        frame.select(pl.lit(None).alias(s.name) if s.null_count() == s.len() else s for s in frame) for frame in aligned
    ]
    return pl.concat(untyped, how="vertical_relaxed") if len(untyped) > 1 else first


def _check_text(frames: list[pl.DataFrame], paths: list[Path], values: Values, spec: Spec) -> None:
    """Check that no column that is text as a whole has numbers, times or booleans alone in one of the files."""
    names = [name for name in values.frame.columns if values.frame[name].dtype == pl.String]
    parts = [read_values(_select(frame, names), spec, is_untyped=True).frame for frame in frames]
    for name in names:
        _check_types([part[name] for part in parts], paths)


def _select(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Select columns by name; polars' own selection would read a name such as ``*`` or ``^x$`` as a pattern."""
    return pl.DataFrame({name: frame[name] for name in names})


def _check_types(columns: list[pl.Series], paths: list[Path]) -> None:
    filled = [(column, path) for column, path in zip(columns, paths, strict=True) if column.null_count() < column.len()]
    for column, path in filled[1:]:
        first, reference = filled[0]
        if column.dtype != first.dtype and not (column.dtype.is_numeric() and first.dtype.is_numeric()):
            raise DataError(f"{path}: column '{column.name}' is {column.dtype}, but {first.dtype} in {reference}")


def _check_columns(frame: pl.DataFrame, spec: Spec) -> None:
    """Require every column that model.yaml names, and refuse names that polars reads as a pattern."""
    data = spec.data
    required: list[tuple[KeyPath, str | None]] = [
        (("data", role), getattr(data, role)) for role in ("target", "time", "group", "weight")
    ]
    required += [(("data", "ignore", index), name) for index, name in enumerate(data.ignore)]
    required += [(("slices", index), name) for index, name in enumerate(spec.slices)]
    errors = [
        f"{spec.location(*path)}: the table has no column '{name}'{_hint(name, frame.columns)}"
        for path, name in required
        if name is not None and name not in frame.columns
    ]
    errors += [
        f"a column cannot be called '{name}', because polars reads the name as a pattern; rename the column"
        for name in frame.columns
        if name.startswith("^") and name.endswith("$")
    ]
    if errors:
        raise DataError("\n".join(errors))


def _hint(name: str, columns: list[str]) -> str:
    if len(columns) == 1 and any(separator in columns[0] for separator in ";\t|"):
        return "; its header is not separated by commas; write the file as comma-separated values (RFC 4180)"
    listed = ", ".join(f"'{column}'" for column in columns[:20])
    return suggestion(name, columns) or f"; it has {listed}"
