"""The terms of texts: words and pairs of words, and which of them occur in a text."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray
from onnx import helper
from pydantic import BaseModel, ConfigDict
from scipy import sparse

#: What a word is: letters and digits in a row, or one character of a script that has no spaces, or one symbol. Ranges,
#: not properties of Unicode: of these no two engines have the same version.
WORD = (
    r"[0-9A-Za-z\x{AA}\x{B5}\x{BA}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{167F}\x{1681}-\x{1FFF}\x{2C00}-\x{2DFF}"
    r"\x{A000}-\x{D7FF}\x{FB00}-\x{FDFF}\x{FE70}-\x{FEFC}\x{FF10}-\x{FF19}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}"
    r"\x{10000}-\x{1EFFF}]+|[\x{2190}-\x{2BFF}\x{3041}-\x{9FFF}\x{F900}-\x{FAFF}\x{1F000}-\x{3FFFF}]"
)

#: Rows that a term is in at the least.
FEWEST_ROWS = 5

#: Words, and pairs of them, that are looked at; the most frequent ones.
MOST_CANDIDATES = 10_000

#: The number of no word, and of every word that is not in a vocabulary.
NOTHING, UNKNOWN = 0, 1

#: The domain of ONNX Runtime's own operators, in every build of it, and its version. The standard has StringSplit only,
#: which parts words at spaces alone in ONNX Runtime 1.32: not at line breaks, nor from their punctuation.
DOMAIN = {"com.microsoft": 1}

Integers = NDArray[np.int64]


class Vocabulary(BaseModel):
    """Terms that are looked for in texts: words, and pairs of neighbouring words.

    Attributes:
        words: Every spelling of a word with the word's number, from 2 on; spellings that differ in case share one.
        singles: The numbers of the words that are terms by themselves.
        pairs: The numbers of the two words of each other term.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: dict[str, int]
    singles: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.singles) + len(self.pairs)

    def read(self, texts: pl.Series) -> tuple[Integers, Integers]:
        """All words of the texts, one after the other: the place of the text that each is in, and its number."""
        spelt = _spelt(texts)
        numbers = spelt["word"].replace_strict(self.words, default=UNKNOWN, return_dtype=pl.Int64)
        return spelt["text"].to_numpy(), numbers.to_numpy()

    def occurrences(self, places: Integers, numbers: Integers, texts: int) -> sparse.csr_array:
        """1 where a text holds a term: float64 [texts, terms], of the words that :meth:`read` found."""
        base = 1 + max(self.words.values(), default=UNKNOWN)
        pairs = np.array(self.pairs, dtype=np.int64).reshape(-1, 2)
        neighbours = (places[:-1] == places[1:]).nonzero()[0]
        single = _find(numbers, np.array(self.singles, dtype=np.int64))
        pair = _find(numbers[neighbours] * base + numbers[neighbours + 1], pairs[:, 0] * base + pairs[:, 1])
        column = np.concatenate([single, np.where(pair < 0, -1, pair + len(self.singles))])
        row = np.concatenate([places, places[neighbours]])
        known = column >= 0
        matrix = sparse.csr_array((np.ones(known.sum()), (row[known], column[known])), shape=(texts, len(self)))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix

    def only(self, terms: Integers) -> "Vocabulary":
        """The vocabulary of some of the terms, which are given by their places in ascending order."""
        words = len(self.singles)
        singles = [self.singles[term] for term in terms if term < words]
        pairs = [self.pairs[term - words] for term in terms if term >= words]
        needed = sorted({*singles, *(number for pair in pairs for number in pair)})
        numbers = {number: place for place, number in enumerate(needed, UNKNOWN + 1)}
        return Vocabulary(
            words={word: numbers[number] for word, number in self.words.items() if number in numbers},
            singles=tuple(numbers[number] for number in singles),
            pairs=tuple((numbers[first], numbers[second]) for first, second in pairs),
        )

    def nodes(self, texts: str, words: str, numbers: str, occurrences: str) -> list[onnx.NodeProto]:
        """The same in a graph.

        Args:
            texts: What string [texts] is called; it has to have one text at the least.
            words: What to call the words of each, string [texts, words], filled up with "".
            numbers: What to call their numbers, int64 [texts, words].
            occurrences: What to call float32 [texts, terms]; there is none where there are no terms.
        """
        pattern: dict[str, Any] = {"tokenexp": WORD, "mark": 0, "mincharnum": 1, "pad_value": ""}
        keys, values = ["", *self.words], [NOTHING, *self.words.values()]
        look_up: dict[str, Any] = {"keys_strings": keys, "values_int64s": values, "default_int64": UNKNOWN}
        nodes = [
            helper.make_node("Tokenizer", [texts], [words], domain=next(iter(DOMAIN)), **pattern),
            helper.make_node("LabelEncoder", [words], [numbers], domain="ai.onnx.ml", **look_up),
        ]
        if len(self):
            nodes.append(helper.make_node("TfIdfVectorizer", [numbers], [occurrences], **self._pool()))
        return nodes

    def _pool(self) -> dict[str, Any]:
        """What TfIdfVectorizer looks for; the mode IDF, without weights, says whether it is there."""
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
    """All words that are in enough of the texts, whatever their case, and the pairs of them that are."""
    spelt = _spelt(texts).with_columns(base=pl.col("word").str.to_lowercase())
    words = _frequent(spelt, "base").with_row_index("number", UNKNOWN + 1).cast({"number": pl.Int64})
    spelt = spelt.join(words, on="base", how="left", maintain_order="left")
    following = spelt.with_columns(pl.col("text", "number").shift(-1).name.suffix("_after"))
    pairs = _frequent(following.filter(pl.col("text") == pl.col("text_after")).drop_nulls(), "number", "number_after")
    seen = spelt.drop_nulls().select("word", "number").unique().sort("number", "word")
    return Vocabulary(
        words=dict(_spellings(words["base"].to_list())) | dict(seen.rows()),
        singles=tuple(words["number"]),
        pairs=tuple(pairs.rows()),
    )


def _spelt(texts: pl.Series) -> pl.DataFrame:
    """The words as they are written, one a row: ``text``, the place of the text, and ``word``."""
    words = texts.str.extract_all(WORD).alias("word").to_frame().with_row_index("text")
    return words.explode("word").drop_nulls().cast({"text": pl.Int64})


def _frequent(spelt: pl.DataFrame, *term: str) -> pl.DataFrame:
    """The terms that are in enough texts, and of these the most frequent ones, in ascending order."""
    rows = spelt.group_by(term).agg(rows=pl.col("text").n_unique()).filter(pl.col("rows") >= FEWEST_ROWS)
    ordered = rows.sort("rows", *term, descending=[True, *(False for _ in term)])
    return ordered.head(MOST_CANDIDATES).select(term).sort(term)


def _spellings(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The usual ways to write each of the words, with its number."""
    for number, word in enumerate(words, UNKNOWN + 1):
        for spelling in (word, word.capitalize(), word.upper()):
            if spelling.lower() == word:
                yield spelling, number


def _find(wanted: Integers, among: Integers) -> Integers:
    """The place of each number among others; -1 where it is not there."""
    if not len(among):
        return np.full(len(wanted), -1)
    order = np.argsort(among)
    places = order[np.searchsorted(among, wanted, sorter=order).clip(max=len(among) - 1)]
    return np.where(among[places] == wanted, places, -1)
