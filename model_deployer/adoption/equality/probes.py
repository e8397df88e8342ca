"""Rows that are built from a model, to find where a graph and its source differ.

Random rows miss most faults: a wrong comparison shows only at a threshold, and a wrong category only with that
category. Therefore each value at which the model changes its behaviour is in a row of its own.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from model_deployer.adoption.interface import Kind
from model_deployer.contract.features import MAX_EXACT_INTEGER

#: The maximum number of probe rows, and of rows in which every field has a critical value.
MAX_ROWS, MIXED_ROWS = 100_000, 2_500

#: A number beyond this is an unusual one.
_MAX_USUAL = 1e6

#: Numbers that programs treat differently: zeros, the first whole number that float32 lacks, and large numbers.
_NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0**24 + 1, -(2.0**24) - 1, 1e9, -1e9, 1e30, -1e30)

#: A category that no model knows, and texts that programs treat differently.
_TEXTS = ("a category never seen", " ", "nan", "None", "0", "\u00e9t\u00e9 \u597d")

#: How the description begins of a row in which every value may be unusual.
MIXED_CASE = "a row of unusual values"

_Value = float | str


@dataclass(frozen=True)
class Probes:
    """The probe rows of a model.

    Attributes:
        frame: One Float64 or String column per field, with NaN and "" for missing values.
        cases: For each row, the field that has an unusual value, and what is unusual.
    """

    frame: pl.DataFrame
    cases: tuple[str, ...]


def build_probes(
    kinds: Mapping[str, Kind],
    critical: Mapping[str, set[_Value]],
    table: pl.DataFrame | None,
    seed: int,
    whole: Collection[str] = (),
) -> Probes:
    """Return probe rows for every field.

    Each has one unusual value; its other values are those of a row of the table or, in turn, critical values. Without a
    table, all values are critical ones. Some rows have unusual values only, and some usual ones: a contract
    of many fields accepts few of the former.

    Args:
        kinds: The kind of each field, by name.
        critical: Values of each field at which the model changes its behaviour.
        table: Rows in the form of the graph's inputs, with all fields; None without a table.
        seed: The seed of the choice of rows and values.
        whole: The fields that hold whole numbers only: they get those next to the critical values.
    """
    random = np.random.default_rng(seed)
    values = {
        name: _unusual_values(kind, critical.get(name, set()), _present(table, name)) for name, kind in kinds.items()
    }
    values |= {name: _whole(values[name]) for name in whole}
    usual = {name: _usual(values[name], kind, critical.get(name, ())) for name, kind in kinds.items()}
    mixed = pl.concat([_mixed_rows(choices, kinds, random) for choices in (values, usual)])
    bases = mixed.tail(MIXED_ROWS)
    bases = bases if table is None or not table.height else pl.concat([table.select(list(kinds)), bases])
    cases = _thinned([(name, value, case) for name in kinds for value, case in values[name]], random)
    rows = bases[random.integers(bases.height, size=len(cases))]
    columns = {name: rows[name].to_list() for name in kinds}
    for row, (name, value, _) in enumerate(cases):
        columns[name][row] = value
    frame = pl.DataFrame(columns, schema=_schema(kinds))
    described = [f"{name}: {case}" for name, _, case in cases]
    described += [f"{MIXED_CASE}, number {row + 1}" for row in range(mixed.height)]
    return Probes(pl.concat([frame, mixed]), tuple(described))


def _schema(kinds: Mapping[str, Kind]) -> dict[str, type[pl.DataType]]:
    return {name: pl.Float64 if kind == "number" else pl.String for name, kind in kinds.items()}


def _present(table: pl.DataFrame | None, name: str) -> list[_Value]:
    """Return up to 50 different values of the table."""
    if table is None:
        return []
    values = table[name].unique().sort()
    return values.gather_every(max(1, len(values) // 50)).to_list()


def _unusual_values(kind: Kind, critical: set[_Value], present: Sequence[_Value]) -> list[tuple[_Value, str]]:
    """Return the values to probe, each once, with what is unusual about it."""
    described = (_numbers if kind == "number" else _texts)(critical, present)
    first = {repr(value): (value, case) for value, case in reversed([*described])}
    return list(reversed(first.values()))


def _usual(
    values: Sequence[tuple[_Value, str]], kind: Kind, critical: Collection[_Value]
) -> Sequence[tuple[_Value, str]]:
    """Return the values that most contracts accept: categories that the model knows, and numbers that are not huge."""
    if kind == "number":
        usual = [item for item in values if abs(float(item[0])) <= _MAX_USUAL]
    else:
        usual = [item for item in values if item[0] in critical or item[1] == "a value of the table"]
    return usual or values


def _whole(values: Sequence[tuple[_Value, str]]) -> list[tuple[_Value, str]]:
    """Return the whole numbers next to some numbers, each once; those that a contract accepts."""
    first: dict[str, tuple[_Value, str]] = {}
    for value, case in values:
        number = float(value)
        for neighbour in (number,) if math.isnan(number) else (math.floor(number), math.ceil(number)):
            if not abs(neighbour) > MAX_EXACT_INTEGER:
                first.setdefault(repr(float(neighbour)), (float(neighbour), case))
    return list(first.values())


def _numbers(critical: set[_Value], present: Sequence[_Value]) -> Iterator[tuple[float, str]]:
    yield math.nan, "missing"
    for value in sorted(float(value) for value in critical if math.isfinite(float(value))):
        yield value, f"at {value:.17g}"
        single = float(np.float32(value))
        for step, word in ((-math.inf, "below"), (math.inf, "above")):
            yield math.nextafter(value, step), f"the next double {word} {value:.17g}"
            yield float(np.nextafter(np.float32(single), np.float32(step))), f"the next float32 {word} {value:.17g}"
        yield single, f"{value:.17g} as float32"
    for value in _NUMBERS:
        yield value, f"{value:.17g}"
    for number in present:
        yield float(number), "a value of the table"


def _texts(critical: set[_Value], present: Sequence[_Value]) -> Iterator[tuple[str, str]]:
    yield "", "missing"
    for value in sorted(str(value) for value in critical):
        yield value, f"the category '{value}'"
        yield value.upper(), f"the category '{value}' in capitals"
        yield f"{value} ", f"the category '{value}' with a space"
    for value in _TEXTS:
        yield value, f"the text '{value}'"
    for text in present:
        yield str(text), "a value of the table"


def _mixed_rows(
    values: Mapping[str, Sequence[tuple[_Value, str]]], kinds: Mapping[str, Kind], random: np.random.Generator
) -> pl.DataFrame:
    """Return rows in which each field has one of its unusual values."""
    columns = {}
    for name, choices in values.items():
        columns[name] = [choices[index][0] for index in random.integers(len(choices), size=MIXED_ROWS)]
    return pl.DataFrame(columns, schema=_schema(kinds))


def _thinned(cases: list[tuple[str, _Value, str]], random: np.random.Generator) -> list[tuple[str, _Value, str]]:
    """Return at most ``MAX_ROWS`` of the cases, in their order."""
    if len(cases) <= MAX_ROWS:
        return cases
    return [cases[index] for index in np.sort(random.choice(len(cases), MAX_ROWS, replace=False))]
