"""Text files that a query of DuckDB names: they are read as every other table is, so that nothing is guessed."""

import re
from pathlib import Path

from model_deployer.contract.errors import SpecError
from model_deployer.training.data.values import describe, raise_questions, read_values
from model_deployer.training.reading.content import open_content
from model_deployer.training.reading.reader import read_file
from model_deployer.training.spec import Spec

#: A file in the place of a table.
_FILE = re.compile(r"(?P<before>\b(?:from|join)\s+|,\s*)'(?P<file>[^'*?\[]+)'", re.IGNORECASE)

#: Functions of DuckDB that guess the types of text; with all columns as text they do not.
_GUESS = re.compile(r"\b(read_csv|read_csv_auto|read_json|read_json_auto|read_ndjson|read_xlsx)\s*\(", re.IGNORECASE)

#: The kinds of files that have types: DuckDB reads them.
_TYPED_KINDS = ("parquet", "duckdb", "sqlite")


def write_query_files(spec: Spec, folder: Path, target: Path) -> tuple[str, list[str]]:
    """Write the files that ``data.query`` names as Parquet files, with the values that they mean.

    Args:
        spec: The model.yaml.
        folder: Its folder, where the paths in the query start.
        target: An empty folder for the Parquet files.

    Returns:
        The query with the paths of the Parquet files, and what was read in another form than the usual one.

    Raises:
        DataError: if a file cannot be read, or a value can be read in more than one way.
        SpecError: if the query calls a function that guesses types.
    """
    query = str(spec.data.query)
    notes: list[str] = []

    def replace(match: re.Match[str]) -> str:
        path = folder / Path(match["file"]).expanduser()
        if not path.is_file() or open_content(path, None)[1] in _TYPED_KINDS:
            return match[0]
        table = read_file(path, spec)
        values = read_values(table.frame, spec, table.is_text, table.has_semicolons)
        raise_questions(values.questions)
        notes.extend([*(f"{path.name}: {note}" for note in table.notes), *describe(values)])
        file = target / f"{len(list(target.iterdir()))}.parquet"
        values.frame.write_parquet(file)
        return f"{match['before']}'{file}'"

    if (guess := _GUESS.search(query)) and "all_varchar" not in query:
        raise SpecError(
            f"{spec.location('data', 'query')}: {guess[1].lower()} guesses dates and numbers; name the file in the "
            "place of the table, as in `FROM 'orders.csv'`, and it is read as every other table is"
        )
    return _FILE.sub(replace, query), notes
