"""Probe rows: every value at which a model changes its behaviour is in a row."""

import math

import numpy as np
import polars as pl

from model_deployer.adoption.equality.probes import MIXED_ROWS, build_probes
from model_deployer.adoption.interface import Kind

KINDS: dict[str, Kind] = {"age": "number", "city": "text"}


def test_each_threshold_has_its_neighbours_in_double_and_in_single_precision() -> None:
    ages = set(build_probes(KINDS, {"age": {0.1}}, None, 0).frame["age"].to_list())
    single = np.float32(0.1)
    neighbours = [np.nextafter(single, np.float32(sign * math.inf)) for sign in (-1, 1)]
    expected = {0.1, math.nextafter(0.1, -1), math.nextafter(0.1, 1), float(single), *map(float, neighbours)}
    assert expected <= ages


def test_each_category_is_there_and_so_are_missing_and_unknown_ones() -> None:
    probes = build_probes(KINDS, {"city": {"Ulm", "Graz"}}, None, 0)
    assert {"Ulm", "Graz", "", "a category never seen"} <= set(probes.frame["city"].to_list())
    assert probes.frame["age"].is_nan().any()


def test_a_case_names_the_field_and_what_is_unusual() -> None:
    probes = build_probes(KINDS, {"age": {0.5}}, None, 0)
    row = probes.cases.index("age: at 0.5")
    assert probes.frame["age"][row] == 0.5
    assert probes.frame["city"][probes.cases.index("city: missing")] == ""


def test_other_values_are_those_of_rows_of_the_table() -> None:
    table = pl.DataFrame({"age": [30.0] * 50, "city": ["Ulm"] * 50})
    probes = build_probes(KINDS, {}, table, 0)
    single = probes.frame.head(probes.frame.height - MIXED_ROWS)
    assert ((single["age"] == 30.0) | (single["city"] == "Ulm")).any()


def test_the_same_seed_gives_the_same_rows() -> None:
    first, second = (build_probes(KINDS, {"age": {1.0}}, None, 7).frame for _ in range(2))
    assert first.equals(second)


def test_many_fields_without_a_table() -> None:
    """A contract that refuses missing values accepts many of the probe rows, however many fields it has."""
    kinds: dict[str, Kind] = {f"x{position}": "number" for position in range(400)}
    frame = build_probes(kinds, {}, None, seed=0).frame
    assert frame.fill_nan(None).drop_nulls().height > 1000
