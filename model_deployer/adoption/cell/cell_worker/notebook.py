"""Run a notebook, and return the object in it that predicts."""

import inspect
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

#: What begins a command of IPython, which is left out.
_COMMANDS = ("%", "!", "?")


class NotebookError(Exception):
    """A notebook that does not run to its end, or that does not hold one model."""


def load(path: Path, step: "dict[str, Any]") -> Any:
    """Run the code cells of a notebook in its folder, and return the object that predicts.

    Args:
        path: The notebook.
        step: ``key`` is the name of the object, if there are several.

    Raises:
        NotebookError: if a cell raises an error; the message has the number that the cell has in the notebook.
    """
    variables = sys.modules["__main__"].__dict__
    os.chdir(str(path.parent))
    sys.path.insert(0, str(path.parent))
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"], 1):
        if cell["cell_type"] == "code":
            _run(_code(cell), number, variables)
    models = {name: value for name, value in variables.items() if _predicts(name, value)}
    if step.get("key"):
        return variables[step["key"]]
    distinct = {id(value): name for name, value in models.items()}
    if len(distinct) != 1:
        names = ", ".join(models) or "none"
        raise NotebookError(f"one object with 'predict' is needed, and it has {names}: name it, such as notebook#model")
    return models[next(iter(distinct.values()))]


def _code(cell: "dict[str, Any]") -> str:
    lines = "".join(cell["source"]).splitlines()
    return "\n".join("" if line.lstrip().startswith(_COMMANDS) else line for line in lines)


def _run(code: str, number: int, variables: "dict[str, Any]") -> None:
    try:
        exec(compile(code, f"cell {number}", "exec"), variables)
    except BaseException as error:
        message = (str(error).splitlines() or [""])[0][:200]
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == f"cell {number}"]
        where = f"cell {number} line {lines[-1]}" if lines else f"cell {number}"
        raise NotebookError(f"{where}: {type(error).__name__}: {message}") from error


def _predicts(name: str, value: Any) -> bool:
    """Return whether a variable is a fitted model: an object with ``predict`` that has learned something."""
    if name.startswith("_") or inspect.isclass(value) or inspect.ismodule(value) or not hasattr(value, "predict"):
        return False
    is_estimator = hasattr(value, "get_params")
    return not is_estimator or hasattr(value, "n_features_in_") or any(item.endswith("_") for item in vars(value))
