"""Functions of numpy and scipy that a graph can compute, element by element."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


def log1p(x: Expression) -> Expression:
    """Return log(1 + x) without the loss of digits near 0."""
    u = x + 1.0
    return u.log() - u.equals(0.0).choose(0.0, ((u - 1.0) - x) / u)


def expm1(x: Expression) -> Expression:
    """Return exp(x) - 1 without the loss of digits near 0 (Kahan's method)."""
    u = x.exp()
    exact = (u - 1.0) * (x / u.log())
    near = u.equals(1.0).choose(x, exact)
    return ((x > 1.0) | (x < -1.0)).choose(u - 1.0, near)


def logit(x: Expression) -> Expression:
    """Return log(x / (1 - x))."""
    return (x / (1.0 - x)).log()


def _clip(x: Expression, *bounds: Any, **named: Any) -> Expression:
    lower = bounds[0] if bounds else named.get("a_min", named.get("min"))
    upper = bounds[1] if len(bounds) > 1 else named.get("a_max", named.get("max"))
    for bound in (lower, upper):
        if bound is not None and np.ndim(bound):
            raise UnsupportedModel("numpy.clip with one bound per column has no graph writer")
    return x.clip(lower, upper)


def _round(x: Expression, decimals: int = 0) -> Expression:
    if decimals == 0:
        return x.apply("Round")
    factor = 10.0 ** abs(decimals)
    return (x * factor).apply("Round") / factor if decimals > 0 else (x / factor).apply("Round") * factor


def _nan_to_num(x: Expression, copy: bool = True, nan: float = 0.0) -> Expression:
    return x.is_nan().choose(float(nan), x)


def _truncated(x: Expression) -> Expression:
    return x.apply("Sign") * x.abs().apply("Floor")


_FUNCTIONS: dict[str, Callable[..., Expression]] = {
    "abs": Expression.abs,
    "absolute": Expression.abs,
    "around": _round,
    "cbrt": lambda x: x.apply("Sign") * x.abs() ** (1.0 / 3.0),
    "ceil": lambda x: x.apply("Ceil"),
    "clip": _clip,
    "cos": lambda x: x.apply("Cos"),
    "cosh": lambda x: (x.exp() + (-x).exp()) * 0.5,
    "deg2rad": lambda x: x * (math.pi / 180.0),
    "exp": Expression.exp,
    "exp2": lambda x: Expression(x.graph, x.graph.constant(2.0)) ** x,
    "expit": Expression.sigmoid,
    "expm1": expm1,
    "fabs": Expression.abs,
    "floor": lambda x: x.apply("Floor"),
    "isnan": lambda x: x.is_nan().number(),
    "log": Expression.log,
    "log10": lambda x: x.log() / math.log(10.0),
    "log1p": log1p,
    "log2": lambda x: x.log() / math.log(2.0),
    "logit": logit,
    "nan_to_num": _nan_to_num,
    "negative": Expression.__neg__,
    "positive": lambda x: x,
    "rad2deg": lambda x: x * (180.0 / math.pi),
    "radians": lambda x: x * (math.pi / 180.0),
    "degrees": lambda x: x * (180.0 / math.pi),
    "reciprocal": lambda x: 1.0 / x,
    "rint": _round,
    "round": _round,
    "sign": lambda x: x.apply("Sign"),
    "sin": lambda x: x.apply("Sin"),
    "sinh": lambda x: (x.exp() - (-x).exp()) * 0.5,
    "sqrt": Expression.sqrt,
    "square": lambda x: x * x,
    "tan": lambda x: x.apply("Sin") / x.apply("Cos"),
    "tanh": lambda x: x.apply("Tanh"),
    "trunc": _truncated,
}

#: The smallest number for which a function is finite.
SMALLEST = {
    "log": float(np.nextafter(0.0, 1.0)),
    "log10": float(np.nextafter(0.0, 1.0)),
    "log1p": float(np.nextafter(-1.0, 0.0)),
    "log2": float(np.nextafter(0.0, 1.0)),
    "sqrt": 0.0,
}

#: Functions that return a number for a missing one.
FILLING = {"nan_to_num", "isnan"}


def function_name(function: Any) -> str:
    """Return the name of a stored function of numpy or scipy.special.

    Raises:
        UnsupportedModel: if it is another function.
    """
    if not isinstance(function, StoredObject):
        raise UnsupportedModel(f"expected a function, but found {type(function).__name__}")
    module, name = function.module, function.name
    if name == "_ufunc_reconstruct":
        module, name = (str(argument) for argument in function.arguments)
    if module.partition(".")[0] not in ("numpy", "scipy") or name not in _FUNCTIONS:
        raise UnsupportedModel(f"the function {module}.{name} has no graph writer")
    return name


def write_function(function: Any, keywords: Mapping[str, Any], numbers: Expression) -> Expression:
    """Apply a stored function to numbers; None changes nothing.

    Raises:
        UnsupportedModel: if a graph cannot compute the function, or not with these arguments.
    """
    if function is None:
        return numbers
    name = function_name(function)
    try:
        return _FUNCTIONS[name](numbers, **keywords)
    except TypeError:
        raise UnsupportedModel(
            f"the arguments {sorted(keywords)} of the function {name} have no graph writer"
        ) from None
