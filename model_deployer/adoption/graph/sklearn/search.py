"""Models that were chosen by a search, or whose decision was tuned."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, transformer, write_predictor, write_transformer
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

SEARCHES = (
    "sklearn.GridSearchCV",
    "sklearn.RandomizedSearchCV",
    "sklearn.HalvingGridSearchCV",
    "sklearn.HalvingRandomSearchCV",
    "skopt.BayesSearchCV",
)

#: Scores whose positive class is 1 unless they state another one; other scores take the second class.
_SCORES_OF_ONE = {"f1_score", "fbeta_score", "jaccard_score", "precision_score", "recall_score", "brier_score_loss"}


@predictor(*SEARCHES)
def write_search(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the best model."""
    return write_predictor(_best(stored), frame, graph)


@transformer(*SEARCHES)
def write_search_steps(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the best step."""
    return write_transformer(_best(stored), frame, graph)


@predictor("sklearn.FrozenEstimator")
def write_frozen(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the model inside."""
    return write_predictor(stored["estimator"], frame, graph)


@transformer("sklearn.FrozenEstimator")
def write_frozen_step(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the step inside."""
    return write_transformer(stored["estimator"], frame, graph)


@predictor("sklearn.FixedThresholdClassifier", "sklearn.TunedThresholdClassifierCV")
def write_threshold_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the model with another threshold; the library decides for the positive class at the threshold itself."""
    answer = write_predictor(stored.get("estimator_", stored["estimator"]), frame, graph)
    labels = labels_of(stored) if "classes_" in stored else answer.labels
    if labels is None or len(labels) != 2:
        raise UnsupportedModel(f"{stored.name} decides between two labels")
    method = stored.get("response_method", "auto")
    by_score = answer.tensor is None or method == "decision_function"
    if by_score and answer.scores is None:
        raise UnsupportedModel(f"{stored.name} reads scores that the model does not have")
    threshold = stored.get("best_threshold_", stored.get("threshold", "auto"))
    limit = (0.0 if by_score else 0.5) if isinstance(threshold, str) else float(threshold)
    if _positive(stored, labels) == labels[1]:
        above = float(np.nextafter(limit, -np.inf))
    else:  # the first label is positive, and the second one is decided for below the threshold
        above = -limit if by_score else 1.0 - limit
    return replace(answer, tensor=None if by_score else answer.tensor, labels=labels, threshold=above, decision=None)


def _best(stored: StoredObject) -> StoredObject:
    if not isinstance(stored.get("best_estimator_"), StoredObject):
        raise UnsupportedModel(f"{stored.name} holds no fitted model; it was fitted with refit=False")
    best: StoredObject = stored["best_estimator_"]
    return best


def _positive(stored: StoredObject, labels: Sequence[object]) -> object:
    """Return the label whose score is compared with the threshold."""
    scorer = stored.get("_curve_scorer")
    label = stored.get("pos_label")
    if isinstance(scorer, StoredObject):
        function = scorer.get("_score_func")
        default = 1 if isinstance(function, StoredObject) and function.name in _SCORES_OF_ONE else None
        label = (scorer.get("_kwargs") or {}).get("pos_label", default)
    return labels[1] if label is None else label
