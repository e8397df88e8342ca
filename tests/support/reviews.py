"""Small tables of free text: reviews with words that say how good a product is."""

import numpy as np
import onnxruntime
import polars as pl
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_deployer.training.models.onnx_estimator import IR_VERSION, OPSETS
from model_deployer.training.preprocessing.text import TextEncoding
from model_deployer.training.preprocessing.vocabulary import DOMAIN

GOOD = ("superb", "lovely", "très bon", "好吃", "\U0001f600")
BAD = ("awful", "broken", "not superb", "ужас", "\U0001f621")
PLAIN = ("the", "thing", "came", "in", "a", "box", "and", "I", "use", "it", "daily", "at", "home")
MARKS = (" ", " ", " ", ", ", "... ", "!\n", "\t", "\u00a0", " (", ") ", "\u2014")


def reviews(rows: int, seed: int = 0) -> tuple[pl.Series, NDArray[np.float64]]:
    """Return texts, a tenth of them missing, and how good each is [rows]: its good words minus its bad words."""
    random = np.random.default_rng(seed)
    pairs = [_review(random) for _ in range(rows)]
    return pl.Series("review", [text for text, _ in pairs]), np.array([goodness for _, goodness in pairs])


def _review(random: np.random.Generator) -> tuple[str, float]:
    if random.random() < 0.1:
        return "", 0.0
    good, bad = random.poisson(1.0, 2)
    words = [*random.choice(GOOD, good), *random.choice(BAD, bad), *random.choice(PLAIN, random.integers(3, 20))]
    order = random.permutation(len(words))
    tokens = [_in_random_case(str(words[index]), random) + str(random.choice(MARKS)) for index in order]
    return "".join(tokens), float(good - bad)


def _in_random_case(word: str, random: np.random.Generator) -> str:
    return [word, word.upper(), word.capitalize()][random.choice(3, p=[0.8, 0.1, 0.1])]


def in_a_graph(encoding: TextEncoding, texts: list[str]) -> NDArray[np.float64]:
    """Encode texts with ONNX Runtime: float64 [texts, columns]."""
    graph = helper.make_graph(
        encoding.nodes("texts", "result"),
        "text",
        [helper.make_tensor_value_info("texts", TensorProto.STRING, ["rows", 1])],
        [helper.make_tensor_value_info("result", TensorProto.DOUBLE, ["rows", None])],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in (OPSETS | DOMAIN).items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (numbers,) = session.run(None, {"texts": np.array(texts, dtype=object).reshape(-1, 1)})
    return np.asarray(numbers)
