"""Put numbers into bins, and into the basis functions of splines."""

import math
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame, note_thresholds, refuse_missing, refuse_outside
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.piecewise import count_below, polynomials
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.encoder import one_hot
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.stored_object import StoredObject

Floats = NDArray[np.float64]


@transformer("sklearn.KBinsDiscretizer")
def write_bins(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the number of the bin, or one column of zeros and ones per bin."""
    block, numbers = complete_numbers(frame, graph)
    edges = [np.asarray(column, np.float64)[1:-1] for column in stored["bin_edges_"]]
    for origin, column in zip(block.origins, edges, strict=True):
        note_thresholds(origin, list(column), graph)
    if version_of(stored) < (1, 1):  # these versions move each number up by a tolerance
        numbers = numbers + (numbers.abs() * 1e-5 + 1e-8)
    positions = count_below(numbers, edges).number()
    if stored["encode"] == "ordinal":
        origins = [origin and origin.curved() for origin in block.origins]
        return Frame.of_numbers(positions.tensor, block.names, origins)
    parts = []
    for index, (name, column) in enumerate(zip(block.names, edges, strict=True)):
        encoded = one_hot(positions.columns([index]), len(column) + 1)
        parts.append(Frame.of_numbers(encoded.tensor, [f"{name}_{number}" for number in range(len(column) + 1)]))
    return reduce(Frame.__add__, parts, Frame(()))


@transformer("sklearn.SplineTransformer")
def write_splines(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the values of the basis functions of each column's spline."""
    block = frame.numbers(graph)
    if stored.get("handle_missing", "error") == "error":
        refuse_missing(block.origins, graph)
    assert block.tensor is not None
    numbers = Expression(graph, block.tensor)
    degree = int(stored["degree"])
    parts, names = [], []
    for index, stored_spline in enumerate(stored["bsplines_"]):
        spline = _spline(stored_spline)
        column = numbers.columns([index])
        count = spline.c.shape[1] - (not stored.get("include_bias", True))
        note_thresholds(block.origins[index], list(spline.t[spline.k : len(spline.t) - spline.k]), graph)
        if stored["extrapolation"] == "error":
            refuse_outside(block.origins[index], spline.t[spline.k], spline.t[-spline.k - 1], graph)
        values = _basis(spline, column, stored["extrapolation"], degree)
        if stored["extrapolation"] == "linear":
            degree = max(degree, 2) if degree == 1 else max(degree, 1)  # the library counts on from column to column
        parts.append(column.is_nan().choose(0.0, values).columns(range(count)))
        names += [f"{block.names[index]}_{number}" for number in range(count)]
    return Frame.of_numbers(concat(parts).tensor, names)


def _spline(stored: StoredObject) -> BSpline:
    def part(name: str) -> Any:
        return stored.get(name, stored.get(f"_{name}"))

    return BSpline(np.asarray(part("t"), np.float64), np.asarray(part("c"), np.float64), int(part("k")))


def _basis(spline: BSpline, x: Expression, extrapolation: str, degree: int) -> Expression:
    """Return the values of all basis functions, double [rows, functions].

    Args:
        spline: One spline with a coefficient for each basis function.
        x: The numbers, double [rows, 1].
        extrapolation: What happens outside of the outer knots, as the library names it.
        degree: The number of basis functions at each end that the library extrapolates, and the position of the
            outer knots.
    """
    if extrapolation == "periodic":
        start, stop = float(spline.t[spline.k]), float(spline.t[len(spline.t) - spline.k - 1])
        rest = (x - start).apply("Mod", stop - start, fmod=1)
        return _inside(spline, (rest < 0.0).choose(rest + (stop - start), rest) + start)
    if extrapolation in ("continue", "error"):
        return _inside(spline, x)
    low, high = float(spline.t[degree]), float(spline.t[-degree - 1])
    inside = _inside(spline, x.clip(low, high))
    count = max(degree, 1) if degree != 1 or extrapolation == "constant" else 2
    first = (np.arange(spline.c.shape[1]) < count).astype(np.float64)
    slope = 1.0 if extrapolation == "linear" else 0.0
    below = ((x - low) * (slope * spline(low, nu=1)) + spline(low)) * first
    above = ((x - high) * (slope * spline(high, nu=1)) + spline(high)) * first[::-1]
    return (x < low).choose(below, (x > high).choose(above, inside))


def _inside(spline: BSpline, x: Expression) -> Expression:
    """Evaluate the polynomials between the outer knots; the first and the last one go on outside."""
    breaks = np.unique(spline.t[spline.k : len(spline.t) - spline.k - 1])
    powers = range(spline.k, -1, -1)
    coefficients = [spline(breaks, nu=power) / math.factorial(power) for power in powers]
    return polynomials(x, breaks, np.stack(coefficients, axis=1))
