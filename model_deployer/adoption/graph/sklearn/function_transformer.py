"""A step that applies a function."""

from dataclasses import replace

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame, Origin
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.functions import FILLING, SMALLEST, function_name, write_function
from model_deployer.adoption.graph.sklearn.inverse import inverse
from model_deployer.adoption.stored_object import StoredObject


@transformer("sklearn.FunctionTransformer")
def write_function_transformer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write a function of numpy on every number; without a function, the columns stay as they are."""
    function = stored.get("func")
    if function is None:
        return frame
    block = frame.numbers(graph)
    assert block.tensor is not None
    values = write_function(function, stored.get("kw_args") or {}, Expression(graph, block.tensor))
    origins = tuple(origin and _origin_after(function_name(function), origin) for origin in block.origins)
    return Frame((replace(block, tensor=values.tensor, origins=origins),))


def _origin_after(name: str, origin: Origin) -> Origin:
    if name in FILLING:
        return origin.curved().filled()
    return origin.curved(SMALLEST.get(name))


@inverse("sklearn.FunctionTransformer")
def write_inverse_function(stored: StoredObject, numbers: Expression) -> Expression:
    """Write the inverse function that the step names."""
    return write_function(stored.get("inverse_func"), stored.get("inv_kw_args") or {}, numbers)
