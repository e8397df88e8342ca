"""Functions that are defined piece by piece: the piece of a number, straight lines, polynomials."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.expression import Expression

Floats = NDArray[np.float64]


def count_below(numbers: Expression, edges: Sequence[Floats], or_equal: bool = True) -> Expression:
    """Count the edges that are at most a number, int64 [rows, columns]: a binary search; 0 for NaN.

    Args:
        numbers: Double [rows, columns].
        edges: For each column its edges, ascending.
        or_equal: Whether an edge that equals the number counts.
    """
    steps = max(len(column) for column in edges).bit_length()
    size = 2**steps
    table = np.full((len(edges), size), np.inf)
    for row, column in zip(table, edges, strict=True):
        row[: len(column)] = column
    flat = Expression(numbers.graph, numbers.graph.constant(table.ravel()))
    start = np.arange(len(edges), dtype=np.int64).reshape(1, -1) * size
    count = (numbers.is_nan() & np.array(False)).apply("Cast", to=7)
    for step in [2**power for power in reversed(range(steps))]:
        edge = flat.apply("Gather", count + (start + np.int64(step - 1)), axis=0)
        passed = edge <= numbers if or_equal else edge < numbers
        count = passed.choose(count + np.array(step, np.int64), count)
    return count.apply("Min", np.array([[len(column) for column in edges]], np.int64))


def gather(table: Floats, positions: Expression) -> Expression:
    """Return the number at a position of the table of each column.

    Args:
        table: Double [columns, size].
        positions: int64 [rows, columns].
    """
    flat = Expression(positions.graph, positions.graph.constant(table.ravel()))
    start = np.arange(len(table), dtype=np.int64).reshape(1, -1) * table.shape[1]
    return flat.apply("Gather", positions + start, axis=0)


def interpolate(numbers: Expression, xs: Floats, ys: Floats) -> Expression:
    """Interpolate linearly as ``numpy.interp`` does: constant outside of the first and the last point.

    Args:
        numbers: Double [rows, columns].
        xs: The points of each column, ascending, double [columns, points].
        ys: Their values, double [columns, points].
    """
    widths = np.diff(xs, axis=1)
    slopes = np.divide(np.diff(ys, axis=1), widths, out=np.zeros_like(widths), where=widths > 0)
    if xs.shape[1] == 1:
        return numbers * 0.0 + ys.T
    piece = count_below(numbers, [column[1:-1] for column in xs]) if xs.shape[1] > 2 else _first_piece(numbers)
    inside = (numbers - gather(xs[:, :-1], piece)) * gather(slopes, piece) + gather(ys[:, :-1], piece)
    low = (numbers < xs[:, :1].T).choose(ys[:, :1].T, inside)
    return (numbers >= xs[:, -1:].T).choose(ys[:, -1:].T, low)


def _first_piece(numbers: Expression) -> Expression:
    return (numbers.is_nan() & np.array(False)).apply("Cast", to=7)


def polynomials(numbers: Expression, breaks: Floats, coefficients: Floats) -> Expression:
    """Evaluate functions that are a polynomial on each interval, double [rows, functions].

    Args:
        numbers: Double [rows, 1].
        breaks: The start of each interval, ascending; the first and the last interval have no outer end.
        coefficients: Of the powers of the distance to the start, the highest power first, double [intervals, powers,
            functions].
    """
    piece = count_below(numbers, [breaks[1:]]) if len(breaks) > 1 else _first_piece(numbers)
    distance = numbers - gather(breaks[None, :], piece)
    row = piece.reshape(-1)
    value: Expression | None = None
    for power in range(coefficients.shape[1]):
        table = Expression(numbers.graph, numbers.graph.constant(coefficients[:, power]))
        coefficient = table.apply("Gather", row, axis=0)
        value = coefficient if value is None else value * distance + coefficient
    assert value is not None
    return value


def approximate(
    function: Callable[[Floats], Floats], lower: float, upper: float, numbers: Expression, pieces: int = 48
) -> Expression:
    """Evaluate a smooth function by Chebyshev interpolation on equal intervals, to about 1e-14.

    Args:
        function: The function, of a double array.
        lower: The smallest number that it is evaluated at; a smaller number is treated as this one.
        upper: The largest number.
        numbers: Double [rows, columns].
        pieces: The number of intervals.
    """
    edges = np.linspace(lower, upper, pieces + 1)
    half = (edges[1] - edges[0]) / 2
    table = np.array([_taylor_coefficients(function, start, half) for start in edges[:-1]])
    limited = numbers.reshape(-1, 1).clip(lower, upper)
    value = polynomials(limited, edges[:-1], table[:, :, None])
    return value.apply("Reshape", numbers.apply("Shape"))


def _taylor_coefficients(function: Callable[[Floats], Floats], start: float, half: float) -> Floats:
    """Return the coefficients of an interpolation from ``start`` on, the highest power first."""
    local = np.polynomial.Chebyshev.interpolate(lambda t: function(start + half + half * t), 12, domain=[-1, 1])
    moved = local.convert(kind=np.polynomial.Polynomial)(np.polynomial.Polynomial([-1.0, 1.0 / half]))
    return np.pad(np.asarray(moved.coef, np.float64), (0, 13 - len(moved.coef)))[::-1]
