"""A small classifier of signals of any duration in torch, as teams hand it over, and its own answers."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tests.support.onnx_graphs import softmax

BANDS, SHORTEST, LONGEST = 4, 5, 30

LABELS = ["clap", "hum", "silence"]

#: The sections of a model.yaml.
ADOPT = f"  outputs: logits\n  labels: {LABELS}\n"
FEATURES = f"features: {{signal: {{kind: tensor, shape: [{BANDS}, [{SHORTEST}, {LONGEST}]], unit: dB}}}}\n"


def network() -> nn.Module:
    """Return the classifier: tensors [rows, bands, time] to logits. Padding would change the mean over time."""
    torch.manual_seed(0)
    first, second = nn.Conv1d(BANDS, 8, 3), nn.Conv1d(8, 8, 3, padding=1, stride=2)
    last = nn.Linear(8, 3)
    with torch.no_grad():
        last.weight.mul_(20)
    layers = [first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), last]
    return nn.Sequential(*layers).eval()


def write(kind: str, folder: Path) -> str:
    """Write the classifier in one of its forms, and return the name of the file."""
    if kind == "onnx":
        (folder / "m.onnx").write_bytes(_onnx_file())
        return "m.onnx"
    if kind == "exported":
        example = torch.zeros(2, BANDS, 16)
        shapes: Any = ({0: torch.export.Dim("rows"), 2: torch.export.Dim.DYNAMIC},)
        torch.export.save(torch.export.export(network(), (example,), dynamic_shapes=shapes), folder / "m.pt2")
        return "m.pt2"
    if kind == "module":
        torch.save(network(), folder / "m.pt")
    else:
        torch.jit.script(network()).save(str(folder / "m.pt"))  # type: ignore[no-untyped-call]
    return "m.pt"


@cache
def _onnx_file() -> bytes:
    file: Any = io.BytesIO()
    axes, example = {"signal": {0: "rows", 2: "time"}}, (torch.zeros(2, BANDS, 16),)
    torch.onnx.export(network(), example, file, input_names=["signal"], dynamic_axes=axes, dynamo=False)
    return bytes(file.getvalue())


def signals(count: int, seed: int = 0) -> list[NDArray[np.float64]]:
    """Return signals of different durations and levels, float64 [bands, time] each, exact in float32."""
    random = np.random.default_rng(seed)
    lengths = random.integers(SHORTEST, LONGEST + 1, count)
    return [random.integers(-64, 65, (BANDS, length)) * (row % 3) / 32 for row, length in enumerate(lengths)]


def answers(tensors: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return torch's own probabilities of each signal alone, float64 [signals, labels]."""
    model = network()
    with torch.no_grad():
        logits = [model(torch.from_numpy(each[None]).float()).double().numpy() for each in tensors]
    return softmax(np.concatenate(logits))
