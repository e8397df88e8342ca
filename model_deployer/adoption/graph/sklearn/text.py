"""Count the words of texts.

ONNX Runtime changes the case of ASCII letters only, unless the machine has a locale for more. The graph therefore knows
every spelling of the other letters of a word. The Turkish dotted capital I becomes two characters in lower case, and
the second one ends a word. The graph does the same at the start of a word; inside of a word in capitals, the library
counts one more i.
"""

import re
import sys
from collections import defaultdict
from functools import cache
from itertools import groupby, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

#: The number of a word that no term has, and of the end of a text.
_UNKNOWN, _END = 1, 0

#: The maximum number of terms, each a column of doubles, and of spellings of all words.
_MAX_TERMS, _MAX_SPELLINGS = 20_000, 200_000

#: ONNX Runtime's own operators, which are in every build of it.
_DOMAIN = "com.microsoft"

_DOTTED_CAPITAL = "\u0130"

#: The smallest number of characters of a word, by the pattern of the library.
_PATTERNS = {
    r"(?u)\b\w\w+\b": 2,
    r"\b\w\w+\b": 2,
    r"(?u)\b\w+\b": 1,
    r"\b\w+\b": 1,
    r"\w+": 1,
    r"\w{1,}": 1,
    r"(?u)\w+": 1,
}


@transformer("sklearn.CountVectorizer")
def write_count_vectorizer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the number of times that each term, a word or some consecutive words, is in a text."""
    return Frame.of_numbers(_counts(stored, frame, graph).tensor, _names(stored))


@transformer("sklearn.TfidfVectorizer")
def write_weighted_vectorizer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the numbers of the terms, weighted by their rarity and divided by the length of the text."""
    weights = stored["_tfidf"]
    return Frame.of_numbers(_weighted(weights, _counts(stored, frame, graph)).tensor, _names(stored))


@transformer("sklearn.TfidfTransformer")
def write_weights(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write numbers of terms, weighted by their rarity and divided by the length of the text."""
    block, counts = complete_numbers(frame, graph)
    return Frame.of_numbers(_weighted(stored, counts).tensor, block.names)


def _weighted(stored: StoredObject, counts: Expression) -> Expression:
    if stored.get("sublinear_tf"):
        counts = (counts > 0.0).choose((counts > 0.0).choose(counts, 1.0).log() + 1.0, counts)
    if stored.get("use_idf", True):
        counts = counts * _rarity(stored)
    if stored.get("norm") is None:
        return counts
    length = counts.abs().sum() if stored["norm"] == "l1" else (counts * counts).sum().sqrt()
    return counts / length.equals(0.0).choose(1.0, length)


def _rarity(stored: StoredObject) -> NDArray[np.float64]:
    """Return the weight of each term: an array, or before version 1.4 the diagonal of a sparse matrix."""
    diagonal = stored.get("_idf_diag")
    weights = diagonal["data"] if isinstance(diagonal, StoredObject) else stored["idf_"]
    return np.asarray(weights, np.float64).reshape(1, -1)


def _names(stored: StoredObject) -> list[str]:
    return sorted(stored["vocabulary_"], key=stored["vocabulary_"].__getitem__)


def _counts(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Expression:
    """Return the numbers of the terms, double [rows, terms]."""
    _require_plain_words(stored)
    terms = [term.split(" ") for term in _names(stored)]
    if len(terms) > _MAX_TERMS:
        raise UnsupportedModel(f"{stored.name} has {len(terms)} terms; a graph holds at most {_MAX_TERMS}")
    numbers = _word_numbers(stored, frame, graph, terms)
    counts = Expression(graph, graph.add("TfIdfVectorizer", numbers.tensor, **_ngrams(terms, _word_ids(terms))))
    counts = counts.number()
    if stored.get("binary"):
        counts = (counts > 0.0).number()
    first, last = np.array([0], np.int64), np.array([-1], np.int64)
    return counts.apply("Slice", first, last, first)


def _require_plain_words(stored: StoredObject) -> None:
    """Refuse what a graph cannot do with a text.

    Raises:
        UnsupportedModel: if the vectorizer reads characters, calls a function, or changes accents.
    """
    if stored.get("analyzer", "word") != "word":
        raise UnsupportedModel(f"{stored.name} of characters, or with a function as its analyzer, has no graph writer")
    for name in ("preprocessor", "tokenizer", "strip_accents"):
        if stored.get(name) is not None:
            raise UnsupportedModel(f"{stored.name} with {name} has no graph writer")
    if stored.get("token_pattern") not in _PATTERNS:
        raise UnsupportedModel(f"{stored.name} with a token_pattern of its own has no graph writer")
    if stored.get("stop_words") is not None and tuple(stored.get("ngram_range", (1, 1)))[1] > 1:
        raise UnsupportedModel(f"{stored.name} with stop words and several words as one term has no graph writer")


def _word_ids(terms: list[list[str]]) -> dict[str, int]:
    words = dict.fromkeys(word for term in terms for word in term)
    return {word: number for number, word in enumerate(words, _UNKNOWN + 1)}


def _word_numbers(stored: StoredObject, frame: Frame, graph: GraphWriter, terms: list[list[str]]) -> Expression:
    """Return the number of each word of each text, int64 [rows + 1, words]; the last row is not one of the texts."""
    block = frame.texts(graph)
    if block.width != 1:
        raise UnsupportedModel(f"{stored.name} reads one column, but gets {block.width}")
    assert block.tensor is not None
    _note_text(stored, frame, graph)
    ids = _word_ids(terms)
    # The operators refuse a batch without rows or without words.
    filler = Expression(graph, graph.constant(np.array([[next(iter(ids))]], object)))
    texts = concat([Expression(graph, block.tensor), filler], axis=0).reshape(-1)
    lowercase = bool(stored.get("lowercase", True))
    if lowercase:
        texts = texts.apply("StringNormalizer", case_change_action="LOWER", locale="C")
    least = _PATTERNS[stored["token_pattern"]]
    pattern = f"[{_word_characters(_DOTTED_CAPITAL if lowercase else '')}]{{{least},}}"
    graph.require_opset(_DOMAIN, 1)
    words = texts.apply("Tokenizer", domain=_DOMAIN, tokenexp=pattern, mark=0, mincharnum=1, pad_value="")
    graph.describe_texts(words.tensor, 2)
    keys = _spellings(ids) if lowercase else ids
    return words.apply(
        "LabelEncoder",
        domain="ai.onnx.ml",
        keys_strings=["", *keys],
        values_int64s=[_END, *keys.values()],
        default_int64=_UNKNOWN,
    )


def _note_text(stored: StoredObject, frame: Frame, graph: GraphWriter) -> None:
    (origin,) = frame.blocks[0].origins
    if origin is not None:
        fact = graph.fact(origin.field)
        fact.is_free_text = True
        fact.missing_forms.add("")
        graph.note_critical(origin.field, [*_names(stored)[:200], " ".join(_names(stored)[:50]), "\n", "a1_b-c É"])


def _ngrams(terms: list[list[str]], ids: dict[str, int]) -> dict[str, Any]:
    """Return the attributes of TfIdfVectorizer that count the terms."""
    order = sorted(range(len(terms)), key=lambda position: len(terms[position]))
    groups = {size: list(group) for size, group in groupby(order, key=lambda position: len(terms[position]))}
    longest = max(groups)
    starts = np.cumsum([0, *(size * len(groups.get(size, [])) for size in range(1, longest))])
    return {
        "mode": "TF",
        "min_gram_length": min(groups),
        "max_gram_length": longest,
        "max_skip_count": 0,
        "ngram_counts": [int(start) for start in starts],
        "ngram_indexes": order,
        "pool_int64s": [ids[word] for position in order for word in terms[position]],
    }


def _spellings(ids: dict[str, int]) -> dict[str, int]:
    """Return every spelling of each word whose lower case is the word, after its ASCII letters became lower case.

    Raises:
        UnsupportedModel: if there are too many, as in words of scripts like Cyrillic.
    """
    result: dict[str, int] = {}
    for word, number in ids.items():
        choices = [[letter, *(other for other in _capitals().get(letter, ()))] for letter in word]
        if np.prod([float(len(choice)) for choice in choices]) + len(result) > _MAX_SPELLINGS:
            raise UnsupportedModel("the words have too many letters outside of ASCII to ignore their case in a graph")
        result.update(("".join(letters), number) for letters in product(*choices))
    return result


@cache
def _capitals() -> dict[str, tuple[str, ...]]:
    """Return, for a letter in lower case, the letters outside of ASCII that become it."""
    result: defaultdict[str, list[str]] = defaultdict(list)
    for letter in map(chr, range(128, sys.maxunicode + 1)):
        if letter.lower() != letter and len(letter.lower()) == 1:
            result[letter.lower()].append(letter)
    return {letter: tuple(capitals) for letter, capitals in result.items()}


@cache
def _word_characters(excluded: str) -> str:
    """Return the characters of words, as Python has them, except one, as ranges of a character class."""
    text = "".join(map(chr, (code for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)))
    text = text.replace(excluded, " ") if excluded else text
    runs = [match.span() for match in re.finditer(r"\w+", text)]
    return "".join(f"\\x{{{ord(text[start]):X}}}-\\x{{{ord(text[stop - 1]):X}}}" for start, stop in runs)
