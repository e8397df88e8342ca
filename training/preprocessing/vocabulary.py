"""The vocabulary of free text: its terms, which are words and pairs of words, and the terms of a text."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray
from onnx import helper
from pydantic import BaseModel, ConfigDict
from scipy import sparse

#: A word: consecutive letters and digits, or one character of a script that has no spaces, or one symbol. The pattern
#: uses ranges instead of Unicode properties, because regular-expression engines have different versions of these.
WORD = (
    r"[0-9A-Za-z\x{AA}\x{B5}\x{BA}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{167F}\x{1681}-\x{1FFF}\x{2C00}-\x{2DFF}"
    r"\x{A000}-\x{D7FF}\x{FB00}-\x{FDFF}\x{FE70}-\x{FEFC}\x{FF10}-\x{FF19}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}"
    r"\x{10000}-\x{1EFFF}]+|[\x{2190}-\x{2BFF}\x{3041}-\x{9FFF}\x{F900}-\x{FAFF}\x{1F000}-\x{3FFFF}]"
)

#: The minimum number of rows that hold a term.
MIN_TERM_ROWS = 5

#: The maximum number of words, and of pairs, in a vocabulary; the most frequent ones are taken.
MAX_CANDIDATES = 10_000

#: The number that marks the absence of a word, and the number of every word that is not in the vocabulary.
NO_WORD, UNKNOWN = 0, 1

#: The domain of ONNX Runtime's own operators, which are in every build of it, and its version. The standard has
#: StringSplit only, which in ONNX Runtime 1.32 splits at spaces but not at line breaks or punctuation.
DOMAIN = {"com.microsoft": 1}

Integers = NDArray[np.int64]


class Vocabulary(BaseModel):
    """The terms to look for in texts: words, and pairs of consecutive words.

    Attributes:
        words: The number of every spelling of a word, from 2 on; spellings that differ in case only share a number.
        singles: The numbers of the words that are terms by themselves.
        pairs: The numbers of the two words of each term that is a pair.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: dict[str, int]
    singles: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.singles) + len(self.pairs)

    def tokenize(self, texts: pl.Series) -> tuple[Integers, Integers]:
        """Split texts into words.

        Args:
            texts: A String column.

        Returns:
            For all words of all texts, in order: the index of the text, int64 [words], and the number of the word,
            int64 [words].
        """
        tokens = _tokens(texts)
        numbers = tokens["word"].replace_strict(self.words, default=UNKNOWN, return_dtype=pl.Int64)
        return tokens["text"].to_numpy(), numbers.to_numpy()

    def occurrences(self, indices: Integers, numbers: Integers, texts: int) -> sparse.csr_array:
        """Return which terms each text holds.

        Args:
            indices: The index of the text of each word, from :meth:`tokenize`.
            numbers: The number of each word, from :meth:`tokenize`.
            texts: The number of texts.

        Returns:
            1 if a text holds a term, float64 [texts, terms].
        """
        base = 1 + max(self.words.values(), default=UNKNOWN)
        pairs = np.array(self.pairs, dtype=np.int64).reshape(-1, 2)
        first_of_pair = (indices[:-1] == indices[1:]).nonzero()[0]
        single = _positions(numbers, np.array(self.singles, dtype=np.int64))
        pair = _positions(numbers[first_of_pair] * base + numbers[first_of_pair + 1], pairs[:, 0] * base + pairs[:, 1])
        column = np.concatenate([single, np.where(pair < 0, -1, pair + len(self.singles))])
        row = np.concatenate([indices, indices[first_of_pair]])
        is_term = column >= 0
        matrix = sparse.csr_array((np.ones(is_term.sum()), (row[is_term], column[is_term])), shape=(texts, len(self)))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix

    def subset(self, terms: Integers) -> "Vocabulary":
        """Return the vocabulary of some of the terms, given by their indices in ascending order."""
        words = len(self.singles)
        singles = [self.singles[term] for term in terms if term < words]
        pairs = [self.pairs[term - words] for term in terms if term >= words]
        required = sorted({*singles, *(number for pair in pairs for number in pair)})
        numbers = {number: new for new, number in enumerate(required, UNKNOWN + 1)}
        return Vocabulary(
            words={word: numbers[number] for word, number in self.words.items() if number in numbers},
            singles=tuple(numbers[number] for number in singles),
            pairs=tuple((numbers[first], numbers[second]) for first, second in pairs),
        )

    def nodes(self, texts: str, words: str, numbers: str, occurrences: str) -> list[onnx.NodeProto]:
        """Return ONNX nodes that do the same.

        Args:
            texts: The name of the input, string [texts], with at least one text.
            words: The name for the words of each text, string [texts, words], padded with "".
            numbers: The name for the numbers of the words, int64 [texts, words].
            occurrences: The name for the occurrences, float32 [texts, terms]; without terms, there is no such tensor.
        """
        pattern: dict[str, Any] = {"tokenexp": WORD, "mark": 0, "mincharnum": 1, "pad_value": ""}
        keys, values = ["", *self.words], [NO_WORD, *self.words.values()]
        table: dict[str, Any] = {"keys_strings": keys, "values_int64s": values, "default_int64": UNKNOWN}
        nodes = [
            helper.make_node("Tokenizer", [texts], [words], domain=next(iter(DOMAIN)), **pattern),
            helper.make_node("LabelEncoder", [words], [numbers], domain="ai.onnx.ml", **table),
        ]
        if len(self):
            nodes.append(helper.make_node("TfIdfVectorizer", [numbers], [occurrences], **self._vectorizer_terms()))
        return nodes

    def _vectorizer_terms(self) -> dict[str, Any]:
        """Return the attributes of TfIdfVectorizer; its mode IDF, without weights, yields 1 if a text holds a term."""
        return {
            "mode": "IDF",
            "min_gram_length": 1,
            "max_gram_length": 2 if self.pairs else 1,
            "max_skip_count": 0,
            "ngram_counts": [0, len(self.singles)] if self.pairs else [0],
            "ngram_indexes": range(len(self)),
            "pool_int64s": [*self.singles, *(number for pair in self.pairs for number in pair)],
        }


def find_vocabulary(texts: pl.Series) -> Vocabulary:
    """Return the words that are in at least ``MIN_TERM_ROWS`` texts, regardless of case, and the pairs that are.

    Args:
        texts: The training texts, String.
    """
    tokens = _tokens(texts).with_columns(base=pl.col("word").str.to_lowercase())
    words = _frequent(tokens, "base").with_row_index("number", UNKNOWN + 1).cast({"number": pl.Int64})
    tokens = tokens.join(words, on="base", how="left", maintain_order="left")
    consecutive = tokens.with_columns(pl.col("text", "number").shift(-1).name.suffix("_after"))
    pairs = _frequent(consecutive.filter(pl.col("text") == pl.col("text_after")).drop_nulls(), "number", "number_after")
    spellings = tokens.drop_nulls().select("word", "number").unique().sort("number", "word")
    return Vocabulary(
        words=dict(_usual_spellings(words["base"].to_list())) | dict(spellings.rows()),
        singles=tuple(words["number"]),
        pairs=tuple(pairs.rows()),
    )


def _tokens(texts: pl.Series) -> pl.DataFrame:
    """Return the words in their spelling, one per row: ``text``, the index of the text, and ``word``."""
    words = texts.str.extract_all(WORD).alias("word").to_frame().with_row_index("text")
    return words.explode("word").drop_nulls().cast({"text": pl.Int64})


def _frequent(tokens: pl.DataFrame, *term: str) -> pl.DataFrame:
    """Return the terms in at least ``MIN_TERM_ROWS`` texts, up to ``MAX_CANDIDATES``, in ascending order."""
    rows = tokens.group_by(term).agg(rows=pl.col("text").n_unique()).filter(pl.col("rows") >= MIN_TERM_ROWS)
    ordered = rows.sort("rows", *term, descending=[True, *(False for _ in term)])
    return ordered.head(MAX_CANDIDATES).select(term).sort(term)


def _usual_spellings(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield each word in lower case, capitalized and in upper case, with its number."""
    for number, word in enumerate(words, UNKNOWN + 1):
        for spelling in (word, word.capitalize(), word.upper()):
            if spelling.lower() == word:
                yield spelling, number


def _positions(values: Integers, keys: Integers) -> Integers:
    """Return the position of each value among the keys; -1 if it is not a key."""
    if not len(keys):
        return np.full(len(values), -1)
    order = np.argsort(keys)
    positions = order[np.searchsorted(keys, values, sorter=order).clip(max=len(keys) - 1)]
    return np.where(keys[positions] == values, positions, -1)
