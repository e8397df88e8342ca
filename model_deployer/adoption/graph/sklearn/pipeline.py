"""Steps one after another, and steps next to each other."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, transformer, write_predictor, write_transformer
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


def write_step(step: Any, frame: Frame, graph: GraphWriter) -> Frame:
    """Write a step of a pipeline: "passthrough" and None change nothing, "drop" leaves no column."""
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return frame
    if isinstance(step, str) and step == "drop":
        return Frame(())
    if isinstance(step, StoredObject) and step.library == "imblearn":
        return frame  # samplers change the rows of training only
    return write_transformer(step, frame, graph)


@transformer("sklearn.Pipeline", "imblearn.Pipeline")
def write_pipeline_steps(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write a pipeline all of whose steps change columns."""
    return _write_steps((step for _, step in stored["steps"]), frame, graph)


@predictor("sklearn.Pipeline", "imblearn.Pipeline")
def write_pipeline(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write a pipeline that ends with a model."""
    *steps, model = [step for _, step in stored["steps"]]
    if not isinstance(model, StoredObject):
        raise UnsupportedModel("the last step of the pipeline does not predict")
    return write_predictor(model, _write_steps(steps, frame, graph), graph)


@transformer("sklearn.FeatureUnion")
def write_feature_union(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write steps that read the same columns; their outputs are next to each other."""
    weights = stored.get("transformer_weights") or {}
    parts = [
        weighted(write_step("drop" if step is None else step, frame, graph), weights.get(name), graph)
        for name, step in stored["transformer_list"]
    ]
    return reduce(Frame.__add__, parts, Frame(()))


def weighted(frame: Frame, weight: float | None, graph: GraphWriter) -> Frame:
    """Multiply all columns by the weight of a step; None leaves them as they are."""
    if weight is None or not frame.width:
        return frame
    block = frame.numbers(graph)
    assert block.tensor is not None
    origins = tuple(origin and origin.scaled(weight, 0.0) for origin in block.origins)
    return Frame(
        (replace(block, tensor=(Expression(graph, block.tensor) * np.float64(weight)).tensor, origins=origins),)
    )


def _write_steps(steps: Iterable[Any], frame: Frame, graph: GraphWriter) -> Frame:
    return reduce(lambda columns, step: write_step(step, columns, graph), steps, frame)
