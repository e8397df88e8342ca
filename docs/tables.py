"""Refreshes the tables of the reference from the code: ``python docs/tables.py``.

A comment such as ``<!-- table: settings -->`` stands above each of these tables. The code gives the rows and all
columns but the last one. The last column, the meaning, is written by hand; it is kept, and a new row gets "?" there.
``python docs/tables.py --check`` changes nothing and exits with 1 where a table is out of date or a meaning is missing.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from model_deployer.cli.app import app
from model_deployer.contract.errors import PROBLEM_CODES, REQUEST_ERRORS
from model_deployer.contract.value_warnings import WARNING_CODES
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.observability.metric_specs import METRIC_SPECS
from model_deployer.training.spec import (
    AdoptSpec,
    Bound,
    CardSpec,
    Cost,
    Data,
    Estimator,
    FeatureOverride,
    Gates,
    HoldoutSpec,
    LightningSpec,
    LimitsSpec,
    MlflowSpec,
    PixelsSpec,
    Spec,
    SplitSpec,
    TrackingSpec,
    TransformerSpec,
)

DOCS = Path(__file__).parent

#: The last column of a row without a description.
TO_WRITE = "?"

_TABLE = re.compile(r"<!-- table: (?P<name>[\w .]+) -->\n\n(?P<rows>(?:\|.*\n)*)")

#: Names of types for people who do not write Python.
_TYPES: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true`, `false`",
    Path: "file",
    datetime: "date",
    Any: "any value",
}

Row = tuple[str, ...]

#: A header and rows; where the rows are shorter than the header, the last column is the one that is kept.
Table = tuple[Row, Sequence[Row]]


def main() -> None:
    """Write the tables, or compare them."""
    stale = []
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        fresh = refreshed(text)
        if "--check" in sys.argv:
            stale += [path.name] if fresh != text or f"| {TO_WRITE} |\n" in fresh else []
        elif fresh != text:
            path.write_text(fresh, encoding="utf-8")
    if stale:
        sys.exit(f"out of date, or with a meaning to be written: {', '.join(stale)}; run: python docs/tables.py")


def refreshed(text: str) -> str:
    """A document with its tables as the code has them now."""
    return _TABLE.sub(lambda table: _written(table["name"], table["rows"]), text)


def _written(name: str, old: str) -> str:
    header, rows = _TABLES[name]()
    if len(rows[0]) < len(header):
        meanings = _meanings(old)
        rows = [(*row, meanings.get(_key(row), TO_WRITE)) for row in rows]
    lines = [_line(header), f"|{'---|' * len(header)}", *map(_line, rows)]
    return f"<!-- table: {name} -->\n\n" + "".join(f"{line}\n" for line in lines)


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"


def _meanings(table: str) -> dict[str, str]:
    """The last column of each row, by the key of the row."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {_key(row): row[-1] for row in rows}


def _key(row: Sequence[str]) -> str:
    """The cell that names a row: the first one with code in it."""
    return next((cell for cell in row if cell.startswith("`")), "")


def _fields(model: type[BaseModel], *names: str, prefix: str = "") -> Table:
    """Keys of a section of model.yaml or configuration.yaml; all but the sections where none is named."""
    wanted = names or tuple(model.model_fields)
    rows = [_field(prefix + name, model.model_fields[name]) for name in wanted]
    return ("key", "type", "default", "meaning"), rows


def _joined(first: Table, second: Table) -> Table:
    (header, rows), (_, others) = first, second
    return header, [*rows, *others]


def _field(name: str, field: FieldInfo) -> Row:
    return f"`{name}`", _type(field.annotation) + _range(field.metadata), _default(field)


def _type(annotation: Any) -> str:
    arguments = [each for each in get_args(annotation) if each is not NoneType]
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}" if get_origin(arguments[0]) is not Literal else "list of names"
    if origin is dict:
        return "mapping"
    if arguments and origin is not None and not hasattr(origin, "__metadata__"):
        return " or ".join(_annotated(each) for each in arguments)
    return _TYPES.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def _annotated(annotation: Any) -> str:
    metadata: Sequence[Any] = getattr(annotation, "__metadata__", ())
    if not metadata:
        return _type(annotation)
    flat = [each for item in metadata for each in getattr(item, "metadata", [item])]
    return _type(annotation.__origin__) + _range(flat)


def _range(metadata: Sequence[Any]) -> str:
    """The bounds among the constraints of pydantic."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = [
        f"{word} {getattr(each, name):,}" for each in metadata for name, word in words.items() if hasattr(each, name)
    ]
    return f", {' and '.join(bounds)}" if bounds else ""


def _default(field: FieldInfo) -> str:
    default = field.default
    if field.is_required():
        return "required"
    if isinstance(default, tuple) and default:
        return "all" if isinstance(default[0], str) else f"`[{', '.join(f'{number:g}' for number in default)}]`"
    if default is None or default in ((), {}):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return (
        f"{default:,}" if isinstance(default, int) else f"{default:g}" if isinstance(default, float) else f"`{default}`"
    )


def _errors() -> Table:
    rows = [
        (str(error.status), error.grpc_status, f"`{error.code}`", "yes" if error.retry else "no")
        for error in REQUEST_ERRORS
    ]
    return ("status", "gRPC", "code", "retry", "cause"), rows


def _problems() -> Table:
    return ("code", "the value"), [(f"`{code}`", words) for code, words in PROBLEM_CODES.items()]


def _warnings() -> Table:
    return ("code", "the value"), [(f"`{code}`", words) for code, words in WARNING_CODES.items()]


def _metrics() -> Table:
    rows = [(f"`{each.name}`", ", ".join(f"`{label}`" for label in each.labels)) for each in METRIC_SPECS]
    return ("name", "labels", "meaning"), rows


def _command(command: Any) -> Table:
    return ("argument or option", "default", "meaning"), [_parameter(each) for each in command.params]


def _parameter(parameter: Any) -> Row:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    if parameter.required:
        return name, "required"
    return name, "" if default is None or isinstance(default, bool | list) else f"`{default}`"


def _false_alarms() -> Table:
    years = _monitoring()["years"]
    tests = tuple(next(iter(years.values()))["alarms"])
    rows = [
        (world, f"{each['years']:,}", *map(str, (each["years_with_alarms"], *(each["alarms"][test] for test in tests))))
        for world, each in years.items()
    ]
    return ("years without a fault", "model-years", "with any alarm", *tests), rows


def _detection_delays() -> Table:
    faults = _monitoring()["detections"]
    tests = tuple(test for test in next(iter(faults.values()))["days"] if test != "any")
    rows = [
        (
            fault,
            *map(_delays, (each["days"]["any"], each["rows"], *(each["days"][test] for test in tests))),
            each["named"],
        )
        for fault, each in faults.items()
    ]
    return ("planted fault", "first alarm", "rows", *tests, "named"), rows


def _replayed_flights() -> Table:
    rows = [
        (
            each["start"],
            f"{each['table_days']} / {each['live_days']}",
            each["alarm"] or "-",
            each["since"] or "-",
            *(", ".join(f"`{name}`" for name in each[key]) for key in ("moved", "moved_at_end")),
        )
        for each in _monitoring()["replays"]
    ]
    return (
        "live from",
        "days of the table / live",
        "first alarm",
        "since",
        "its fields",
        "fields on the last day",
    ), rows


def _delays(quantiles: Sequence[int | None]) -> str:
    """The median and the 90 % quantile; a dash for what takes longer than the simulation."""
    median, high = ("-" if each is None else f"{each:,}" for each in quantiles)
    return "-" if median == "-" else f"{median} ({high})"


def _monitoring() -> Any:
    return json.loads((DOCS.parent / "benchmarks/results/monitoring.json").read_text())


_NOT_OF_A_NETWORK = (
    "name", "parameters", "candidates", "budget_seconds", "refit", "trials", "accelerator", "devices", "nodes",
)  # fmt: skip

_TABLES: dict[str, Callable[[], Table]] = {
    "model": lambda: _fields(Spec, "name", "description", "business_context", "owner", "license"),
    "card": lambda: _fields(CardSpec),
    "data": lambda: _fields(Data),
    "target": lambda: _fields(
        Spec, "task", "quantile", "positive", "unit", "units", "seed", "strict", "tolerance", "slices"
    ),
    "cost": lambda: _fields(Cost, prefix="cost."),
    "split": lambda: _fields(SplitSpec),
    "features": lambda: _fields(FeatureOverride, *(name for name in FeatureOverride.model_fields if name != "pixels")),
    "pixels": lambda: _fields(PixelsSpec, prefix="pixels."),
    "estimator": lambda: _fields(Estimator, *_NOT_OF_A_NETWORK),
    "transformers": lambda: _fields(TransformerSpec),
    "lightning": lambda: _fields(LightningSpec),
    "network": lambda: _fields(
        Estimator, *(name for name in Estimator.model_fields if name not in (*_NOT_OF_A_NETWORK, "lightning"))
    ),
    "gates": lambda: _fields(Gates),
    "bound": lambda: _fields(Bound),
    "limits": lambda: _fields(LimitsSpec),
    "tracking": lambda: _joined(
        _fields(TrackingSpec, "seconds", prefix="tracking."), _fields(MlflowSpec, prefix="tracking.mlflow.")
    ),
    "holdout": lambda: _fields(HoldoutSpec, prefix="holdout."),
    "adopt": lambda: _fields(AdoptSpec, prefix="adopt."),
    "settings": lambda: _fields(Settings),
    "errors": _errors,
    "problems": _problems,
    "warnings": _warnings,
    "metrics": _metrics,
    "false alarms": _false_alarms,
    "detection delays": _detection_delays,
    "replayed flights": _replayed_flights,
}
_COMMANDS: Any = typer.main.get_command(app)
_TABLES |= {f"command {name}": partial(_command, command) for name, command in _COMMANDS.commands.items()}

if __name__ == "__main__":
    main()
