"""A regression of a target that was transformed."""

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, write_predictor
from model_deployer.adoption.graph.sklearn.inverse import write_inverse
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


@predictor("sklearn.TransformedTargetRegressor")
def write_transformed_target(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the regression, and then the inverse of what was done to its target."""
    answer = write_predictor(stored["regressor_"], frame, graph)
    if answer.labels is not None:
        raise UnsupportedModel("TransformedTargetRegressor holds a model that is not a regression")
    return Answer(write_inverse(stored["transformer_"], Expression(graph, answer.prediction)).tensor)
