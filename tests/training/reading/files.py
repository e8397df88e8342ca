"""Read a file as a model.yaml with these keys under ``data`` would."""

from pathlib import Path

from model_deployer.training.data.table import Table, read_table
from model_deployer.training.reading.reader import read_file
from model_deployer.training.reading.table_file import TableFile
from model_deployer.training.spec import Data, Spec


def spec(path: str, **data: object) -> Spec:
    """Return a model.yaml for a table whose target is ``y``."""
    return Spec(name="m", data=Data.model_validate({"path": path, "target": "y"} | data))


def read_one(path: Path, content: bytes | None = None, **data: object) -> TableFile:
    """Read one file, after writing it if there is content."""
    if content is not None:
        path.write_bytes(content)
    return read_file(path, spec(str(path), **data))


def read(folder: Path, path: str, **data: object) -> Table:
    """Read the table of a path that starts at a folder."""
    return read_table(spec(path, **data), folder)
