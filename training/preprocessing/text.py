"""Encode free text as numbers: the number of its words, and some weighted sums of its terms.

All sums are of whole numbers up to the last step. So the graph and this module compute the same bits in whatever order
they add; a tree may give another prediction if a number differs in the last digit.
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

from model_deployer.training.preprocessing.vocabulary import NO_WORD, Integers, Vocabulary, find_vocabulary

#: The maximum number of words, and of pairs of words, with a weight; the most informative ones get one.
MAX_WORDS, MAX_PAIRS = 1_500, 500

#: The number of topics: directions of the largest variance among the texts, regardless of the target.
TOPICS = 8

#: The maximum number of rows to fit on; more rows hardly change the result.
ROWS = 50_000

#: The number of rows to encode at once.
CHUNK = 4_096

#: The largest weight, a whole number. TF32, the format of products on a GPU, holds it; float32 holds the sum of all.
MAX_WEIGHT = 2**11 - 1

#: The penalties of the ridge regression to try.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)

#: The number of folds of the cross-fitted scores.
FOLDS = 5

#: Replaces a divisor of zero.
EPSILON = 1e-12

Floats = NDArray[np.float64]


class TextEncoding(BaseModel):
    """The encoding of a text: its number of words, and its projections on some weightings of terms.

    A rare term has a larger weight, and the vector of a text's terms has the length 1 (TF-IDF: Salton and Buckley,
    1988, "Term-weighting approaches in automatic text retrieval"; a repeated term counts once).

    Attributes:
        vocabulary: The terms.
        columns: For each projection, the weight of every term, in any unit.
        squares: The squared length of every term, in any unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: Vocabulary
    columns: tuple[tuple[int, ...], ...]
    squares: tuple[int, ...]

    def transform(self, texts: pl.Series) -> list[Floats]:
        """Encode texts, "" being a missing one.

        Returns:
            One float64 array [texts] per column: the number of words, NaN for a missing text; then the projections.
        """
        chunks = [self._encode(texts[first : first + CHUNK]) for first in range(0, max(1, len(texts)), CHUNK)]
        return list(np.concatenate(chunks).T)

    def nodes(self, texts: str, result: str) -> list[onnx.NodeProto]:
        """Return ONNX nodes that do the same: from string [rows, 1] to float64 [rows, columns].

        They append an empty text to the rows and remove it at the end, because TfIdfVectorizer refuses zero rows.

        Args:
            texts: The name of the input tensor.
            result: The name of the output tensor, and the prefix of the inner ones.
        """
        name = f"{result}_{{}}".format
        parts = ["count", *(["projections"] if self.columns else [])]
        return [
            _constant(name("empty_text"), np.array([[""]], dtype=object)),
            _constant(name("minus_one"), np.array([-1])),
            _constant(name("zero"), np.array([0])),
            _constant(name("axis"), np.array([1])),
            _node("Concat", [texts, name("empty_text")], name("padded"), axis=0),
            _node("Reshape", [name("padded"), name("minus_one")], name("texts")),
            *self.vocabulary.nodes(name("texts"), name("words"), name("numbers"), name("terms")),
            *_count_nodes(name),
            *(self._projection_nodes(name) if self.columns else []),
            _node("Concat", [name(part) for part in parts], name("columns"), axis=1),
            _node("Slice", [name(part) for part in ("columns", "zero", "minus_one", "zero")], result),
        ]

    def types(self, result: str) -> list[onnx.ValueInfoProto]:
        """Return the types of the inner tensors of :meth:`nodes` that shape inference cannot derive."""
        shape = [f"{result}_texts", f"{result}_longest"]  # unique names: equal names would promise equal sizes
        return [helper.make_tensor_value_info(f"{result}_words", TensorProto.STRING, shape)]

    def _encode(self, texts: pl.Series) -> Floats:
        indices, words = self.vocabulary.tokenize(texts)
        count = np.bincount(indices, minlength=len(texts)) + np.where((texts == "").to_numpy(), np.nan, 0.0)
        *sums, squares = (self.vocabulary.occurrences(indices, words, len(texts)) @ self._weights()).T
        return np.stack([count, *(column / np.sqrt(np.maximum(squares, 1)) for column in sums)], axis=1)

    def _weights(self) -> Floats:
        return np.array([*self.columns, self.squares], dtype=np.float64).T

    def _projection_nodes(self, name: Callable[[str], str]) -> list[onnx.NodeProto]:
        return [
            _constant(name("weights"), self._weights().astype(np.float32)),
            _constant(name("one"), np.ones(1)),
            _constant(name("widths"), np.array([len(self.columns), 1])),
            _node("MatMul", [name("terms"), name("weights")], name("sums")),
            _node("Cast", [name("sums")], name("sums_double"), to=TensorProto.DOUBLE),
            helper.make_node("Split", [name("sums_double"), name("widths")], [name("dots"), name("squares")], axis=1),
            _node("Max", [name("squares"), name("one")], name("bounded")),
            _node("Sqrt", [name("bounded")], name("length")),
            _node("Div", [name("dots"), name("length")], name("projections")),
        ]


def _count_nodes(name: Callable[[str], str]) -> list[onnx.NodeProto]:
    """Return nodes for the number of words, NaN for a missing text."""
    gap = {"keys_strings": [""], "values_floats": [math.nan], "default_float": 0.0, "domain": "ai.onnx.ml"}
    return [
        _constant(name("no_word"), np.array(NO_WORD)),
        _node("Greater", [name("numbers"), name("no_word")], name("is_word")),
        _node("Cast", [name("is_word")], name("is_word_int"), to=TensorProto.INT64),
        _node("ReduceSum", [name("is_word_int"), name("axis")], name("words_int"), keepdims=1),
        _node("Cast", [name("words_int")], name("words_double"), to=TensorProto.DOUBLE),
        _node("LabelEncoder", [name("padded")], name("gap"), **gap),
        _node("Cast", [name("gap")], name("gap_double"), to=TensorProto.DOUBLE),
        _node("Add", [name("words_double"), name("gap_double")], name("count")),
    ]


def _node(operator: str, sources: Sequence[str], result: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, sources, [result], **attributes)


def _constant(result: str, value: NDArray[Any]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [result], value=numpy_helper.from_array(value, result))


def fit_text(texts: pl.Series, target: Floats, seed: int) -> tuple[TextEncoding, list[Floats]]:
    """Fit the encoding on training texts, and return the columns of these texts.

    The projections are those of a ridge regression (Hoerl and Kennard, 1970), one per column of the target, and the
    first directions of a singular value decomposition (Deerwester et al., 1990, "Indexing by latent semantic
    analysis"). The regression scores of the training texts are cross-fitted: each text is scored by a regression, with
    its own choice of terms, on the folds that do not contain it. A score that contained the text's own target would
    seem more predictive than it is.

    Args:
        texts: The training texts, String; "" is a missing one.
        target: The target of the texts, float64 [texts, columns].
        seed: Determines the folds, and the texts to fit on if there are more than ``ROWS``.

    Returns:
        The encoding, and the cross-fitted columns of the texts, as :meth:`TextEncoding.transform` returns them.
    """
    with threadpool_limits(1, "blas"):  # so that the weights do not depend on the number of cores
        return _fit(texts, target, seed)


def _fit(texts: pl.Series, target: Floats, seed: int) -> tuple[TextEncoding, list[Floats]]:
    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:ROWS])
    vocabulary = find_vocabulary(texts[rows])
    if not len(vocabulary):
        encoding = TextEncoding(vocabulary=vocabulary, columns=(), squares=())
        return encoding, encoding.transform(texts)
    targets = _standardized(target[rows])
    occurrences = vocabulary.occurrences(*vocabulary.tokenize(texts[rows]), len(rows))
    scores, penalty = _cross_fit(occurrences, len(vocabulary.singles), targets, seed)
    regression = _Regression(occurrences, len(vocabulary.singles), targets)
    weights = np.concatenate([regression.weights(penalty), regression.topics()], axis=1)
    units = np.abs(weights).max(axis=0).clip(EPSILON) / MAX_WEIGHT
    square_unit = regression.rarity.max() ** 2 / MAX_WEIGHT
    encoding = TextEncoding(
        vocabulary=vocabulary.subset(regression.terms),
        columns=tuple(map(tuple, np.rint(weights / units).astype(int).T.tolist())),
        squares=tuple(np.rint(regression.rarity**2 / square_unit).astype(int).tolist()),
    )
    columns = encoding.transform(texts)
    for score, unit, column in zip(scores.T, units, columns[1:], strict=False):
        column[rows] = score * np.sqrt(square_unit) / unit
    return encoding, columns


class _Regression:
    """A ridge regression of the target on the vectors of the texts' most informative terms.

    Args:
        occurrences: 1 if a text holds a term, float64 [texts, terms].
        words: The number of terms that are words; they come first, and the others are pairs of words.
        targets: The target, float64 [texts, columns].
    """

    def __init__(self, occurrences: sparse.csr_array, words: int, targets: Floats) -> None:
        rows, centred = occurrences.sum(axis=0), targets - targets.mean(0)
        self.terms = _most_informative(np.square(occurrences.T @ centred).sum(axis=1) / np.maximum(rows, 1), words)
        self.rarity = np.log((1 + len(targets)) / (1 + rows[self.terms])) + 1
        vectors = self._vectors(occurrences)
        self._gram = (vectors.T @ vectors).toarray()
        self._moments = vectors.T @ centred

    def weights(self, penalty: float) -> Floats:
        """Return the weight of each term for each column of the target, for texts of length 1: [terms, columns]."""
        gram = self._gram.copy()
        gram[np.diag_indices_from(gram)] += penalty
        return np.asarray(self.rarity[:, None] * solve(gram, self._moments, assume_a="pos"))

    def topics(self) -> Floats:
        """Return the weight of each term in the directions of the largest variance: [terms, directions]."""
        size = len(self.terms)
        directions = eigh(self._gram, subset_by_index=[max(0, size - TOPICS), size - 1])[1][:, ::-1]
        largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
        return np.asarray(self.rarity[:, None] * directions * np.sign(largest))

    def scores(self, occurrences: sparse.csr_array, penalty: float) -> Floats:
        """Return the predictions for other texts: [texts, columns]."""
        return np.asarray(self._vectors(occurrences) @ (self.weights(penalty) / self.rarity[:, None]))

    def _vectors(self, occurrences: sparse.csr_array) -> sparse.csr_array:
        weighted = occurrences[:, self.terms] @ sparse.diags_array(self.rarity)
        squares = weighted.power(2).sum(axis=1)
        return sparse.diags_array(1 / np.sqrt(np.where(squares > 0, squares, 1))) @ weighted


def _cross_fit(occurrences: sparse.csr_array, words: int, targets: Floats, seed: int) -> tuple[Floats, float]:
    """Return the out-of-fold predictions of each text, and the penalty with the lowest squared error."""
    scores = {penalty: np.zeros_like(targets) for penalty in PENALTIES}
    for other_folds, fold in KFold(FOLDS, shuffle=True, random_state=seed).split(targets):
        regression = _Regression(occurrences[other_folds], words, targets[other_folds])
        for penalty, predictions in scores.items():
            predictions[fold] = regression.scores(occurrences[fold], penalty)
    best = min(PENALTIES, key=lambda penalty: float(np.square(scores[penalty] - targets).sum()))
    return scores[best], best


def _most_informative(values: Floats, words: int) -> Integers:
    """Return the indices of the words and of the pairs with the largest values, in ascending order."""
    order = np.argsort(-values, kind="stable")
    return np.sort(np.concatenate([order[order < words][:MAX_WORDS], order[order >= words][:MAX_PAIRS]]))


def _standardized(target: Floats) -> Floats:
    centred = target - target.mean(0)
    return np.asarray(centred / centred.std(0).clip(EPSILON))
