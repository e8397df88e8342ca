"""Isotonic regression: an increasing or decreasing function of one number."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame, note_thresholds, refuse_outside
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.piecewise import interpolate
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


@predictor("sklearn.IsotonicRegression")
def write_isotonic_regression(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the straight lines between the points of the function."""
    block, numbers = complete_numbers(frame, graph)
    if block.width != 1:
        raise UnsupportedModel("IsotonicRegression reads one column")
    points, _ = isotonic_points(stored)
    note_thresholds(block.origins[0], points.tolist(), graph)
    if stored.get("out_of_bounds") == "raise":
        refuse_outside(block.origins[0], float(points[0]), float(points[-1]), graph)
    return Answer(isotonic_values(stored, numbers).tensor)


def isotonic_points(stored: StoredObject) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the points between which the function is straight, and its values there, float32 or float64 [points].

    Raises:
        UnsupportedModel: if a version before 0.18 stored the function.
    """
    xs = stored.get("X_thresholds_", stored.get("_necessary_X_"))
    if xs is None:
        raise UnsupportedModel("IsotonicRegression of version 0.17 and older has no graph writer")
    return np.asarray(xs), np.asarray(stored.get("y_thresholds_", stored.get("_necessary_y_")))


def isotonic_values(stored: StoredObject, numbers: Expression) -> Expression:
    """Return the value of the function at each number, double [rows, 1]; NaN where it is not defined."""
    xs, ys = isotonic_points(stored)
    if xs.dtype == np.float32:
        numbers = numbers.apply("Cast", to=TensorProto.FLOAT).number()
    points = xs.astype(np.float64)[None, :]
    values = interpolate(numbers, points, ys.astype(np.float64)[None, :])
    if stored.get("out_of_bounds") == "clip" or points.shape[1] == 1:
        return values
    outside: Expression = (numbers < points[0, 0]) | (numbers > points[0, -1])
    return outside.choose(np.nan, values)
