"""Change the distribution of columns: power and quantile transforms."""

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph import normal_distribution
from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame, note_thresholds, refuse_outside
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.piecewise import interpolate
from model_deployer.adoption.graph.registry import transformer, write_transformer
from model_deployer.adoption.graph.sklearn.functions import expm1, log1p
from model_deployer.adoption.graph.sklearn.inverse import inverse, write_inverse
from model_deployer.adoption.stored_object import StoredObject

Floats = NDArray[np.float64]

#: The distance from the smallest and the largest quantile within which the library returns the limit.
_BOUNDS_THRESHOLD = 1e-7

#: The smallest probability that the library maps to a quantile of the normal distribution.
_SMALLEST = _BOUNDS_THRESHOLD - float(np.spacing(1))


@transformer("sklearn.PowerTransformer")
def write_power_transformer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the power of Box and Cox (1964), or of Yeo and Johnson (2000), and the scaler after it."""
    block = frame.numbers(graph)
    assert block.tensor is not None
    numbers = Expression(graph, block.tensor)
    power = _box_cox if stored["method"] == "box-cox" else _yeo_johnson
    parts = [power(numbers.columns([index]), float(value)) for index, value in enumerate(stored["lambdas_"])]
    for origin in block.origins:
        if stored["method"] == "box-cox":
            refuse_outside(origin, float(np.nextafter(0.0, 1.0)), None, graph)
        else:
            note_thresholds(origin, [0.0], graph)
    origins = [origin and origin.curved() for origin in block.origins]
    powers = Frame.of_numbers(concat(parts).tensor, block.names, origins)
    return write_transformer(stored["_scaler"], powers, graph) if stored.get("standardize", True) else powers


@inverse("sklearn.PowerTransformer")
def write_inverse_power(stored: StoredObject, numbers: Expression) -> Expression:
    """Write the inverse of the scaler, and then of the power."""
    values = write_inverse(stored["_scaler"], numbers) if stored.get("standardize", True) else numbers
    power = _inverse_box_cox if stored["method"] == "box-cox" else _inverse_yeo_johnson
    return concat([power(values.columns([index]), float(value)) for index, value in enumerate(stored["lambdas_"])])


@transformer("sklearn.QuantileTransformer")
def write_quantile_transformer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the share of the training values that are below each number, or that quantile of a normal distribution."""
    block = frame.numbers(graph)
    assert block.tensor is not None
    numbers = Expression(graph, block.tensor)
    quantiles, references = _points(stored)
    for origin, column in zip(block.origins, quantiles, strict=True):
        note_thresholds(origin, list(column), graph)
    up = interpolate(numbers, quantiles, references)
    down = interpolate(-numbers, -quantiles[:, ::-1], -references[:, ::-1])
    shares = (up - down) * 0.5
    low, high = quantiles[:, 0], quantiles[:, -1]
    normal = stored["output_distribution"] == "normal"
    at_high = numbers + _BOUNDS_THRESHOLD > high if normal else numbers.equals(high)
    at_low = numbers - _BOUNDS_THRESHOLD < low if normal else numbers.equals(low)
    shares = at_low.choose(0.0, at_high.choose(1.0, shares))
    result = normal_distribution.quantile(shares, _SMALLEST) if normal else shares
    result = numbers.is_nan().choose(numbers, result)
    return Frame.of_numbers(result.tensor, block.names, [origin and origin.curved() for origin in block.origins])


@inverse("sklearn.QuantileTransformer")
def write_inverse_quantile(stored: StoredObject, numbers: Expression) -> Expression:
    """Write the training value below which that share of the training values is."""
    quantiles, references = _points(stored)
    normal = stored["output_distribution"] == "normal"
    shares = normal_distribution.distribution(numbers) if normal else numbers
    margin = _BOUNDS_THRESHOLD if normal else 0.0
    result = interpolate(shares, references, quantiles)
    at_high = shares + margin > 1.0 if normal else shares.equals(1.0)
    at_low = shares - margin < 0.0 if normal else shares.equals(0.0)
    return at_low.choose(quantiles[:, 0], at_high.choose(quantiles[:, -1], result))


def _points(stored: StoredObject) -> tuple[Floats, Floats]:
    """Return the quantiles and the share of values below them, both double [columns, points]."""
    quantiles = np.asarray(stored["quantiles_"], np.float64).T
    return quantiles, np.broadcast_to(np.asarray(stored["references_"], np.float64), quantiles.shape)


def _is_zero(power: float) -> bool:
    return abs(power) < float(np.spacing(1.0))


def _box_cox(x: Expression, power: float) -> Expression:
    return x.log() if _is_zero(power) else expm1(x.log() * power) / power


def _inverse_box_cox(y: Expression, power: float) -> Expression:
    return y.exp() if _is_zero(power) else (log1p(y * power) / power).exp()


def _yeo_johnson(x: Expression, power: float) -> Expression:
    other = 2.0 - power
    positive = log1p(x) if _is_zero(power) else expm1(log1p(x) * power) / power
    negative = -log1p(-x) if _is_zero(other) else -(expm1(log1p(-x) * other) / other)
    return (x < 0.0).choose(negative, positive)


def _inverse_yeo_johnson(y: Expression, power: float) -> Expression:
    other = 2.0 - power
    positive = expm1(y) if _is_zero(power) else expm1(log1p(y * power) / power)
    negative = -expm1(-y) if _is_zero(other) else -expm1(log1p(-y * other) / other)
    return (y < 0.0).choose(negative, positive)
