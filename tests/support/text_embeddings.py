"""A network that embeds texts, for tests of adoption: the tokens of a text become a vector of length 1."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.contract import store
from model_deployer.contract.artifact import Manifest
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import NumberSequence
from model_deployer.contract.outputs import VectorOutput
from model_deployer.training.fit import fit
from tests.support.in_process import model_store
from tests.support.onnx_graphs import write_network_spec

#: The number of tokens (0 is the padding), and of the numbers of an embedding.
TOKENS, WIDTH = 50, 6

#: Token ids of texts of different lengths.
TEXTS = [[1, 2, 3], [7], [49, 48, 47, 46, 45, 44], [5, 5, 5, 5], [9, 1]]


#: What its adoption makes of it.
CONTRACT = Contract(
    features=(
        NumberSequence(
            name="tokens", longest=64, integers=True, minimum=0, maximum=TOKENS - 1, required=True, example=(24,)
        ),
    ),
    output=VectorOutput(target="embedding", length=WIDTH),
)


class TextEmbedding(nn.Module):
    """The mean of the embeddings of the real tokens, times a matrix, and divided by its length."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(TOKENS, 8)
        self.layer = nn.Linear(8, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = (tokens != 0).unsqueeze(2).to(torch.float32)
        mean = (self.table(tokens) * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return nn.functional.normalize(self.layer(mean), dim=1)


class MaskedEmbedding(TextEmbedding):
    """The same with a mask, as the networks of Hugging Face take it."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # type: ignore[override]
        mask = attention_mask.unsqueeze(2).to(torch.float32)
        mean = (self.table(input_ids) * mask).sum(1) / mask.sum(1)
        return nn.functional.normalize(self.layer(mean), dim=1)


def write_embedding(folder: Path, kind: str, data: str = "target: embedding") -> Path:
    """Write a network in a form of torch or as ONNX, and the model.yaml that adopts it; return that."""
    network = (MaskedEmbedding() if kind == "masked" else TextEmbedding()).eval()
    tokens = torch.ones(3, 5, dtype=torch.int64)
    example = (tokens, tokens.clone()) if kind == "masked" else (tokens,)
    rows, length = torch.export.Dim("rows"), torch.export.Dim("length")
    shapes = tuple({0: rows, 1: length} for _ in example)
    path = folder / ("m.onnx" if kind == "onnx" else "m.pt2")
    if kind == "torchscript":
        torch.jit.script(network).save(str(path))  # type: ignore[no-untyped-call]
    elif kind == "onnx":
        torch.onnx.export(
            network, example, str(path), input_names=["tokens"], dynamic_shapes=shapes, external_data=False, dynamo=True
        )
    else:
        torch.export.save(torch.export.export(network, example, dynamic_shapes=shapes), path)
    trust = "" if kind == "onnx" else f"  trust: {digest_of(path)}\n"
    field = "input_ids" if kind == "masked" else "tokens"
    features = f"features: {{{field}: {{kind: sequence, longest: 64}}}}\n"
    return write_network_spec(folder, path.name, f"{trust}  outputs: embedding\n", data, features)


def own_embeddings(texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Return what the network itself answers to each text alone, float32 [texts, WIDTH]."""
    network = TextEmbedding().eval()
    with torch.no_grad():
        return np.concatenate([network(torch.tensor([list(text)])).numpy() for text in texts])


def write_adopted(folder: Path, contract: Contract) -> Manifest:
    """Adopt the network as the model "served", check its contract, and write its files into ``folder``."""
    with tempfile.TemporaryDirectory() as name, model_store(Path(name, "home")):
        path = write_embedding(Path(name), "torchscript")
        path.write_text(path.read_text().replace("name: net", "name: served"))
        adopted = store.load(fit(path).tag)
        assert adopted.contract == contract
        shutil.copytree(adopted.path, folder)
        return adopted.manifest
