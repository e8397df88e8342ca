"""Vectorizers of texts count the words that scikit-learn counts."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import write_transformer
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import write_model
from tests.adoption.graph.equality import TOLERANCE, run
from tests.adoption.graph.stored_models import stored
from tests.support.case_ids import case_id

DOCUMENTS = [
    "The cat sat on the mat",
    "A dog's LIFE: élan, ÉLAN vital!",
    "naïve café? Straße 12 apples_oranges",
    "",
    "x y z",
    "the the the cat\nsat\ton mat 2nd",
    "日本語 テスト word",
    "über Über ÜBER uBER",
    "dog life dog life",
]

OTHERS = [
    "Unknown words only",
    "CAT",
    "cat  SAT",
    "élan-ÉlAN",
    "\n\n",
    "a",
    "été 好 cat",
    "½ cat² sat",
    "e\u0301lan cat",
    "foo_bar __ dog_",
    "\u212aelvin life",
    "\u0130life cat",
]

VECTORIZERS = [
    CountVectorizer(),
    CountVectorizer(ngram_range=(1, 2)),
    CountVectorizer(ngram_range=(2, 3), binary=True),
    CountVectorizer(lowercase=False),
    CountVectorizer(stop_words="english"),
    CountVectorizer(token_pattern=r"\w+"),
    CountVectorizer(vocabulary=["cat", "the cat", "élan"], ngram_range=(1, 2)),
    TfidfVectorizer(),
    TfidfVectorizer(sublinear_tf=True, norm="l1", ngram_range=(1, 2)),
    TfidfVectorizer(use_idf=False, norm=None),
    make_pipeline(CountVectorizer(), TfidfTransformer()),
]

REFUSED = [
    CountVectorizer(analyzer="char", ngram_range=(2, 3)),
    CountVectorizer(stop_words="english", ngram_range=(1, 2)),
    CountVectorizer(token_pattern=r"[a-z]+"),
    CountVectorizer(strip_accents="unicode"),
    CountVectorizer(tokenizer=str.split),
    HashingVectorizer(),
]


def counts(vectorizer: Any, texts: list[str]) -> tuple[np.ndarray[tuple[int, int], np.dtype[Any]], GraphWriter]:
    """Return what the graph of a fitted vectorizer gives for texts."""
    graph = GraphWriter()
    block = write_transformer(stored(vectorizer), Frame.of_fields(["text"]), graph).numbers(graph)
    assert block.tensor is not None
    model = graph.model({"columns": (block.tensor, block.width)})
    return run(model, {"text": np.array(texts, object).reshape(-1, 1)})[0], graph


@pytest.mark.parametrize("vectorizer", VECTORIZERS, ids=case_id)
def test_vectorizers(vectorizer: Any) -> None:
    """Words, consecutive words, cases, scripts, and a batch without rows."""
    vectorizer.fit(DOCUMENTS)
    actual, graph = counts(vectorizer, DOCUMENTS + OTHERS)
    np.testing.assert_allclose(actual, vectorizer.transform(DOCUMENTS + OTHERS).toarray(), atol=TOLERANCE)
    assert counts(vectorizer, [])[0].shape == (0, actual.shape[1])
    assert graph.facts["text"].is_free_text
    assert graph.facts["text"].missing_forms == {""}


PIECES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\u0130")),
    st.sampled_from(DOCUMENTS + OTHERS[:-1]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=4).map("".join), min_size=1, max_size=8))
def test_any_texts(texts: list[str]) -> None:
    """Texts of any characters, except the one whose lower case is two characters."""
    vectorizer = CountVectorizer(ngram_range=(1, 2)).fit(DOCUMENTS)
    np.testing.assert_array_equal(counts(vectorizer, texts)[0], vectorizer.transform(texts).toarray())


@pytest.mark.parametrize("vectorizer", REFUSED, ids=case_id)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_a_graph_cannot_count_is_refused(vectorizer: Any) -> None:
    """The message names the class."""
    with pytest.raises(UnsupportedModel, match=type(vectorizer).__name__):
        counts(vectorizer.fit(DOCUMENTS), [])


def test_words_with_too_many_spellings_are_refused() -> None:
    """A long word of another script has too many spellings."""
    vectorizer = CountVectorizer().fit(["достопримечательность и превосходительство"])
    with pytest.raises(UnsupportedModel, match="letters outside of ASCII"):
        counts(vectorizer, [])


def test_classifier_of_texts() -> None:
    """The usual spam filter has one field, a text."""
    labels = np.arange(len(DOCUMENTS)) % 2
    model = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(DOCUMENTS, labels)
    written = write_model(stored(model), ["message"])
    (field,) = written.interface.fields
    assert (field.name, field.kind, field.is_free_text) == ("message", "text", True)
    texts = DOCUMENTS + OTHERS
    (probabilities,) = run(written.onnx, {"message": np.array(texts, object).reshape(-1, 1)})
    np.testing.assert_allclose(probabilities, model.predict_proba(texts), atol=TOLERANCE)


def test_texts_next_to_numbers() -> None:
    """A column transformer hands one text column to a vectorizer."""
    table = pd.DataFrame({"review": DOCUMENTS, "stars": np.arange(len(DOCUMENTS)) * 1.5})
    columns = make_column_transformer((TfidfVectorizer(), "review"), (StandardScaler(), ["stars"]))
    model = make_pipeline(columns, LogisticRegression()).fit(table, table["stars"] > 4)
    written = write_model(stored(model))
    texts = table[["review"]].to_numpy(object)
    (probabilities,) = run(written.onnx, {"review": texts, "stars": table[["stars"]].to_numpy()})
    np.testing.assert_allclose(probabilities, model.predict_proba(table), atol=TOLERANCE)
