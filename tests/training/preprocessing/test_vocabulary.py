import numpy as np
import polars as pl
import pytest

from model_deployer.training.preprocessing.vocabulary import MIN_TERM_ROWS, UNKNOWN, Vocabulary, find_vocabulary


def terms(vocabulary: Vocabulary) -> set[tuple[str, ...]]:
    """Return the terms in lower case."""
    words = {number: word for word, number in vocabulary.words.items() if word == word.lower()}
    return {(words[number],) for number in vocabulary.singles} | {
        (words[first], words[second]) for first, second in vocabulary.pairs
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Not good!", ["Not", "good"]),
        ("don't\nkey=value\r\n\ta/b", ["don", "t", "key", "value", "a", "b"]),
        ("«Così»—1.234,5 €", ["Così", "1", "234", "5"]),
        ("很好吃\U0001f600\U0001f600", ["很", "好", "吃", "\U0001f600", "\U0001f600"]),
        ("좋은 물건\u00a0été\u3000żółw", ["좋은", "물건", "été", "żółw"]),
        ("a\x00b\ufeffc\u200bd", ["a", "b", "c", "d"]),
        (" \t\n\u2003... ", []),
    ],
)
def test_what_a_word_is(text: str, words: list[str]) -> None:
    vocabulary = find_vocabulary(pl.Series([text] * MIN_TERM_ROWS))
    spelling = {number: word for word, number in vocabulary.words.items() if word in words}
    assert [spelling[number] for number in vocabulary.tokenize(pl.Series([text]))[1]] == words


def test_a_term_is_in_enough_texts_and_within_one_text() -> None:
    texts = pl.Series(["New York"] * (MIN_TERM_ROWS - 1) + ["new", "york", "new", "york york york york york"])
    assert terms(find_vocabulary(texts)) == {("new",), ("york",)}
    assert terms(find_vocabulary(texts.append(pl.Series(["NEW-YORK"])))) == {("new",), ("york",), ("new", "york")}


def test_spellings_that_differ_in_case_are_one_word() -> None:
    vocabulary = find_vocabulary(pl.Series(["iPhone", "straße", "ΣΑΣ"] * MIN_TERM_ROWS))
    iphone = vocabulary.words["iPhone"]
    assert {vocabulary.words[word] for word in ("iphone", "Iphone", "IPHONE")} == {iphone}
    assert "STRASSE" not in vocabulary.words
    assert vocabulary.tokenize(pl.Series(["IPHONE iPHONE"]))[1].tolist() == [iphone, UNKNOWN]


def test_an_occurrence_counts_once_and_a_stranger_parts_a_pair() -> None:
    vocabulary = find_vocabulary(pl.Series(["a b"] * MIN_TERM_ROWS))
    texts = pl.Series(["a b a b", "a x b", "", "b a"])
    occurrences = vocabulary.occurrences(*vocabulary.tokenize(texts), 4)
    assert occurrences.toarray().tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0], [1, 1, 0]]


def test_some_of_the_terms_keep_the_words_that_they_need() -> None:
    vocabulary = find_vocabulary(pl.Series(["a b c"] * MIN_TERM_ROWS))
    assert terms(vocabulary) == {("a",), ("b",), ("c",), ("a", "b"), ("b", "c")}
    subset = vocabulary.subset(np.array([0, 4]))
    assert terms(subset) == {("a",), ("b", "c")}
    assert set(subset.words) == {"a", "A", "b", "B", "c", "C"}
    assert set(vocabulary.subset(np.array([2])).words) == {"c", "C"}
