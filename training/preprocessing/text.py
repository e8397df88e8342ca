"""Free text as numbers: some mixtures of its words, and how many words it has.

All numbers are sums of whole ones up to the last step, so that the graph and this module give the same bits in whatever
order they add: trees may answer otherwise where two numbers differ in the last digit.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pydantic import BaseModel, ConfigDict
from scipy import sparse
from scipy.linalg import eigh, solve
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

from model_deployer.training.preprocessing.vocabulary import NOTHING, Integers, Vocabulary, find_vocabulary

#: Words, and pairs of words, that are weighed: the most telling ones.
MOST_WORDS, MOST_PAIRS = 1_500, 500

#: Directions in which texts differ most, whatever the target.
TOPICS = 8

#: Rows that are learnt from; more change little.
ROWS = 50_000

#: Rows that are turned into numbers at once.
CHUNK = 4_096

#: The largest weight, a whole number: TF32, in which a GPU multiplies, holds it, and float32 the sum of all.
LARGEST = 2**11 - 1

#: Penalties of the regression that are tried.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)

#: Folds in which the training rows are scored.
FOLDS = 5

#: What stands for a zero that would divide.
TINY = 1e-12

Floats = NDArray[np.float64]


class TextEncoding(BaseModel):
    """Numbers of a text: how many words it has, and how much it goes in the direction of some mixtures of terms.

    A term counts for the more, the fewer texts hold it, and the terms of a text together have the length 1 (TF-IDF:
    Salton and Buckley, 1988, "Term-weighting approaches in automatic text retrieval"; with a term counted once).

    Attributes:
        vocabulary: The terms.
        columns: For each mixture the weight of every term, in any unit.
        squares: The squared length of every term, in any unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: Vocabulary
    columns: tuple[tuple[int, ...], ...]
    squares: tuple[int, ...]

    def transform(self, texts: pl.Series) -> list[Floats]:
        """One float64 array a column: the number of words, NaN where there is no text, and the mixtures."""
        chunks = [self._numbers(texts[first : first + CHUNK]) for first in range(0, max(1, len(texts)), CHUNK)]
        return list(np.concatenate(chunks).T)

    def nodes(self, texts: str, result: str) -> list[onnx.NodeProto]:
        """The same in a graph: from string [rows, 1] to float64 [rows, columns].

        An empty text is put below the rows and taken off in the end, as TfIdfVectorizer refuses to be given none.
        """
        name = f"{result}_{{}}".format
        parts = ["count", *(["mixtures"] if self.columns else [])]
        return [
            _constant(name("nothing"), np.array([[""]], dtype=object)),
            _constant(name("whole"), np.array([-1])),
            _constant(name("start"), np.array([0])),
            _constant(name("across"), np.array([1])),
            _node("Concat", [texts, name("nothing")], name("padded"), axis=0),
            _node("Reshape", [name("padded"), name("whole")], name("texts")),
            *self.vocabulary.nodes(name("texts"), name("words"), name("numbers"), name("terms")),
            *_count(name),
            *(self._mixtures(name) if self.columns else []),
            _node("Concat", [name(part) for part in parts], name("columns"), axis=1),
            _node("Slice", [name(part) for part in ("columns", "start", "whole", "start")], result),
        ]

    def types(self, result: str) -> list[onnx.ValueInfoProto]:
        """Of what :meth:`nodes` calls ``result``: the types of inner tensors that no checker knows by itself."""
        shape = [f"{result}_texts", f"{result}_longest"]  # of its own: equal names would promise equal sizes
        return [helper.make_tensor_value_info(f"{result}_words", TensorProto.STRING, shape)]

    def _numbers(self, texts: pl.Series) -> Floats:
        places, numbers = self.vocabulary.read(texts)
        count = np.bincount(places, minlength=len(texts)) + np.where((texts == "").to_numpy(), np.nan, 0.0)
        *sums, squares = (self.vocabulary.occurrences(places, numbers, len(texts)) @ self._weights()).T
        return np.stack([count, *(each / np.sqrt(np.maximum(squares, 1)) for each in sums)], axis=1)

    def _weights(self) -> Floats:
        return np.array([*self.columns, self.squares], dtype=np.float64).T

    def _mixtures(self, name: Callable[[str], str]) -> list[onnx.NodeProto]:
        return [
            _constant(name("weights"), self._weights().astype(np.float32)),
            _constant(name("one"), np.ones(1)),
            _constant(name("widths"), np.array([len(self.columns), 1])),
            _node("MatMul", [name("terms"), name("weights")], name("sums")),
            _node("Cast", [name("sums")], name("doubles"), to=TensorProto.DOUBLE),
            helper.make_node("Split", [name("doubles"), name("widths")], [name("mixed"), name("squares")], axis=1),
            _node("Max", [name("squares"), name("one")], name("bounded")),
            _node("Sqrt", [name("bounded")], name("length")),
            _node("Div", [name("mixed"), name("length")], name("mixtures")),
        ]


def _count(name: Callable[[str], str]) -> list[onnx.NodeProto]:
    """The number of words, and NaN where there is no text."""
    gap = {"keys_strings": [""], "values_floats": [math.nan], "default_float": 0.0, "domain": "ai.onnx.ml"}
    return [
        _constant(name("no_word"), np.array(NOTHING)),
        _node("Greater", [name("numbers"), name("no_word")], name("is_word")),
        _node("Cast", [name("is_word")], name("each"), to=TensorProto.INT64),
        _node("ReduceSum", [name("each"), name("across")], name("found"), keepdims=1),
        _node("Cast", [name("found")], name("number"), to=TensorProto.DOUBLE),
        _node("LabelEncoder", [name("padded")], name("gap"), **gap),
        _node("Cast", [name("gap")], name("gap_double"), to=TensorProto.DOUBLE),
        _node("Add", [name("number"), name("gap_double")], name("count")),
    ]


def _node(operator: str, sources: Sequence[str], result: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, sources, [result], **attributes)


def _constant(result: str, value: NDArray[Any]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [result], value=numpy_helper.from_array(value, result))


def fit_text(texts: pl.Series, target: Floats, seed: int) -> tuple[TextEncoding, list[Floats]]:
    """Learn the terms and how they are mixed; and the columns of the training texts themselves.

    The mixtures are those of a ridge regression (Hoerl and Kennard, 1970), one for each column of the target, and the
    first directions of a singular value decomposition (Deerwester et al., 1990, "Indexing by latent semantic
    analysis"). For the training texts the former come from regressions on folds that the texts are not part of, terms
    and all: with its own target in it, a mixture would look more telling than it is.

    Args:
        texts: The training texts; "" is a missing one.
        target: What the texts are to tell: [texts, columns].
        seed: Decides the folds, and which texts are learnt from where there are many.
    """
    with threadpool_limits(1, "blas"):  # the weights do not depend on the number of cores
        return _fit(texts, target, seed)


def _fit(texts: pl.Series, target: Floats, seed: int) -> tuple[TextEncoding, list[Floats]]:
    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:ROWS])
    vocabulary = find_vocabulary(texts[rows])
    if not len(vocabulary):
        encoding = TextEncoding(vocabulary=vocabulary, columns=(), squares=())
        return encoding, encoding.transform(texts)
    told = _standard(target[rows])
    occurrences = vocabulary.occurrences(*vocabulary.read(texts[rows]), len(rows))
    scores, penalty = _cross_fit(occurrences, len(vocabulary.singles), told, seed)
    regression = _Regression(occurrences, len(vocabulary.singles), told)
    weights = np.concatenate([regression.weights(penalty), regression.topics()], axis=1)
    units = np.abs(weights).max(axis=0).clip(TINY) / LARGEST
    unit = regression.rarity.max() ** 2 / LARGEST
    encoding = TextEncoding(
        vocabulary=vocabulary.only(regression.terms),
        columns=tuple(map(tuple, np.rint(weights / units).astype(int).T.tolist())),
        squares=tuple(np.rint(regression.rarity**2 / unit).astype(int).tolist()),
    )
    own = encoding.transform(texts)
    for score, each, column in zip(scores.T, units, own[1:], strict=False):
        column[rows] = score * np.sqrt(unit) / each
    return encoding, own


class _Regression:
    """The target regressed on texts as vectors of their most telling terms.

    Args:
        occurrences: [texts, terms].
        words: So many of the terms, the first ones, are words; the others are pairs.
        told: The target, [texts, columns].
    """

    def __init__(self, occurrences: sparse.csr_array, words: int, told: Floats) -> None:
        rows, centred = occurrences.sum(axis=0), told - told.mean(0)
        self.terms = _most_telling(np.square(occurrences.T @ centred).sum(axis=1) / np.maximum(rows, 1), words)
        self.rarity = np.log((1 + len(told)) / (1 + rows[self.terms])) + 1
        vectors = self._vectors(occurrences)
        self._gram = (vectors.T @ vectors).toarray()
        self._moments = vectors.T @ centred

    def weights(self, penalty: float) -> Floats:
        """What a term counts for each column of the target in a text of length 1: [terms, columns]."""
        gram = self._gram.copy()
        gram[np.diag_indices_from(gram)] += penalty
        return np.asarray(self.rarity[:, None] * solve(gram, self._moments, assume_a="pos"))

    def topics(self) -> Floats:
        """What it counts for the directions in which the texts differ most: [terms, directions]."""
        size = len(self.terms)
        directions = eigh(self._gram, subset_by_index=[max(0, size - TOPICS), size - 1])[1][:, ::-1]
        largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
        return np.asarray(self.rarity[:, None] * directions * np.sign(largest))

    def scores(self, occurrences: sparse.csr_array, penalty: float) -> Floats:
        """What the regression says of other texts: [texts, columns]."""
        return np.asarray(self._vectors(occurrences) @ (self.weights(penalty) / self.rarity[:, None]))

    def _vectors(self, occurrences: sparse.csr_array) -> sparse.csr_array:
        weighed = occurrences[:, self.terms] @ sparse.diags_array(self.rarity)
        squares = weighed.power(2).sum(axis=1)
        return sparse.diags_array(1 / np.sqrt(np.where(squares > 0, squares, 1))) @ weighed


def _cross_fit(occurrences: sparse.csr_array, words: int, told: Floats, seed: int) -> tuple[Floats, float]:
    """What regressions on the other folds say of each text, and the penalty with which they err least."""
    scores = {penalty: np.zeros_like(told) for penalty in PENALTIES}
    for others, fold in KFold(FOLDS, shuffle=True, random_state=seed).split(told):
        regression = _Regression(occurrences[others], words, told[others])
        for penalty, each in scores.items():
            each[fold] = regression.scores(occurrences[fold], penalty)
    best = min(PENALTIES, key=lambda penalty: float(np.square(scores[penalty] - told).sum()))
    return scores[best], best


def _most_telling(values: Floats, words: int) -> Integers:
    """The places of the words and of the pairs with the largest values, in ascending order."""
    order = np.argsort(-values, kind="stable")
    return np.sort(np.concatenate([order[order < words][:MOST_WORDS], order[order >= words][:MOST_PAIRS]]))


def _standard(target: Floats) -> Floats:
    centred = target - target.mean(0)
    return np.asarray(centred / centred.std(0).clip(TINY))
