"""Read one file of a table batch by batch if its kind allows it, and else as a whole."""

from pathlib import Path

import polars as pl

from model_deployer.training.reading.byte_counts import count_bytes
from model_deployer.training.reading.content import Content, open_content
from model_deployer.training.reading.dialect import NULL, Dialect, infer_dialect
from model_deployer.training.reading.reader import read_file
from model_deployer.training.reading.table_file import named
from model_deployer.training.reading.text import read_text
from model_deployer.training.spec import Spec


def scan_file(path: Path, spec: Spec) -> pl.LazyFrame:
    """Return the rows of a file; those of Parquet, Arrow and usual CSV files are not in memory together.

    Raises:
        DataError: if the file cannot be read as a table.
        SpecError: if model.yaml states wrongly how the file is written.
        EnvironmentFault: if a package that reads this kind of file is missing.
    """
    content, kind = open_content(path, None if spec.data.format == "auto" else spec.data.format)
    if isinstance(content.source, Path):
        if kind == "parquet":
            return pl.scan_parquet(content.source, glob=False, hive_partitioning=False)
        if kind == "arrow" and content.head(6) == b"ARROW1":
            return pl.scan_ipc(content.source, glob=False, hive_partitioning=False)
        if kind == "csv" and (frame := _scan_delimited(content, spec)) is not None:
            return frame
    return read_file(path, spec).frame.lazy()


def _scan_delimited(content: Content, spec: Spec) -> pl.LazyFrame | None:
    """Return the rows of a delimited text as strings; None if polars cannot read it from the file as it is."""
    text = read_text(content, spec)
    has_newlines = "\n" in text.sample or "\r" not in text.sample
    if not isinstance(text.content.source, Path) or not has_newlines or spec.data.footer_rows:
        return None
    dialect = infer_dialect(text, spec)
    if dialect.separators.has_rules or dialect.separators.is_escaped:
        return None
    if count_bytes(text.content, dialect.separators).has_inner_quotes:
        return None
    frame = _with_names(_scan(text.content.source, dialect), dialect, content.path)
    if dialect.separators.is_spaced:
        frame = frame.with_columns(pl.all().str.strip_chars(" ").replace("", None))
    is_blank = pl.all_horizontal(pl.all().is_null())
    return frame.filter(~is_blank) if len(dialect.names) > 1 else frame


def _scan(path: Path, dialect: Dialect) -> pl.LazyFrame:
    return pl.scan_csv(
        path,
        has_header=False,
        separator=dialect.separators.delimiter,
        quote_char=dialect.separators.quote,
        skip_lines=dialect.first - 1,
        schema={str(index): pl.String() for index in range(len(dialect.names))},
        infer_schema=False,
        null_values=NULL,
        glob=False,
    )


def _with_names(frame: pl.LazyFrame, dialect: Dialect, path: Path) -> pl.LazyFrame:
    """Return the columns with their names; a column without a name is left out.

    Raises:
        DataError: if a name is repeated.
    """
    named(pl.DataFrame(schema=[str(index) for index in range(len(dialect.names))]), dialect.names, path)
    names = {str(index): name for index, name in enumerate(dialect.names) if name or len(dialect.names) == 1}
    return frame.select(pl.col(index).alias(name) for index, name in names.items())
