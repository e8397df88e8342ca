import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.training.preprocessing import text
from model_deployer.training.preprocessing.text import TOPICS, TextEncoding, fit_text
from tests.support.reviews import BAD, GOOD, MARKS, PLAIN, in_a_graph, reviews

TEXTS, GOODNESS = reviews(600)
ENCODING, COLUMNS = fit_text(TEXTS, GOODNESS[:, None], 0)


def numbers(encoding: TextEncoding, *texts: str) -> np.ndarray:
    return np.stack(encoding.transform(pl.Series(texts, dtype=pl.String)), axis=1)


def test_the_first_mixture_tells_the_target_of_new_texts() -> None:
    texts, goodness = reviews(400, seed=1)
    assert np.corrcoef(ENCODING.transform(texts)[1], goodness)[0, 1] > 0.85
    assert len(COLUMNS) == 2 + TOPICS


def test_case_punctuation_and_line_breaks_do_not_matter() -> None:
    first, *others = numbers(
        ENCODING, "lovely thing", "LOVELY,thing!", "(Lovely)\r\n\tTHING\u2026", "lovely\u00a0thing"
    )
    assert all(np.array_equal(first, other) for other in others)


def test_a_pair_of_words_may_say_the_opposite_of_one() -> None:
    superb, not_superb, nothing = numbers(ENCODING, "superb", "not superb", "never heard of")[:, 1]
    assert not_superb < nothing < superb
    assert nothing == 0


def test_a_missing_text_is_told_from_one_without_a_word() -> None:
    missing, blank, strange = numbers(ENCODING, "", " \n...", "qwertz uiop")
    assert np.isnan(missing[0])
    assert (blank[0], strange[0]) == (0, 2)
    assert not np.any([missing[1:], blank[1:], strange[1:]])


@settings(max_examples=100)
@given(
    st.lists(
        st.text()
        | st.lists(st.sampled_from([*GOOD, *BAD, *PLAIN, *MARKS]) | st.text(max_size=3), max_size=30).map("".join),
        max_size=6,
    )
)
def test_the_graph_finds_the_same_numbers_to_the_last_bit(texts: list[str]) -> None:
    assert np.array_equal(in_a_graph(ENCODING, texts), numbers(ENCODING, *texts), equal_nan=True)


def test_long_and_odd_texts_are_read_alike() -> None:
    spaces = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
    all_characters = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    texts = ["superb " * 10_000, "x" * 100_000, "\x00", "awful\x00superb", spaces.join(PLAIN), all_characters, spaces]
    encoded = numbers(ENCODING, *texts)
    assert np.array_equal(in_a_graph(ENCODING, texts), encoded)
    assert encoded[0, 0] == 10_000
    assert encoded[4, 0] == len(PLAIN)


def test_training_texts_get_no_hint_of_their_own_target() -> None:
    random = np.random.default_rng(1)
    texts = pl.Series([" ".join(f"w{word}" for word in random.integers(0, 500, 30)) for _ in range(800)])
    noise = random.normal(size=(800, 1))
    encoding, columns = fit_text(texts, noise, 0)
    assert np.corrcoef(encoding.transform(texts)[1], noise[:, 0])[0, 1] > 0.3
    assert abs(np.corrcoef(columns[1], noise[:, 0])[0, 1]) < 0.1


def test_where_there_are_many_texts_some_are_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "ROWS", 500)
    encoding, columns = fit_text(TEXTS, GOODNESS[:, None], 0)
    assert (columns[1] == encoding.transform(TEXTS)[1]).sum() == pytest.approx(100 + 50, abs=20)  # 50 are missing


def test_each_column_of_the_target_has_a_mixture() -> None:
    encoding, columns = fit_text(TEXTS, np.stack([GOODNESS, -GOODNESS, np.zeros(600)], axis=1), 0)
    assert np.allclose(columns[1], -columns[2])
    assert not columns[3].any()
    assert len(encoding.columns) == 3 + TOPICS


def test_texts_that_share_no_word_have_a_length_and_no_more() -> None:
    texts = pl.Series([f"word{number} of{number}" for number in range(50)])
    encoding, columns = fit_text(texts, np.arange(50.0)[:, None], 0)
    assert [column.tolist() for column in columns] == [[2.0] * 50]
    assert in_a_graph(encoding, ["of1", "a b c", ""]).tolist()[:2] == [[1.0], [3.0]]


def test_it_survives_json_and_the_seed_decides() -> None:
    assert TextEncoding.model_validate_json(ENCODING.model_dump_json()) == ENCODING
    again, columns = fit_text(TEXTS, GOODNESS[:, None], 0)
    assert again == ENCODING
    assert np.array_equal(columns, COLUMNS, equal_nan=True)
    other = fit_text(TEXTS, GOODNESS[:, None], 1)[1]
    assert not np.array_equal(other, COLUMNS, equal_nan=True)


def test_a_single_word_is_enough() -> None:
    texts = pl.Series(["yes"] * 10 + ["never seen before"] * 3 + [""] * 10)
    encoding, columns = fit_text(texts, np.repeat([1.0, 0.0], [10, 13])[:, None], 0)
    assert in_a_graph(encoding, ["yes", "no"]).shape == (2, 3)
    assert columns[1][0] > columns[1][-1]
