"""Classifiers of images: the graph takes the pixels of a file, and answers as torch and ONNX Runtime do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from onnx import TensorProto

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import CheckFailed, DataError, SpecError
from model_deployer.handoff.formats.holdout import read_holdout_rows
from model_deployer.serving.engines.offline import predict
from model_deployer.training.fit import fit
from tests.support import image_networks
from tests.support.case_ids import case_id
from tests.support.image_networks import ADOPT, FEATURES, HEIGHT, LABELS, PIXELS, WIDTH
from tests.support.in_process import deployer, model_store
from tests.support.onnx_graphs import write_network_spec

IMAGES = image_networks.pixels(30)


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> Iterator[None]:
    with model_store(tmp_path / "home"):
        yield


def adopted(folder: Path, source: str, adopt: str = "", data: str = "", features: str = FEATURES) -> Artifact:
    trust = "" if source.endswith(".onnx") else f"  trust: {digest_of(folder / source)}\n"
    return store.load(fit(write_network_spec(folder, source, trust + adopt, data, features)).tag)


def probabilities(artifact: Artifact, images: Any = IMAGES) -> Any:
    answers = predict(artifact, image_networks.rows(images))
    return np.array([list(answer["probabilities"].values()) for answer in answers if answer])


@pytest.mark.parametrize("kind", ["module", "torchscript", "exported", "onnx"])
def test_a_classifier_without_a_table(kind: str, tmp_path: Path) -> None:
    """Colours, gradients and noise prove that the graph scales, normalises and transposes as the source's program."""
    artifact = adopted(tmp_path, image_networks.write(kind, tmp_path), ADOPT)
    expected = image_networks.answers(IMAGES)
    assert len(set(expected.argmax(axis=1))) == 3
    assert np.allclose(probabilities(artifact), expected, atol=1e-6)
    (photo,) = artifact.contract.features
    assert (photo.kind, photo.shape, photo.required) == ("image", (HEIGHT, WIDTH, 3), True)
    evidence = artifact.evaluation.adoption
    assert evidence is not None and evidence.equality is not None
    assert (evidence.equality.flips, evidence.equality.probe_rows) == (0, 16)


def with_table(folder: Path, form: str) -> str:
    """Write a table of images and their kinds, and return the section ``data`` of a model.yaml."""
    images = image_networks.pixels(80, seed=1)
    kinds = [LABELS[index] for index in image_networks.answers(images).argmax(axis=1)]
    kinds_of_files = ["BMP" if form == "wrong" and row == 2 else "PNG" for row in range(len(images))]
    files = [image_networks.file(image, kind) for image, kind in zip(images, kinds_of_files, strict=True)]
    if form == "bytes":
        pl.DataFrame({"photo": files, "kind": kinds}).write_parquet(folder / "table.parquet")
        return "path: table.parquet, target: kind"
    (folder / "photos").mkdir()
    for row, content in enumerate(files):
        (folder / "photos" / f"{row}.png").write_bytes(content)
    paths = [f"{row}.png" for row in range(len(files))]
    pl.DataFrame({"photo": paths, "kind": kinds}).write_csv(folder / "photos" / "table.csv")
    return "path: photos/table.csv, target: kind"


@pytest.mark.parametrize("form", ["paths", "bytes"])
def test_a_table_of_images(form: str, tmp_path: Path) -> None:
    """The table names files next to it, or holds their bytes; its truth is what torch answers."""
    data = with_table(tmp_path, form)
    artifact = adopted(tmp_path, image_networks.write("onnx", tmp_path), ADOPT, data)
    evaluation = artifact.evaluation
    assert list(evaluation.metrics) == ["model", "trivial"]
    assert evaluation.metrics["model"]["accuracy"].value == 1
    assert evaluation.adoption and evaluation.adoption.equality and evaluation.adoption.equality.table_rows == 80
    assert artifact.contract.features[0].example
    holdout = read_holdout_rows(artifact, tmp_path / "model.yaml")
    assert holdout.columns["photo"].shape == (len(holdout), HEIGHT, WIDTH, 3)


def test_a_changed_file_is_another_version_of_the_table(tmp_path: Path) -> None:
    data = with_table(tmp_path, "paths")
    source = image_networks.write("onnx", tmp_path)
    versions = [adopted(tmp_path, source, ADOPT, data).manifest.origin.data_version]
    (tmp_path / "photos" / "0.png").write_bytes(image_networks.file(IMAGES[0]))
    versions.append(adopted(tmp_path, source, ADOPT, data).manifest.origin.data_version)
    assert versions[0] != versions[1]


def test_a_table_with_a_wrong_file(tmp_path: Path) -> None:
    data, source = with_table(tmp_path, "wrong"), image_networks.write("onnx", tmp_path)
    with pytest.raises(DataError, match="column 'photo', row 3: the value is not a PNG or JPEG file"):
        adopted(tmp_path, source, ADOPT, data)
    (tmp_path / "photos" / "5.png").unlink()
    with pytest.raises(DataError, match="column 'photo', row 6: there is no file of this name"):
        adopted(tmp_path, source, ADOPT, data)


def test_the_source_itself_is_served(tmp_path: Path) -> None:
    artifact = adopted(tmp_path, image_networks.write("torchscript", tmp_path), ADOPT + "  serve: runner\n")
    assert not (artifact.path / "model.onnx").exists()
    assert np.allclose(probabilities(artifact), image_networks.answers(IMAGES), atol=1e-6)


PROGRAM = """
import numpy as np

def predict(table):
    return np.array([photo[..., 0].mean() / 255 for photo in table["photo"]])
"""


def test_a_program_gets_the_pixels(tmp_path: Path) -> None:
    """A column of a data frame holds an array for each image."""
    (tmp_path / "m.py").write_text(PROGRAM)
    image = f"features: {{photo: {{kind: image, size: [{HEIGHT}, {WIDTH}], channels: 3}}}}\n"
    artifact = adopted(tmp_path, "m.py", "  serve: runner\n", features=image)
    answers = [answer["value"] for answer in predict(artifact, image_networks.rows(IMAGES)) if answer]
    assert np.allclose(answers, IMAGES[..., 0].mean(axis=(1, 2)) / 255, atol=1e-6)


FIRST, LAST = ([3, HEIGHT, WIDTH], (2, 3)), ([HEIGHT, WIDTH, 3], (1, 2))

INPUTS: list[tuple[Any, int, str, Any]] = [
    (FIRST, TensorProto.FLOAT, "pixels: {range: [-1, 1]}", lambda x: x / 127.5 - 1),
    (FIRST, TensorProto.DOUBLE, "pixels: {range: [0, 255], mean: [100, 110, 120], order: bgr}",
     lambda x: x[..., ::-1] - [100, 110, 120]),
    (LAST, TensorProto.FLOAT, "pixels: {std: [2]}", lambda x: x / 255 / 2),
    (LAST, TensorProto.UINT8, "channels: 3", lambda x: x),
    (FIRST, TensorProto.INT64, "pixels: {order: bgr}", lambda x: x[..., ::-1]),
    (([3, "h", "w"], (2, 3)), TensorProto.FLOAT,
     f"size: [{HEIGHT}, {WIDTH}], pixels: {{range: [0, 1]}}", lambda x: x / 255),
    (([None, None, None], (1, 2)), TensorProto.FLOAT,
     f"size: [{HEIGHT}, {WIDTH}], channels: 3, pixels: {{std: [1], layout: channels_last}}", lambda x: x / 255),
]  # fmt: skip


@pytest.mark.parametrize(("form", "element", "image", "prepare"), INPUTS, ids=case_id)
def test_inputs_of_all_forms(form: Any, element: int, image: str, prepare: Any, tmp_path: Path) -> None:
    sizes, axes = form
    graph = image_networks.mean_graph(sizes, element, axes)
    onnx.save(graph, tmp_path / "m.onnx")
    artifact = adopted(tmp_path, "m.onnx", features=f"features: {{photo: {{kind: image, {image}}}}}\n")
    prepared = prepare(IMAGES.astype(np.float64)).astype(onnx.helper.tensor_dtype_to_np_dtype(element))
    prepared = np.moveaxis(prepared, 3, 1) if axes == (2, 3) else prepared
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (expected,) = session.run(None, {"x": np.ascontiguousarray(prepared)})
    assert np.allclose(probabilities(artifact), expected, atol=1e-6)


def test_an_image_and_a_number(tmp_path: Path) -> None:
    """The probe rows of the number have images, too."""
    graph = image_networks.mean_graph(*FIRST[:1], TensorProto.FLOAT, FIRST[1])
    graph.graph.input.append(onnx.helper.make_tensor_value_info("age", TensorProto.FLOAT, ["n", 1]))
    graph.graph.node[2].output[0] = "products"
    graph.graph.node.insert(3, onnx.helper.make_node("Mul", ["products", "tenth"], ["scores"]))
    graph.graph.node.insert(3, onnx.helper.make_node("Sigmoid", ["age"], ["tenth"]))
    onnx.save(graph, tmp_path / "m.onnx")
    artifact = adopted(tmp_path, "m.onnx", features=f"features: {{x: {{kind: image, {PIXELS}}}}}\n")
    assert [field.kind for field in artifact.contract.features] == ["image", "numeric"]
    row = {"x": image_networks.rows(IMAGES[:1])[0]["photo"], "age": 0.5}
    (answer,) = predict(artifact, [row])
    assert answer is not None
    tensor = np.moveaxis((IMAGES[:1] / 255 - image_networks.MEAN) / image_networks.STD, 3, 1).astype(np.float32)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (expected,) = session.run(None, {"x": tensor, "age": np.array([[0.5]], np.float32)})
    assert np.allclose(list(answer["probabilities"].values()), expected[0], atol=1e-6)


PROCESSOR = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}


def test_what_the_source_says_of_its_pixels_is_shown_and_used(tmp_path: Path) -> None:
    """The files of Hugging Face next to a network name its pixels and its labels; model.yaml says neither."""
    folder = tmp_path / "net"
    folder.mkdir()
    image_networks.write("onnx", folder)
    processor = PROCESSOR | {"image_mean": image_networks.MEAN, "image_std": image_networks.STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    output = deployer("adopt", "net", cwd=tmp_path, home=tmp_path / "home")
    assert "preprocessor_config.json says: pixels range: [0.0, 1.0], mean: [0.485, 0.456, 0.406]" in output.stderr
    assert "{kind: image}  # 3x12x10 for each row" in (tmp_path / "model.yaml").read_text()
    artifact = adopted(tmp_path, "net", "  outputs: logits\n", features="features: {photo: {kind: image}}\n")
    assert np.allclose(probabilities(artifact), image_networks.answers(IMAGES), atol=1e-6)
    assert artifact.contract.output.labels == tuple(LABELS)  # type: ignore[union-attr]


def _image(text: str) -> str:
    return f"features: {{photo: {{kind: image, {text}}}}}\n"


REFUSED: list[tuple[Any, str, type[Exception], str]] = [
    (FIRST[0], _image("channels: 3"), UnreadableSource, "numbers the network takes for the pixels of 'photo': add"),
    (FIRST[0], _image("pixels: {order: bgr}"), UnreadableSource, "numbers the network takes for the pixels of 'photo'"),
    (
        FIRST[0],
        _image(f"size: [24, 20], {PIXELS}"),
        UnreadableSource,
        "of the sizes 3x12x10 for each row, which",
    ),
    (FIRST[0], _image("pixels: {mean: [1, 2]}"), SpecError, "one for each of the three channels"),
    (FIRST[0], _image("pixels: {std: [0]}"), SpecError, "expected numbers above 0"),
    (FIRST[0], _image("pixels: {scale: 3}"), SpecError, "pixels.scale"),
    (FIRST[0], _image("minimum: 3"), SpecError, "an image has no `minimum`"),
    (FIRST[0], "features: {photo: {size: [12, 10]}}\n", SpecError, "`size` needs `kind: image`"),
    (
        [3, "h", "w"],
        _image(PIXELS),
        CheckFailed,
        r"images of any size: add `size: \[height, width\]` to 'photo'",
    ),
    ([None] * 3, _image(f"size: [12, 10], channels: 3, {PIXELS}"), CheckFailed, "channels of 'photo' come first: add"),
]


@pytest.mark.parametrize(("sizes", "features", "error", "message"), REFUSED, ids=case_id)
def test_what_is_refused(sizes: Any, features: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    onnx.save(image_networks.mean_graph(sizes, TensorProto.FLOAT, (2, 3)), tmp_path / "m.onnx")
    with pytest.raises(error, match=message):
        adopted(tmp_path, "m.onnx", features=features)
