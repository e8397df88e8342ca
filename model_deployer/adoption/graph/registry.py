"""The functions that write graphs, by the class of the object that they write.

A writer registers itself with a decorator. :func:`write_predictor` and :func:`write_transformer` find it, for a whole
model and for the parts of a pipeline or of an ensemble.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

#: Write a model that predicts, or a step that changes columns: the object, the columns that it reads, and the graph.
PredictorWriter = Callable[[StoredObject, Frame, GraphWriter], Answer]
TransformerWriter = Callable[[StoredObject, Frame, GraphWriter], Frame]

_PREDICTORS: dict[str, PredictorWriter] = {}
_TRANSFORMERS: dict[str, TransformerWriter] = {}


def predictor(*kinds: str) -> Callable[[PredictorWriter], PredictorWriter]:
    """Register the writer of models of these kinds, such as ``sklearn.LogisticRegression``."""

    def register(writer: PredictorWriter) -> PredictorWriter:
        _PREDICTORS.update(dict.fromkeys(kinds, writer))
        return writer

    return register


def transformer(*kinds: str) -> Callable[[TransformerWriter], TransformerWriter]:
    """Register the writer of steps of these kinds, such as ``sklearn.StandardScaler``."""

    def register(writer: TransformerWriter) -> TransformerWriter:
        _TRANSFORMERS.update(dict.fromkeys(kinds, writer))
        return writer

    return register


def is_transformer(stored: object) -> bool:
    """Return whether an object is a step with a writer."""
    return isinstance(stored, StoredObject) and stored.kind in _TRANSFORMERS


def require_writers(parts: Iterable[StoredObject]) -> None:
    """Check that objects have writers.

    Raises:
        UnsupportedModel: if one of them has none.
    """
    for part in parts:
        if part.kind not in _PREDICTORS.keys() | _TRANSFORMERS.keys():
            raise _without_writer(part)


def write_predictor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write a model that predicts.

    Raises:
        UnsupportedModel: if the model, or a part of it, has no writer.
    """
    return _writer(_PREDICTORS, stored)(stored, frame, graph)


def write_transformer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write a step that changes columns.

    Raises:
        UnsupportedModel: if the step, or a part of it, has no writer.
    """
    return _writer(_TRANSFORMERS, stored)(stored, frame, graph)


_Writer = TypeVar("_Writer")


def _writer(writers: dict[str, _Writer], stored: object) -> _Writer:
    if not isinstance(stored, StoredObject):
        raise UnsupportedModel(f"expected a fitted object, but found {type(stored).__name__}")
    try:
        return writers[stored.kind]
    except KeyError:
        raise _without_writer(stored) from None


def _without_writer(stored: StoredObject) -> UnsupportedModel:
    return UnsupportedModel(f"{stored.path} has no graph writer")
