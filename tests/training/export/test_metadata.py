"""model.onnx says by itself what its inputs and outputs mean."""

import json
from datetime import UTC, datetime

import onnx
import onnxruntime

from model_deployer.contract.artifact import Manifest, Provenance
from model_deployer.contract.contract import Contract
from model_deployer.contract.outputs import Regression
from model_deployer.training.export.metadata import describe
from tests.support import tiny


def manifest(day: int = 1) -> Manifest:
    return Manifest(
        name="delays", version="1.2.3", created=datetime(2024, 1, day, tzinfo=UTC), description="Who is late?",
        tolerance=1e-5, origin=Provenance(data_version="sha256:0", seed=0, python="3", libraries={}),
    )  # fmt: skip


def described(contract: Contract, day: int = 1) -> onnx.ModelProto:
    graph = tiny.graph(contract)
    describe(graph, contract, manifest(day))
    return graph


def test_runtimes_read_the_metadata() -> None:
    session = onnxruntime.InferenceSession(described(tiny.CONTRACT).SerializeToString())
    properties = session.get_modelmeta().custom_metadata_map
    assert Contract.model_validate_json(properties.pop("contract")) == tiny.CONTRACT
    assert json.loads(properties.pop("labels")) == ["late", "on_time"]
    assert properties == {
        "name": "delays", "version": "1.2.3", "description": "Who is late?", "target": "arrival",
        "positive": "on_time", "threshold": "0.5",
    }  # fmt: skip


def test_inputs_and_outputs_are_described() -> None:
    graph = described(tiny.CONTRACT).graph
    texts = {value.name: value.doc_string for value in (*graph.input, *graph.output)}
    assert texts["distance"] == "Unit: miles. The number, or NaN if it is missing."
    assert texts["booked"] == "The seconds since 1970-01-01T00:00:00 UTC, or NaN if it is missing."
    assert texts["origin"] == 'The text, or "" if it is missing.'
    assert texts["probabilities"] == "The probability of each label of arrival, in the order of `labels`."
    assert all(texts.values())


def test_a_number_has_its_unit() -> None:
    contract = tiny.OF_A_NUMBER.model_copy(update={"output": Regression(target="delay", unit="minutes")})
    graph = described(contract)
    assert {entry.key: entry.value for entry in graph.metadata_props}["unit"] == "minutes"
    assert [value.doc_string for value in graph.graph.output][:1] == ["The estimate of delay, in minutes."]


def test_the_time_of_training_changes_nothing() -> None:
    first, second = (described(tiny.CONTRACT, day).SerializeToString(deterministic=True) for day in (1, 2))
    assert first == second
