"""Several targets from models of one target."""

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, write_predictor
from model_deployer.adoption.graph.unsupported import SeveralDecisions, UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


@predictor("sklearn.ClassifierChain", "sklearn.MultiOutputClassifier")
def refuse_several_decisions(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Refuse a model that makes several decisions for a row.

    Raises:
        SeveralDecisions: always.
    """
    raise SeveralDecisions(stored.name)


@predictor("sklearn.MultiOutputRegressor")
def write_one_model_for_each(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the models of the targets, one after the other."""
    values = [_value(model, frame, graph) for model in stored["estimators_"]]
    return Answer(concat(values).tensor, targets=len(values))


@predictor("sklearn.RegressorChain")
def write_chain(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the models of a chain: each reads the columns, and the values of the models before it."""
    order = np.asarray(stored["order_"], np.int64).tolist()
    values: list[Expression] = []
    for model in stored["estimators_"]:
        read = frame
        if values:
            names = [f"target_{target}" for target in order[: len(values)]]
            read = frame + Frame.of_numbers(concat(values).tensor, names)
        values.append(_value(model, read, graph))
    in_order = concat(values).columns(np.argsort(order).tolist())
    return Answer(in_order.tensor, targets=len(values))


def _value(model: StoredObject, frame: Frame, graph: GraphWriter) -> Expression:
    answer = write_predictor(model, frame, graph)
    if answer.labels is not None:
        raise UnsupportedModel("a part of a regression of several targets is not a regression")
    return Expression(graph, answer.prediction)
