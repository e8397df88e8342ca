"""A model that is written by hand, with a feature of every kind: a real artifact for tests without training."""

import json
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from model_deployer.contract import artifact, store
from model_deployer.contract.artifact import Manifest, Provenance
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.features import (
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Integer,
    NumberArray,
    Numeric,
    Text,
)
from model_deployer.contract.outputs import Classification, Regression

FEATURES = (
    Numeric(name="distance", minimum=0, maximum=5000, out_of_range="reject", unit="miles", example=733.5),
    Numeric(name="temp", required=False, missing="impute", minimum=-20, maximum=110, example=51.1),
    Integer(name="seats", minimum=1, maximum=500, out_of_range="reject", example=149),
    Boolean(name="holiday", required=False, missing="impute", example=False),
    Categorical(name="origin", categories=("EWR", "JFK", "LGA"), unknown="reject", example="JFK"),
    Categorical(name="carrier", categories=("AA", "UA"), required=False, missing="impute", example="UA"),
    Datetime(name="departure", example="2013-11-01T17:05:00"),
    Datetime(name="booked", zoned=True, required=False, missing="impute", example="2013-10-01T08:00:00Z"),
    Text(name="remark", required=False, missing="impute", longest=200, example="wheelchair"),
)

CONTRACT = Contract(
    features=FEATURES,
    output=Classification(target="arrival", labels=("late", "on_time"), positive="on_time", threshold=0.5),
    limits=Limits(rows=100, body_bytes=100_000, timeout_seconds=10),
)

#: A contract with three labels and prediction sets.
WITH_SETS = CONTRACT.model_copy(
    update={"output": Classification(target="arrival", labels=("late", "on_time", "early"), set_threshold=0.2)}
)

#: A contract of a regression.
OF_A_NUMBER = CONTRACT.model_copy(update={"output": Regression(target="delay")})

#: A contract with two numbers of any size. The model answers :data:`UNANSWERED` with NaN.
UNBOUNDED = CONTRACT.model_copy(
    update={
        "features": (
            Numeric(name="distance", example=733.5),
            Numeric(name="temp", required=False, missing="impute", example=51.1),
            *FEATURES[2:],
        )
    }
)

REFERENCE: dict[str, Any] = {
    "features": {
        "distance": {"missing": 0.0, "quantiles": [50.0 * step for step in range(21)]},
        "temp": {"missing": 0.1, "quantiles": [30.0] * 11 + [60.0] * 10},
        "origin": {"missing": 0.0, "frequencies": {"JFK": 0.6, "EWR": 0.3}, "other": 0.1},
        "remark": {"missing": 0.5, "lengths": [float(step) for step in range(21)]},
    },
    "predictions": {"probabilities[1]": {"quantiles": [step / 20 for step in range(21)]}},
}

#: The content of evaluation.json, without the task.
EVALUATION: dict[str, Any] = {"metrics": {}}

ROW: dict[str, Any] = CONTRACT.example()

UNANSWERED: dict[str, Any] = ROW | {"distance": 1e308, "temp": -1e308}


def graph(contract: Contract, opposite: bool = False) -> onnx.ModelProto:
    """Return a graph whose probabilities depend on every input.

    With three labels, the third one takes a quarter of the probability that the second one would have. For a
    regression, ``value``, ``lower`` and ``upper`` are three quarters, a quarter and all of a probability.

    Args:
        contract: The contract of the model.
        opposite: Whether the two labels swap their probabilities.
    """
    nodes, terms = [], []
    labels = len(contract.output.labels) if isinstance(contract.output, Classification) else 1
    names = contract.output.tensors
    parts = ["_q", "_second", "_third"] if labels == 3 else ["_p", "_q"] if opposite else ["_q", "_p"]
    for index, feature in enumerate(contract.features):
        term = f"_term{index}"
        if feature.dtype == "string":
            nodes.append(
                helper.make_node(
                    "LabelEncoder", [feature.name], [term], domain="ai.onnx.ml",
                    keys_strings=["", "JFK"], values_floats=[0.0, -0.7], default_float=0.3,
                )
            )  # fmt: skip
        elif feature.dtype == "uint8":
            nodes += [
                helper.make_node("Cast", [feature.name], [f"_float{index}"], to=TensorProto.FLOAT),
                helper.make_node("Div", [f"_float{index}", "_scale"], [f"_scaled{index}"]),
                helper.make_node("Flatten", [f"_scaled{index}"], [f"_flat{index}"], axis=1),
                helper.make_node("ReduceSum", [f"_flat{index}", "_axis"], [term], keepdims=1),
            ]
        else:
            nodes += [
                helper.make_node("IsNaN", [feature.name], [f"_nan{index}"]),
                helper.make_node("Where", [f"_nan{index}", "_zero", feature.name], [f"_value{index}"]),
                helper.make_node("Cast", [f"_value{index}"], [f"_float{index}"], to=TensorProto.FLOAT),
                helper.make_node("Div", [f"_float{index}", "_scale"], [f"_scaled{index}"]),
                helper.make_node("Flatten", [f"_scaled{index}"], [f"_flat{index}"], axis=1),
                helper.make_node("ReduceSum", [f"_flat{index}", "_axis"], [term], keepdims=1),
            ]
        terms.append(term)
    nodes += [
        helper.make_node("Sum", terms, ["_logit"]),
        helper.make_node("Sigmoid", ["_logit"], ["_p"]),
        helper.make_node("Sub", ["_one", "_p"], ["_q"]),
        helper.make_node("Mul", ["_p", "_quarter"], ["_third"]),
        helper.make_node("Sub", ["_p", "_third"], ["_second"]),
        helper.make_node("Concat", parts, ["probabilities"], axis=1),
    ]
    if isinstance(contract.output, Regression):
        ends = zip(("_second", "_third", "_p"), names, strict=True)
        nodes += [helper.make_node("Identity", [part], [name]) for part, name in ends]
    constants = [
        helper.make_tensor("_zero", TensorProto.DOUBLE, [1], [0.0]),
        helper.make_tensor("_axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("_one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("_quarter", TensorProto.FLOAT, [1], [0.25]),
        helper.make_tensor("_scale", TensorProto.FLOAT, [1], [1e9]),
    ]
    types = {"float64": TensorProto.DOUBLE, "string": TensorProto.STRING, "uint8": TensorProto.UINT8}
    inputs = [helper.make_tensor_value_info(f.name, types[f.dtype], ["rows", *_sizes(f)]) for f in contract.features]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", labels]) for name in names]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 4)]
    return helper.make_model(
        helper.make_graph(nodes, "tiny", inputs, outputs, constants), opset_imports=opsets, ir_version=10
    )


def _sizes(feature: Feature) -> list[Any]:
    if feature.kind == "sequence":
        return [f"{feature.name}_length"]
    sizes = feature.open_shape if isinstance(feature, NumberArray) else feature.shape
    return [f"{feature.name}_{axis}" if size < 0 else size for axis, size in enumerate(sizes)]


def write(
    folder: Path,
    name: str = "tiny",
    version: str = "1.0.0",
    contract: Contract = CONTRACT,
    *,
    opposite: bool = False,
    evaluation: Mapping[str, Any] = EVALUATION,
    golden: bool = True,
) -> Manifest:
    """Write the files of the model into ``folder`` and seal them.

    Args:
        folder: The folder, which is created if it does not exist.
        name: The name of the model.
        version: The version of the model.
        contract: The contract of the model.
        opposite: Whether the two labels swap their probabilities.
        evaluation: The content of evaluation.json, without the task.
        golden: Whether there is a golden request; it needs the features of this file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph(contract, opposite), folder / artifact.MODEL)
    artifact.write_json(folder / artifact.CONTRACT, contract.model_dump(mode="json"))
    artifact.write_json(folder / artifact.EVALUATION, {"task": contract.output.task} | dict(evaluation))
    artifact.write_json(folder / artifact.REFERENCE, _reference(contract))
    if golden:
        _write_golden(folder, contract)
    manifest = Manifest(
        name=name, version=version, created=datetime(2024, 1, 1, tzinfo=UTC), description="A model for tests.",
        tolerance=1e-5, origin=Provenance(data_version="sha256:0", seed=0, python="3", libraries={}),
    )  # fmt: skip
    return artifact.seal(folder, manifest)


def save(
    folder: Path, name: str = "tiny", version: str = "1.0.0", contract: Contract = CONTRACT, **options: Any
) -> str:
    """Write the model, save it in the store of BENTOML_HOME and return its tag; ``options`` are those of ``write``."""
    return store.save(folder, write(folder, name, version, contract, **options))


def home(folder: Path, *versions: str) -> Path:
    """Return a BentoML home for another process, with these versions of the model, named "served"."""
    for version in versions:
        save(folder / "files" / version, "served", version)
    return _move_model(folder)


def home_of(folder: Path, files: Path, manifest: Manifest) -> Path:
    """Return a BentoML home for another process, with the sealed files of a model named "served"."""
    store.save(files, manifest)
    return _move_model(folder)


def _move_model(folder: Path) -> Path:
    stored = Path(os.environ["BENTOML_HOME"]) / "models" / "served"
    shutil.copytree(stored, folder / "models" / "served")
    shutil.rmtree(stored)
    return folder


def _reference(contract: Contract) -> dict[str, Any]:
    (bins,) = REFERENCE["predictions"].values()
    return REFERENCE | ({"predictions": {"value[0]": bins}} if isinstance(contract.output, Regression) else {})


def _write_golden(folder: Path, contract: Contract) -> None:
    """Write the golden request of the example row. Its columns are hand-written, independent of the serving code."""
    epoch = datetime(1970, 1, 1)
    columns = {
        "distance": 733.5, "temp": 51.1, "seats": 149.0, "holiday": 0.0, "age": 3.0,
        "origin": "JFK", "carrier": "UA", "remark": "wheelchair",
        "departure": (datetime(2013, 11, 1, 17, 5) - epoch).total_seconds(),
        "booked": (datetime(2013, 10, 1, 8) - epoch).total_seconds(),
    }  # fmt: skip
    session = onnxruntime.InferenceSession(str(folder / artifact.MODEL))
    arrays = {
        feature.name: np.array([[columns[feature.name]]], dtype=object if feature.dtype == "string" else np.float64)
        for feature in contract.features
    }
    outputs = dict(zip(contract.output.tensors, session.run(None, arrays), strict=True))
    prediction = contract.output.predictions(outputs)[0]
    line = json.dumps({"case": "example", "row": contract.example(), "prediction": prediction})
    (folder / artifact.GOLDEN).write_text(line + "\n", encoding="utf-8")
