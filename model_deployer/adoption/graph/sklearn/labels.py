"""The classes of a stored classifier."""

from typing import Any

import numpy as np

from model_deployer.adoption.graph.unsupported import SeveralDecisions, UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


def labels_of(stored: StoredObject) -> list[Any]:
    """Return the classes in the order of the columns of ``predict_proba``.

    Raises:
        UnsupportedModel: if there are no classes, or those of several outputs.
    """
    owners = [stored, *(stored[name] for name in ("_label_binarizer", "label_binarizer_") if name in stored)]
    for owner in owners:
        if isinstance(owner, StoredObject) and "classes_" in owner:
            return as_labels(owner["classes_"])
    raise UnsupportedModel(f"{stored.name} does not state its classes")


def as_labels(classes: Any) -> list[Any]:
    """Return an array of classes as plain values of Python."""
    if isinstance(classes, (list, tuple)) and classes and isinstance(classes[0], np.ndarray):
        raise SeveralDecisions("the classifier")
    return list(np.asarray(classes).tolist())
