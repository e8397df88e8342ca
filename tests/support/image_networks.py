"""A small classifier of images in torch, as teams hand it over, and its own answers."""

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow
from torch import nn

from tests.support.onnx_graphs import softmax

HEIGHT, WIDTH = 12, 10

LABELS = ["cat", "dog", "owl"]

#: The numbers of torchvision.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

PIXELS = f"pixels: {{range: [0, 1], mean: {list(MEAN)}, std: {list(STD)}}}"

#: The sections of a model.yaml.
ADOPT = f"  outputs: logits\n  labels: {LABELS}\n"
FEATURES = f"features: {{photo: {{kind: image, size: [{HEIGHT}, {WIDTH}], channels: 3, {PIXELS}}}}}\n"


def network() -> nn.Module:
    """Return the classifier: tensors [rows, 3, height, width] to logits."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    last = nn.Linear(8, 3)
    classifier = nn.Sequential(*layers, last)
    classifier(torch.randn(64, 3, HEIGHT, WIDTH))
    with torch.no_grad():
        last.weight.mul_(8)
    return classifier.eval()


def write(kind: str, folder: Path) -> str:
    """Write the classifier in one of its forms, and return the name of the file."""
    model, example = network(), torch.zeros(2, 3, HEIGHT, WIDTH)
    rows: Any = ({0: torch.export.Dim("rows")},)
    if kind == "module":
        torch.save(model, folder / "m.pt")
    elif kind == "torchscript":
        torch.jit.trace(model, example).save(str(folder / "m.pt"))  # type: ignore[no-untyped-call]
    elif kind == "exported":
        torch.export.save(torch.export.export(model, (example,), dynamic_shapes=rows), folder / "m.pt2")
        return "m.pt2"
    else:
        (folder / "m.onnx").write_bytes(_onnx_file())
        return "m.onnx"
    return "m.pt"


@cache
def _onnx_file() -> bytes:
    example, rows = torch.zeros(2, 3, HEIGHT, WIDTH), ({0: torch.export.Dim("rows")},)
    program = torch.onnx.export(network(), (example,), dynamic_shapes=rows, verbose=False)
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def pixels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return images whose mean colours differ, uint8 [count, height, width, 3]."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (count, HEIGHT, WIDTH, 3))
    return np.asarray(noise * random.random((count, 1, 1, 3)), np.uint8)


def file(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """Return a file with pixels, uint8 [height, width, channels]."""
    content = io.BytesIO()
    Pillow.fromarray(image).save(content, kind)
    return content.getvalue()


def rows(images: Iterable[NDArray[np.uint8]]) -> list[dict[str, str]]:
    """Return images as rows of requests."""
    return [{"photo": base64.b64encode(file(image)).decode()} for image in images]


def answers(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return torch's own probabilities, prepared as torchvision's ToTensor and Normalize do: float64 [rows, labels]."""
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with torch.no_grad():
        return softmax(network()((tensors - mean) / std).double().numpy())


def mean_graph(sizes: Sequence[Any], element: int, axes: Sequence[int]) -> onnx.ModelProto:
    """Return a graph whose answer is the mean of its input over some axes: one number for each channel, times a matrix.

    Args:
        sizes: The dimensions of the input without the rows.
        element: The type of the input.
        axes: The axes of the height and the width.
    """
    weights = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", element, ["n", *sizes])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array(axes), "axes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
