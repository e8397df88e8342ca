"""The terms that the model card uses, each explained once."""

import re
from collections.abc import Iterator

#: The explanation of each term, by the words that the text of a card contains.
_TERMS = {
    "95 % interval": "the range that the true figure is in with 95 % confidence, as far as the test rows can tell. It "
    "covers the chance in the choice of the test rows, not a change of the world",
    "accuracy": "the share of decisions that are right",
    "average precision": "precision, averaged over all values of recall: 1 is perfect; guessing gets the share of the "
    "label",
    "baseline": "a simple model to compare with",
    "brier": "the mean squared difference between a probability and what happened (1 or 0): 0 is perfect",
    "calibration error": "how far predicted and observed frequencies differ, on average",
    "conformal": "a way to make intervals that contain the truth in a chosen share of cases like those that fixed them",
    "coverage": "the share of cases whose truth is among what was predicted",
    "f1": "one number for precision and recall: their harmonic mean",
    "gate": "a requirement in model.yaml; a model that misses one is not stored",
    "golden request": "a request with a known answer that every copy of the model must reproduce",
    "Kolmogorov-Smirnov": "the largest difference between two distributions: 0 if they are the same, 1 if they do not "
    "overlap",
    "label": "one of the possible values of a target that is a category",
    "log loss": "how surprised the probabilities are by what happened: 0 is perfect, and a wrong answer that was "
    "certain costs most. Its unit, the nat, is that of a natural logarithm: 0.69 nats are those of a coin toss",
    "mae": "the mean absolute error, in the unit of the target",
    "median absolute error": "half of the errors are smaller than this",
    "nats": "the unit of a natural logarithm; see log loss",
    "ONNX": "a file format for models that programs in any language can run",
    "pinball": "the loss of a quantile: an error on the rare side costs more",
    "poisson deviance": "the loss of a count: how far the predicted mean is from the counts, 0 is perfect",
    "precision": "the share of the decisions for a label that are right",
    "PSI": "the population stability index, a measure of how much a distribution changed: below 0.1 is little",
    "quantile": "the value that a given share of cases stays at or below",
    "r2": "the share of the target's variance that the model explains: 1 is perfect, 0 is not better than the mean",
    "recall": "the share of the rows of a label that get the right decision",
    "rmse": "the root of the mean squared error, in the unit of the target; large errors count more than in the mae",
    "roc auc": "how often a row of the label gets a higher probability than another row: 0.5 is chance, 1 is perfect",
    "slice": "a part of the rows that a condition describes",
    "target": "the column that the model predicts",
    "test rows": "rows that were kept apart until the end, to measure the model once",
    "validation rows": "rows that the model was chosen and calibrated with, not fitted on",
}

#: The terms that mean something else, or are used only, where a model was trained elsewhere.
_ADOPTED_TERMS = {
    "adopted": "taken over from elsewhere: not trained by the project that made this package, but compared with its "
    "source, and evaluated",
    "probe row": "a row that is built from the model, to find where its answers differ from those of the source: with "
    "a threshold of the model or a number next to it, a category, a missing, unknown or extreme value, or an image of "
    "one colour, of a gradient or of noise",
    "reference rows": "the rows that live values are compared with: the train and validation parts of the table",
    "source": "the file or folder of the model as it was trained elsewhere",
    "test rows": "rows of the table that measured the model once, and fitted no baseline",
}


def terms(text: str, *, is_adopted: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the terms that a text uses, with their explanations, in alphabetical order.

    Args:
        text: The text.
        is_adopted: Whether it is about a model that was trained elsewhere.
    """
    known = _TERMS | _ADOPTED_TERMS if is_adopted else _TERMS
    for term in sorted(known, key=str.lower):
        if re.search(rf"(?i)(?<!\w){re.escape(term)}s?(?!\w)", text):
            yield term, known[term]
