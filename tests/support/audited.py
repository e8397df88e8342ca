"""Programs of Python that write down what they import, open and unpickle."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: A module that Python imports at its start, and whose hook sees what the process does, as the interpreter tells it.
HOOK = """
import os, sys

_file = os.open(f"{os.environ['AUDIT_FOLDER']}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _note(event, arguments):
    if event == "pickle.find_class":
        line = f"unpickle {arguments[0]}.{arguments[1]}"
    elif event == "open" and isinstance(arguments[0], (str, bytes)):
        line = f"open {os.fsdecode(arguments[0])}"
    elif event == "import":
        line = f"import {arguments[0]}"
    else:
        return
    os.write(_file, (line + "\\n").encode("utf-8", "replace"))


sys.addaudithook(_note)
"""

#: Libraries that models are trained with, and that read their files.
LIBRARIES = {
    "catboost", "dill", "joblib", "keras", "lightgbm", "mlflow", "pandas", "scipy", "skops", "sklearn", "tensorflow",
    "torch", "xgboost",
}  # fmt: skip


@dataclass(frozen=True)
class Audit:
    """What the processes of a program did.

    Attributes:
        folder: A folder of the audit alone.
    """

    folder: Path

    def variables(self) -> dict[str, str]:
        """Write the hook, and return the variables that a program is started with."""
        (self.folder / "hook").mkdir(parents=True)
        (self.folder / "notes").mkdir()
        (self.folder / "hook" / "sitecustomize.py").write_text(HOOK)
        path = os.pathsep.join(filter(None, [str(self.folder / "hook"), os.environ.get("PYTHONPATH", "")]))
        return {"PYTHONPATH": path, "AUDIT_FOLDER": str(self.folder / "notes")}

    def of(self, process: int) -> "Notes":
        """Return what one process did so far."""
        lines = (self.folder / "notes" / str(process)).read_text().splitlines()
        return Notes([line.partition(" ")[::2] for line in lines])


@dataclass(frozen=True)
class Notes:
    """What one process did: the kind of each event, and what it was about."""

    events: list[tuple[str, str]]

    def unpickled(self) -> set[str]:
        """Return the classes and functions that pickles named."""
        return set(self._about("unpickle"))

    def opened(self, suffix: str) -> list[str]:
        """Return the files that were opened whose names end with a suffix."""
        return [path for path in self._about("open") if path.endswith(suffix)]

    def libraries(self) -> set[str]:
        """Return which of :data:`LIBRARIES` it imported."""
        return LIBRARIES & {name.partition(".")[0] for name in self._about("import")}

    def _about(self, kind: str) -> Iterator[str]:
        return (about for each, about in self.events if each == kind)
