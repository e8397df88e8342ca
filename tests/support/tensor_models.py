"""Models whose fields hold many numbers, written by hand, with the answers of ONNX Runtime itself."""

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Manifest, Provenance, write_json
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.features import Image, NumberSequence, Numeric, Tensor, Vector
from model_deployer.contract.image_file import example_image
from model_deployer.contract.outputs import Classification, VectorOutput
from model_deployer.training.data.request_rows import frame_of_requests
from model_deployer.training.export.export import graph_predictor
from model_deployer.training.export.golden import lines, write_golden
from model_deployer.training.export.metadata import describe
from model_deployer.training.export.reference import reference

LENGTH = 8

LABELS = ("cat", "dog", "fish")

EMBEDDING = Vector(
    name="embedding", length=LENGTH, missing="impute", example=(0.5, -0.25, 1, 0, 0.125, 3.75, -2, 0.1),
    description="The embedding of the text.",
)  # fmt: skip

TOKENS = Vector(
    name="tokens", length=4, integers=True, minimum=0, maximum=9, required=False, missing="impute", example=(1, 2, 0, 0)
)

#: An embedding, tokens and a number.
CONTRACT = Contract(
    features=(EMBEDDING, TOKENS, Numeric(name="age", missing="impute", required=False, example=3.5)),
    output=Classification(target="animal", labels=LABELS, set_threshold=0.1),
    limits=Limits(rows=600, body_bytes=1_000_000, timeout_seconds=10),
)

#: An embedding alone.
ONE_VECTOR = CONTRACT.model_copy(update={"features": (EMBEDDING,)})


def _numbers() -> list[onnx.TensorProto]:
    """Return the doubles that all graphs use: zero for a missing number, and bounds that float32 can add up."""
    numbers = {"_zero": 0.0, "_low": -1e6, "_high": 1e6}
    return [helper.make_tensor(name, TensorProto.DOUBLE, [], [number]) for name, number in numbers.items()]


#: A number for each of three targets, from vectors.
WITH_TARGETS = CONTRACT.model_copy(
    update={
        "output": VectorOutput(
            target="height, weight and age", names=("height", "weight", "age"), units=("cm", None, None), length=3
        )
    }
)


def _last_node(contract: Contract) -> onnx.NodeProto:
    if contract.output.kind == "vector":
        return helper.make_node("Identity", ["_logits"], ["values"])
    return helper.make_node("Softmax", ["_logits"], ["probabilities"], axis=1)


def _output(contract: Contract) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(contract.output.tensors[0], TensorProto.FLOAT, ["rows", len(LABELS)])


def vector_graph(contract: Contract) -> onnx.ModelProto:
    """Return a graph of the probabilities: each field in float32, times a matrix, then softmax. Missing counts as 0.

    A model of several numbers has no softmax.
    """
    random = np.random.default_rng(0)
    nodes, terms, constants = [], [], _numbers()
    for index, feature in enumerate(contract.features):
        weights = random.normal(size=(feature.elements, len(LABELS))).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"_weights{index}"))
        nodes += [
            helper.make_node("IsNaN", [feature.name], [f"_nan{index}"]),
            helper.make_node("Where", [f"_nan{index}", "_zero", feature.name], [f"_value{index}"]),
            helper.make_node("Clip", [f"_value{index}", "_low", "_high"], [f"_clipped{index}"]),
            helper.make_node("Cast", [f"_clipped{index}"], [f"_float{index}"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", [f"_float{index}", f"_weights{index}"], [f"_term{index}"]),
        ]
        terms.append(f"_term{index}")
    nodes += [helper.make_node("Sum", terms, ["_logits"]), _last_node(contract)]
    inputs = [
        helper.make_tensor_value_info(feature.name, TensorProto.DOUBLE, ["rows", *feature.shape])
        for feature in contract.features
    ]
    outputs = [_output(contract)]
    graph = helper.make_graph(nodes, "vectors", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def vector_rows(contract: Contract, count: int) -> list[dict[str, Any]]:
    """Return random rows; some have no value in a field that may be null."""
    random = np.random.default_rng(1)
    rows = []
    for number in range(count):
        row: dict[str, Any] = {"embedding": random.normal(size=LENGTH).astype(np.float32).tolist()}
        row |= {"tokens": random.integers(0, 10, 4).tolist(), "age": round(float(random.normal()), 3)}
        if number % 5 == 4:
            row["embedding"] = None
        if number % 7 == 3:
            row |= {"tokens": None, "age": None}
        rows.append({name: row[name] for name in contract.names})
    return rows


def write_vectors(folder: Path, contract: Contract = CONTRACT) -> Manifest:
    """Write the files of the model, named "served", into ``folder`` and seal them."""
    return write(folder, contract, vector_graph(contract), vector_rows(contract, 50))


def write(folder: Path, contract: Contract, graph: onnx.ModelProto, rows: Sequence[Mapping[str, Any]]) -> Manifest:
    """Write the files of a model as a training or an adoption does, and seal them.

    Args:
        folder: The folder, which is created if it does not exist.
        contract: The contract of the model.
        graph: Its graph.
        rows: Rows of requests in place of a table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        name="served", version="1.0.0", created=datetime(2024, 1, 1, tzinfo=UTC), tolerance=1e-5,
        origin=Provenance(data_version="sha256:0", seed=0, python="3", libraries={}),
    )  # fmt: skip
    describe(graph, contract, manifest)
    predict, frame = graph_predictor(graph), frame_of_requests(contract.features, [dict(row) for row in rows])
    (folder / artifact.MODEL).write_bytes(graph.SerializeToString(deterministic=True))
    write_json(folder / artifact.CONTRACT, contract.model_dump(mode="json"))
    write_json(folder / artifact.EVALUATION, {"task": contract.output.task, "metrics": {}})
    distributions = reference(contract.features, frame, predict(frame), contract.output)
    write_json(folder / artifact.REFERENCE, distributions.to_json())
    golden = lines(write_golden(contract, frame, predict))
    (folder / artifact.GOLDEN).write_text(golden, encoding="utf-8")
    return artifact.seal(folder, manifest)


def answers(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return the numbers of the model in ``folder`` from ONNX Runtime itself, float32 [rows, labels]."""
    session = onnxruntime.InferenceSession(folder / artifact.MODEL)
    (numbers,) = session.run(None, dict(arrays))
    return np.asarray(numbers)


def vector_arrays(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Return the inputs of the graph for rows, by hand: float64 [rows, *shape], NaN for missing."""
    return {
        feature.name: np.array(
            [[np.nan] * feature.elements if row[feature.name] is None else np.ravel(row[feature.name]) for row in rows],
            np.float64,
        )
        for feature in contract.features
    }


PHOTO = Image(name="photo", height=8, width=6, channels=3, example=example_image(8, 6, 3), description="The photo.")

#: A photo and a number that may be left out.
WITH_IMAGE = CONTRACT.model_copy(
    update={"features": (PHOTO, Numeric(name="age", missing="impute", required=False, example=3.5))}
)

#: A photo alone, which is resized.
ONE_IMAGE = CONTRACT.model_copy(update={"features": (PHOTO.model_copy(update={"resize": True}),)})


def image_graph(contract: Contract) -> onnx.ModelProto:
    """Return a graph of the probabilities: pixels scaled to 1, a convolution, their mean, and softmax."""
    random = np.random.default_rng(0)
    kernel = random.normal(size=(len(LABELS), 3, 3, 3)).astype(np.float32)
    constants = [
        numpy_helper.from_array(kernel, "_kernel"),
        helper.make_tensor("_255", TensorProto.FLOAT, [1], [255.0]),
        helper.make_tensor("_axes", TensorProto.INT64, [2], [2, 3]),
        *_numbers(),
    ]
    nodes = [
        helper.make_node("Cast", ["photo"], ["_float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["_float", "_255"], ["_scaled"]),
        helper.make_node("Transpose", ["_scaled"], ["_planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["_planes", "_kernel"], ["_maps"]),
        helper.make_node("ReduceMean", ["_maps", "_axes"], ["_logits"], keepdims=0),
    ]
    if "age" in contract.names:
        nodes += [
            helper.make_node("IsNaN", ["age"], ["_nan"]),
            helper.make_node("Where", ["_nan", "_zero", "age"], ["_age"]),
            helper.make_node("Clip", ["_age", "_low", "_high"], ["_clipped"]),
            helper.make_node("Cast", ["_clipped"], ["_years"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["_logits", "_years"], ["_scores"]),
        ]
    scores = "_scores" if "age" in contract.names else "_logits"
    nodes.append(helper.make_node("Softmax", [scores], ["probabilities"], axis=1))
    types = {"float64": TensorProto.DOUBLE, "uint8": TensorProto.UINT8}
    inputs = [
        helper.make_tensor_value_info(feature.name, types[feature.dtype], ["rows", *feature.shape])
        for feature in contract.features
    ]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", len(LABELS)])]
    graph = helper.make_graph(nodes, "images", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def image_content(number: int, height: int = 8, width: int = 6, kind: str = "PNG", mode: str = "RGB") -> bytes:
    """Return a file with random pixels."""
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    array = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(array).save(file, kind)
    return file.getvalue()


def image_rows(contract: Contract, count: int) -> list[dict[str, Any]]:
    """Return random rows, with PNG and JPEG files in base64."""
    rows = []
    for number in range(count):
        content = image_content(number, kind=("PNG", "JPEG")[number % 2])
        row = {"photo": base64.b64encode(content).decode(), "age": None if number % 3 == 2 else number / 7}
        rows.append({name: row[name] for name in contract.names})
    return rows


def write_images(folder: Path, contract: Contract = WITH_IMAGE) -> Manifest:
    """Write the files of the model, named "served", into ``folder`` and seal them."""
    return write(folder, contract, image_graph(contract), image_rows(contract, 30))


def image_arrays(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Return the inputs of the graph for rows, by hand."""
    files = [Pillow.open(io.BytesIO(base64.b64decode(row["photo"]))).convert("RGB") for row in rows]
    arrays: dict[str, NDArray[Any]] = {"photo": np.stack([np.asarray(file) for file in files])}
    if "age" in contract.names:
        arrays["age"] = np.array([[np.nan if row["age"] is None else row["age"]] for row in rows], np.float64)
    return arrays


WORDS = NumberSequence(
    name="words",
    longest=12,
    integers=True,
    minimum=0,
    maximum=9,
    example=(3, 1, 4),
    description="The words of the text.",
)

SIGNAL = NumberSequence(
    name="signal", shortest=2, longest=20, missing="impute", required=False, example=(0.5, -1.5, 2.0)
)

#: Sequences of whole numbers and of numbers.
WITH_SEQUENCES = CONTRACT.model_copy(update={"features": (WORDS, SIGNAL)})


#: An embedding of two sequences.
WITH_EMBEDDING = WITH_SEQUENCES.model_copy(update={"output": VectorOutput(target="embedding", length=3)})


def sequence_graph(contract: Contract) -> onnx.ModelProto:
    """Return a graph of the probabilities: the mean embedding of the words, plus the masked mean of the signal."""
    random = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array((random.integers(-64, 65, (10, len(LABELS))) / 32).astype(np.float32), "_table"),
        numpy_helper.from_array(random.normal(size=(1, len(LABELS))).astype(np.float32), "_weights"),
        *_numbers(),
        helper.make_tensor("_one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("_axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("_last", TensorProto.INT64, [1], [2]),
    ]
    nodes = []
    for name in contract.names:
        nodes += [
            helper.make_node("IsNaN", [name], [f"_{name}_end"]),
            helper.make_node("Not", [f"_{name}_end"], [f"_{name}_mask"]),
            helper.make_node("Cast", [f"_{name}_mask"], [f"_{name}_ones"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", [f"_{name}_ones", "_axis"], [f"_{name}_sum"], keepdims=1),
            helper.make_node("Max", [f"_{name}_sum", "_one"], [f"_{name}_count"]),
            helper.make_node("Where", [f"_{name}_end", "_zero", name], [f"_{name}_values"]),
        ]
    nodes += [
        helper.make_node("Cast", ["_words_values"], ["_ids"], to=TensorProto.INT64),
        helper.make_node("Gather", ["_table", "_ids"], ["_vectors"]),
        helper.make_node("Unsqueeze", ["_words_ones", "_last"], ["_words_weights"]),
        helper.make_node("Mul", ["_vectors", "_words_weights"], ["_masked"]),
        helper.make_node("ReduceSum", ["_masked", "_axis"], ["_words_total"], keepdims=0),
        helper.make_node("Div", ["_words_total", "_words_count"], ["_words_mean"]),
        helper.make_node("Clip", ["_signal_values", "_low", "_high"], ["_signal_clipped"]),
        helper.make_node("Cast", ["_signal_clipped"], ["_signal_floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["_signal_floats", "_axis"], ["_signal_total"], keepdims=1),
        helper.make_node("Div", ["_signal_total", "_signal_count"], ["_signal_mean"]),
        helper.make_node("MatMul", ["_signal_mean", "_weights"], ["_signal_scores"]),
        helper.make_node("Add", ["_words_mean", "_signal_scores"], ["_logits"]),
        _last_node(contract),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", f"{name}_length"]) for name in contract.names
    ]
    outputs = [_output(contract)]
    graph = helper.make_graph(nodes, "sequences", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def sequence_rows(contract: Contract, count: int) -> list[dict[str, Any]]:
    """Return random rows with sequences of all lengths; some have no signal. The numbers are exact in any order."""
    random = np.random.default_rng(2)
    rows = []
    for number in range(count):
        words = random.integers(0, 10, random.integers(1, 13)).tolist()
        signal = (random.integers(-64, 65, random.integers(2, 21)) / 8).tolist()
        row = {"words": words, "signal": None if number % 4 == 3 else signal}
        rows.append({name: row[name] for name in contract.names})
    return rows


def write_sequences(folder: Path, contract: Contract = WITH_SEQUENCES) -> Manifest:
    """Write the files of the model, named "served", into ``folder`` and seal them."""
    return write(folder, contract, sequence_graph(contract), sequence_rows(contract, 40))


def sequence_arrays(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Return the inputs of the graph for rows, by hand: padded with NaN to the longest sequence."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in contract.names:
        lists = [row[name] or [] for row in rows]
        width = max(1, *map(len, lists))
        arrays[name] = np.array([each + [np.nan] * (width - len(each)) for each in lists], np.float64)
    return arrays


SPECTROGRAM = Tensor(
    name="spectrogram", dimensions=((1, 6), 4), example=((0.5, -1, 2, 0), (1, 1, 0.25, 3)),
    description="The energy of four bands over time.",
)  # fmt: skip

MATRIX = Tensor(
    name="matrix", dimensions=(2, 3), integers=True, minimum=0, maximum=9, missing="impute", required=False,
    example=((1, 2, 3), (4, 5, 6)),
)  # fmt: skip

#: A tensor with a free axis, a matrix that may be missing, and a number.
WITH_TENSORS = CONTRACT.model_copy(
    update={"features": (SPECTROGRAM, MATRIX, Numeric(name="age", missing="impute", required=False, example=3.5))}
)

#: A tensor alone.
ONE_TENSOR = CONTRACT.model_copy(update={"features": (SPECTROGRAM,)})


def tensor_graph(contract: Contract) -> onnx.ModelProto:
    """Return a graph of the probabilities: the mean over time of each tensor, times a matrix, and softmax.

    It divides by the size of the whole batch, and so shows padding that it should not get. Missing counts as 0.
    """
    random = np.random.default_rng(3)
    constants = [*_numbers(), helper.make_tensor("_axis", TensorProto.INT64, [1], [1])]
    nodes, terms, inputs = [], [], []
    for index, feature in enumerate(contract.features):
        last = f"_float{index}"
        nodes += [
            helper.make_node("IsNaN", [feature.name], [f"_nan{index}"]),
            helper.make_node("Where", [f"_nan{index}", "_zero", feature.name], [f"_value{index}"]),
            helper.make_node("Clip", [f"_value{index}", "_low", "_high"], [f"_clipped{index}"]),
            helper.make_node("Cast", [f"_clipped{index}"], [last], to=TensorProto.FLOAT),
        ]
        if isinstance(feature, Tensor):
            nodes.append(helper.make_node("ReduceMean", [last, "_axis"], [f"_mean{index}"], keepdims=0))
            last = f"_mean{index}"
        weights = random.normal(size=(feature.shape[-1], len(LABELS))).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"_weights{index}"))
        nodes.append(helper.make_node("MatMul", [last, f"_weights{index}"], [f"_term{index}"]))
        terms.append(f"_term{index}")
        sizes = feature.open_shape if isinstance(feature, Tensor) else feature.shape
        shape = ["rows", *(f"{feature.name}_{axis}" if size < 0 else size for axis, size in enumerate(sizes))]
        inputs.append(helper.make_tensor_value_info(feature.name, TensorProto.DOUBLE, shape))
    nodes += [helper.make_node("Sum", terms, ["_logits"]), _last_node(contract)]
    graph = helper.make_graph(nodes, "tensors", inputs, [_output(contract)], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def tensor_rows(contract: Contract, count: int) -> list[dict[str, Any]]:
    """Return random rows with tensors of all shapes; some have no matrix and no number."""
    random = np.random.default_rng(4)
    rows = []
    for number in range(count):
        row: dict[str, Any] = {"spectrogram": (random.integers(-64, 65, (random.integers(1, 7), 4)) / 8).tolist()}
        row |= {"matrix": random.integers(0, 10, (2, 3)).tolist(), "age": round(float(random.normal()), 3)}
        if number % 4 == 3:
            row |= {"matrix": None, "age": None}
        rows.append({name: row[name] for name in contract.names})
    return rows


def write_tensors(folder: Path, contract: Contract = WITH_TENSORS) -> Manifest:
    """Write the files of the model, named "served", into ``folder`` and seal them."""
    return write(folder, contract, tensor_graph(contract), tensor_rows(contract, 40))


def tensor_answers(folder: Path, contract: Contract, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
    """Return the numbers of the model from ONNX Runtime itself, row by row, so that no tensor is padded."""
    session = onnxruntime.InferenceSession(folder / artifact.MODEL)
    answers = []
    for row in rows:
        inputs = {
            feature.name: np.full((1, *feature.shape), np.nan)
            if row[feature.name] is None
            else np.array([row[feature.name]], np.float64).reshape(1, *(np.shape(row[feature.name]) or feature.shape))
            for feature in contract.features
        }
        answers.append(session.run(None, inputs)[0])
    return np.concatenate(answers)
