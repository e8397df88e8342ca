"""model/predictor.py of a package answers and refuses as the service does."""

import base64
import io
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import InvalidRows
from model_deployer.contract.features import (
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberSequence,
    Numeric,
    Tensor,
    Text,
    Vector,
)
from model_deployer.handoff.formats.library import MODULE, write_library
from model_deployer.package.package_data import write_metadata
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.rows.columns import ColumnBuilder, Table
from model_deployer.serving.rows.decoding import Decoder
from model_deployer.serving.rows.tables import TableReader
from tests.support import offline_tables, tiny
from tests.support.tensor_models import image_content

#: Files of images: some are legal for some fields.
CONTENTS = (image_content(0), image_content(1, kind="JPEG"), image_content(2, height=9), image_content(3)[:100], b"AAA")
FILES = [*(base64.b64encode(content).decode() for content in CONTENTS), "no base64"]

#: Fields with everything that a contract can say about a value.
FEATURES: tuple[Feature, ...] = (
    Numeric(name="price", format="$1,234.5", minimum=-10, maximum=9_999, out_of_range="reject"),
    Numeric(name="preis", format="1.234,5 €", missing="impute"),
    Integer(name="seats", format="1 234", minimum=1, out_of_range="reject"),
    Integer(name="floors", missing="impute", required=False, maximum=200, out_of_range="reject"),
    Boolean(name="open", format="yes/no"),
    Categorical(
        name="origin", categories=("EWR", "Île", "ﬁve"), unknown="reject", normalize=("trim", "case", "unicode")
    ),
    Categorical(name="kind", categories=("a", "B"), normalize=("case",), missing="impute"),
    Categorical(name="zone", categories=tuple(f"z{index}" for index in range(30)), unknown="reject"),
    Categorical(name="tail", missing="impute"),
    Datetime(name="day", format="%d/%m/%Y"),
    Datetime(name="month", format="%Y%m", missing="impute"),
    Datetime(name="clock", format="%H:%M", missing="impute"),
    Datetime(name="sent", zoned=True, format="%Y-%m-%d %H:%M%z", missing="impute"),
    Text(name="remark", longest=5),
    Vector(name="embedding", length=3, missing="impute"),
    Vector(name="ids", length=2, integers=True, minimum=0, maximum=9, missing="impute", required=False),
    NumberSequence(name="words", longest=3, integers=True, minimum=0, missing="impute", required=False),
    Tensor(name="matrix", dimensions=(2, 2), integers=True, maximum=9, missing="impute", required=False),
    Tensor(name="signal", dimensions=((1, 3), (1, 2)), missing="impute"),
    Image(name="photo", height=8, width=6, example=FILES[0]),
    Image(name="scan", height=4, width=4, channels=1, resize=True, example=FILES[0]),
)

OF_EVERY_FORM = Contract(features=FEATURES, output=tiny.CONTRACT.output)

CONTRACTS = {"usual": tiny.CONTRACT, "sets": tiny.WITH_SETS, "number": tiny.OF_A_NUMBER, "forms": OF_EVERY_FORM}

#: Values near those that some field accepts.
VALUES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(width=32)
    | st.sampled_from([2**53, 2**53 + 2, 10**400, 1e300, -0.0, 3.0, 20240131, 202401, [1], {}])
    | st.text(max_size=7)
    | st.lists(st.sampled_from([0, 1, 9, 10, 0.5, 3.0, None, True, "1", 1e300, 10**400, math.nan]), max_size=4)
    | st.sampled_from([[1, 2], [0.5, 1, 2], [math.inf, 1, 2]])
    | st.lists(st.lists(st.sampled_from([0, 1, 9, 0.5, None, True, "1", math.inf]), max_size=3), max_size=4)
    | st.sampled_from([[[1, 2], [3, 4]], [[0.5]], [[1, 2], [3]], [[[1]]], [[1], [2], [3]]])
    | st.sampled_from(FILES)
    | st.sampled_from(["$1,234.5", "-$12", "($7.5)", "1.234,5 €", "1.234", "12,34,567", "1 234", "1e400", "\u2212 5"])
    | st.sampled_from(["EWR", " ewr", "I\u0302LE", "five", "FIVE ", "A", "b", "z7", "JFK", "UA", "yes", "NO "])
    | st.sampled_from(["", " ", "\ud800", *("x" * length for length in (201, 1_001))])
    | st.sampled_from(["31/01/2024", "29/02/2023", "202401", "23:59", "24:00", "2024-01-31 12:00+0200", "2024-01-31"])
    | st.datetimes(timezones=st.none() | st.just(UTC)).map(datetime.isoformat)
)


class Service:
    """The path of a request of the service, without its transport."""

    def __init__(self, contract: Contract, folder: Path) -> None:
        self._output = contract.output
        self._decoder, self._tables = Decoder(contract), TableReader(contract)
        self._columns = ColumnBuilder(contract.features)
        self._engine = OnnxEngine(folder / "model.onnx", contract.output)

    def answer(self, rows: list[Any]) -> Any:
        """Return the predictions of rows that are sent as JSON, or the problems of the refusal."""
        return self._answer(lambda: self._decoder(json.dumps({"rows": rows}).encode()))

    def answer_table(self, frame: pl.DataFrame) -> Any:
        """Return the same for a table that is sent as an Arrow stream."""
        stream = io.BytesIO()
        frame.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
        return self._answer(lambda: self._tables(stream.getvalue()))

    def _answer(self, decode: Any) -> Any:
        try:
            rows = decode()
        except InvalidRows as refusal:
            problems = [(problem.row, problem.field, problem.code, problem.message) for problem in refusal.problems]
            return problems, refusal.total
        return self._output.predictions(
            self._engine.run(rows.columns if isinstance(rows, Table) else self._columns(rows))
        )


class Package:
    """The folder ``model/`` of a package, and the service of the same model."""

    def __init__(self, contract: Contract, folder: Path) -> None:
        artifact = Artifact(folder, tiny.write(folder, contract=contract, golden=contract.features == tiny.FEATURES))
        self.service = Service(contract, folder)
        self.folder = folder / "package" / "model"
        self.folder.mkdir(parents=True)
        write_metadata(artifact, True, self.folder.parent)
        (self.folder / "model_v1.0.0.onnx").write_bytes(artifact.model.read_bytes())
        self.library = write_library(self.folder)
        self.model = self.library.module.load()

    def answer(self, data: Any) -> Any:
        """Return the predictions of the library, or the problems of its refusal."""
        try:
            return self.model.predict(data)
        except self.library.module.InvalidRows as refusal:
            return [tuple(problem.values()) for problem in refusal.problems], refusal.total


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    return {name: Package(contract, tmp_path_factory.mktemp(name)) for name, contract in CONTRACTS.items()}


@pytest.fixture(scope="module")
def package(packages: dict[str, Package]) -> Package:
    return packages["usual"]


def rows_of(contract: Contract) -> st.SearchStrategy[list[Any]]:
    """Rows with any values, most of them under the names of the fields."""
    values = {feature.name: VALUES | st.just(getattr(feature, "example", None)) for feature in contract.features}
    return st.lists(st.fixed_dictionaries({}, optional=values | {"disttance": VALUES}) | VALUES, min_size=1, max_size=3)


@pytest.mark.parametrize("name", ["usual", "forms"])
@settings(max_examples=200)
@given(data=st.data())
def test_any_rows_are_answered_or_refused_as_by_the_service(
    packages: dict[str, Package], name: str, data: st.DataObject
) -> None:
    rows = data.draw(rows_of(CONTRACTS[name]))
    assert packages[name].answer(rows) == packages[name].service.answer(rows)


A_ROW = {
    "price": "$1,234.5", "preis": "1.234,5 €", "seats": "1 234", "open": "Yes", "origin": "FIVE", "zone": "z7",
    "day": "31/01/2024", "remark": "", "embedding": [0.5, 1, -2], "ids": [0, 9],
    "photo": FILES[0], "scan": FILES[1],
}  # fmt: skip


@pytest.mark.parametrize(("name", "row"), [("usual", tiny.ROW), ("forms", A_ROW)])
@settings(max_examples=200)
@given(data=st.data())
def test_rows_with_few_changes(
    packages: dict[str, Package], name: str, row: dict[str, Any], data: st.DataObject
) -> None:
    """A valid row with few changes often stays valid, so that predictions are compared as well."""
    changed = row | data.draw(st.dictionaries(st.sampled_from(CONTRACTS[name].names), VALUES, max_size=2))
    assert packages[name].answer([changed]) == packages[name].service.answer([changed])


@pytest.mark.parametrize("text", ["x", "\ud800"])
def test_a_huge_integer_is_refused_alike_whichever_parser_reads_it(package: Package, text: str) -> None:
    """A lone surrogate makes the service use another parser."""
    row = tiny.ROW | {"seats": 10**400, "origin": text}
    problems, _ = package.answer([row])
    assert (problems, 2) == package.service.answer([row])
    assert problems[0][1:3] == ("seats", "not_finite")


@pytest.mark.parametrize("name", ["usual", "sets", "number"])
def test_valid_rows_get_the_answers_of_the_service(packages: dict[str, Package], name: str) -> None:
    rows = offline_tables.rows(90)
    assert packages[name].answer(rows) == packages[name].service.answer(rows)


TIMES = st.from_regex(
    r"(19|20|00|99)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][012][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?"
    r"(Z|z|[+-][012][0-9]:?[0-6][0-9])?",
    fullmatch=True,
)


@settings(max_examples=150)
@given(time=TIMES)
@example("2013-12-31T23:59:59.9999999")
@example("9999-12-31T23:59:59.9999999")
@example("0001-01-01T00:00:00+12:00")
@example("2013-11-01T17:05:60")
@example("2013-11-01T17:05")
@example("2013-11-01T17:05:00\n")
def test_times_are_read_as_by_the_service(package: Package, time: str) -> None:
    for name in ("departure", "booked"):
        assert package.answer([tiny.ROW | {name: time}]) == package.service.answer([tiny.ROW | {name: time}])


def test_many_problems_are_counted_and_the_first_listed(package: Package) -> None:
    rows = [dict.fromkeys(["distanse", *map(str, range(20))], 1)] * 99
    problems, total = package.answer(rows)
    assert total > len(problems) == 1_000
    assert package.service.answer(rows) == (problems, total)


def test_more_rows_than_a_request_may_have(package: Package) -> None:
    """The limits of a request do not apply; rows are predicted in chunks."""
    rows = offline_tables.rows(50) * 100
    assert package.answer(rows) == package.service.answer(rows[:50]) * 100
    assert package.answer([]) == []


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_data_frames_are_answered_as_tables_of_the_service(package: Package, library: str) -> None:
    frame = offline_tables.frame(offline_tables.rows(60)).drop("id")
    frame = frame.with_columns(pl.col("booked").dt.replace_time_zone("UTC"))
    expected = package.service.answer_table(frame)
    assert len(expected) == 60
    # A missing value makes a column of whole numbers one of floats in pandas, and NaN is missing in both.
    assert package.answer(_pandas(frame) if library == "pandas" else frame) == expected
    with_nan = frame.with_columns(pl.col("temp").fill_null(math.nan))
    assert package.answer(_pandas(with_nan) if library == "pandas" else with_nan) == expected


def _pandas(frame: pl.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: frame[name].to_list() for name in frame.columns})


def test_data_frames_are_refused_as_tables_of_the_service(package: Package) -> None:
    frame = offline_tables.frame(offline_tables.rows(9)).drop("id", "seats")
    frame = frame.with_columns(pl.lit(-1.0).alias("distance"), pl.col("departure").dt.replace_time_zone("UTC"))
    expected = package.service.answer_table(frame)
    assert expected[1] == 27
    assert package.answer(frame) == package.answer(_pandas(frame)) == expected


def test_values_of_python_and_numpy_count_as_those_of_json(package: Package) -> None:
    row = tiny.ROW | {"departure": "2013-11-01T00:00:00", "booked": "2013-10-01T08:00:00Z"}
    equal = row | {
        "distance": np.float32(733.5), "seats": np.int64(149), "holiday": np.bool_(False), "origin": np.str_("JFK"),
        "departure": date(2013, 11, 1),
        "booked": datetime(2013, 10, 1, 10, tzinfo=timezone(timedelta(hours=2))),
    }  # fmt: skip
    assert package.answer([equal]) == package.answer([row])
    (problem,), _ = package.answer([row | {"departure": datetime(2013, 11, 1, tzinfo=UTC)}])
    assert problem[1:3] == ("departure", "invalid_datetime")


@pytest.mark.parametrize("data", [None, "rows", {1, 2}, np.zeros((2, 2)), 7])
def test_other_data_is_refused(package: Package, data: Any) -> None:
    with pytest.raises(TypeError, match="list of dicts, or a DataFrame"):
        package.model.predict(data)


def test_transform_returns_the_inputs_of_the_model(package: Package) -> None:
    inputs = package.model.transform([tiny.ROW, {**tiny.ROW, "temp": None, "remark": None, "holiday": True}])
    assert {name: array.shape for name, array in inputs.items()} == dict.fromkeys(tiny.CONTRACT.names, (2, 1))
    assert inputs["departure"][0, 0] == datetime(2013, 11, 1, 17, 5, tzinfo=UTC).timestamp()
    assert math.isnan(inputs["temp"][1, 0])
    assert inputs["remark"][1, 0] == ""
    assert inputs["holiday"].tolist() == [[0.0], [1.0]]
    assert package.model.predict(inputs) == package.answer(
        [tiny.ROW, {**tiny.ROW, "temp": None, "remark": None, "holiday": True}]
    )


def test_predictors_and_refusals_can_be_pickled(package: Package) -> None:
    """So they can be sent to the processes of a pool."""
    with package.library.importable():
        copy = pickle.loads(pickle.dumps(package.model))
        with pytest.raises(package.library.module.InvalidRows) as refused:
            copy.predict([{}])
        error = pickle.loads(pickle.dumps(refused.value))
    assert copy.predict([tiny.ROW]) == package.answer([tiny.ROW])
    assert (error.problems, str(error)) == (refused.value.problems, str(refused.value))
    assert "row 0, distance: the field is required" in str(error)


def test_a_row_with_an_infinite_output_is_refused(package: Package) -> None:
    inputs = package.model.transform([tiny.ROW, tiny.ROW])
    unusual = {"distance": np.array([[0], [math.inf]]), "temp": np.array([[0], [-math.inf]])}
    with pytest.raises(package.library.module.InvalidRows) as refused:
        package.model.predict({**inputs, **unusual})
    (problem,) = refused.value.problems
    assert (problem["row"], problem["code"]) == (1, "refused_by_model")
    assert str(refused.value).startswith("1 problem: row 1: the answer of the model to this row is NaN or infinite")


PROGRAM = """
import json, sys
import predictor
answer = predictor.load().predict(json.load(sys.stdin))
print(json.dumps([answer, sorted(name.partition(".")[0] for name in sys.modules)]))
"""


@pytest.mark.slow
def test_it_needs_onnx_runtime_and_numpy_only(package: Package) -> None:
    command = [sys.executable, "-c", PROGRAM]
    completed = subprocess.run(
        command, cwd=package.folder, input=json.dumps([tiny.ROW]), capture_output=True, text=True, check=True
    )
    answer, modules = json.loads(completed.stdout)
    assert answer == package.answer([tiny.ROW])
    assert {"numpy", "onnxruntime", "predictor"} <= set(modules)
    assert not {"bentoml", "model_deployer", "pydantic", "msgspec", "pandas", "polars"} & set(modules)


@pytest.fixture
def other_module() -> Iterator[ModuleType]:
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module
    yield module
    sys.modules.pop(MODULE)


def test_importing_it_restores_a_module_of_the_same_name(package: Package, other_module: ModuleType) -> None:
    with package.library.importable():
        assert sys.modules[MODULE] is package.library.module
    assert sys.modules[MODULE] is other_module
