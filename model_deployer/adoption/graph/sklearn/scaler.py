"""Shift and scale columns. The steps of the arithmetic are those of the library, so that no bit differs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Block, Frame, Origin, note_thresholds, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.inverse import inverse
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

Floats = NDArray[np.float64]


@transformer("sklearn.StandardScaler", "sklearn.RobustScaler")
def write_standard_scaler(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write (x - centre) / scale."""
    block, numbers = _numbers(stored, frame, graph)
    centre, scale = _centre_and_scale(stored, block.width)
    if centre is not None:
        numbers = numbers - centre
    if scale is not None:
        numbers = numbers / scale
    factors = np.ones(block.width) if scale is None else 1.0 / scale
    offsets = np.zeros(block.width) if centre is None else -centre * factors
    return _scaled(block, numbers, factors, offsets)


@inverse("sklearn.StandardScaler", "sklearn.RobustScaler")
def write_inverse_standard_scaler(stored: StoredObject, numbers: Expression) -> Expression:
    """Write x * scale + centre."""
    centre, scale = _centre_and_scale(stored, None)
    scaled = numbers if scale is None else numbers * scale
    return scaled if centre is None else scaled + centre


@transformer("sklearn.MinMaxScaler")
def write_min_max_scaler(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write x * scale + minimum, limited to the range if the scaler clips."""
    block, numbers = _numbers(stored, frame, graph)
    scale, offset = _row(stored["scale_"]), _row(stored["min_"])
    result = _scaled(block, numbers * scale + offset, scale, offset)
    if not stored.get("clip"):
        return result
    lower, upper = stored["feature_range"]
    return _clipped(result, lower, upper, graph)


@inverse("sklearn.MinMaxScaler")
def write_inverse_min_max_scaler(stored: StoredObject, numbers: Expression) -> Expression:
    """Write (x - minimum) / scale."""
    return (numbers - _row(stored["min_"])) / _row(stored["scale_"])


@transformer("sklearn.MaxAbsScaler")
def write_max_abs_scaler(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write x / scale, limited to -1 to 1 if the scaler clips."""
    block, numbers = _numbers(stored, frame, graph)
    scale = _row(stored["scale_"])
    result = _scaled(block, numbers / scale, 1.0 / scale, np.zeros(block.width))
    return _clipped(result, -1.0, 1.0, graph) if stored.get("clip") else result


@inverse("sklearn.MaxAbsScaler")
def write_inverse_max_abs_scaler(stored: StoredObject, numbers: Expression) -> Expression:
    """Write x * scale."""
    return numbers * _row(stored["scale_"])


@transformer("sklearn.Normalizer")
def write_normalizer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write each row divided by its length; a row of zeros stays."""
    block, numbers = complete_numbers(frame, graph)
    lengths: dict[str, Callable[[], Expression]] = {
        "l1": lambda: numbers.abs().sum(),
        "l2": lambda: (numbers * numbers).sum().sqrt(),
        "max": lambda: numbers.abs().max(),
    }
    length = lengths[stored.get("norm", "l2")]()
    return Frame.of_numbers((numbers / length.equals(0.0).choose(1.0, length)).tensor, block.names)


@transformer("sklearn.Binarizer")
def write_binarizer(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write 1 for a number above the threshold, and 0 for another one."""
    block, numbers = complete_numbers(frame, graph)
    threshold = float(stored.get("threshold", 0.0))
    for origin in block.origins:
        note_thresholds(origin, [threshold], graph)
    return Frame.of_numbers((numbers > threshold).number().tensor, block.names, _curved(block))


def _numbers(stored: StoredObject, frame: Frame, graph: GraphWriter) -> tuple[Block, Expression]:
    """Return the columns of a scaler, which keeps missing numbers since version 0.20."""
    block = frame.numbers(graph)
    if version_of(stored) < (0, 20):
        refuse_missing(block.origins, graph)
    assert block.tensor is not None
    return block, Expression(graph, block.tensor)


def _centre_and_scale(stored: StoredObject, width: int | None) -> tuple[Floats | None, Floats | None]:
    if stored.name == "RobustScaler":
        centre = stored["center_"] if stored.get("with_centering", True) else None
        scale = stored["scale_"] if stored.get("with_scaling", True) else None
    else:
        centre = stored["mean_"] if stored.get("with_mean", True) else None
        scale = stored.get("scale_", stored.get("std_")) if stored.get("with_std", True) else None
    if width is not None and any(values is not None and np.size(values) != width for values in (centre, scale)):
        raise UnsupportedModel(f"{stored.name} was fitted on another number of columns than the {width} it gets")
    return (None if centre is None else _row(centre)), (None if scale is None else _row(scale))


def _row(values: Any) -> Floats:
    return np.asarray(values, np.float64).reshape(-1)


def _scaled(block: Block, numbers: Expression, factors: Floats, offsets: Floats) -> Frame:
    origins = tuple(
        origin and origin.scaled(float(factor), float(offset))
        for origin, factor, offset in zip(block.origins, factors, offsets, strict=True)
    )
    return Frame((replace(block, tensor=numbers.tensor, origins=origins),))


def _clipped(frame: Frame, lower: float, upper: float, graph: GraphWriter) -> Frame:
    (block,) = frame.blocks
    assert block.tensor is not None
    for origin in block.origins:
        note_thresholds(origin, [lower, upper], graph)
    return Frame((replace(block, tensor=Expression(graph, block.tensor).clip(lower, upper).tensor),))


def _curved(block: Block) -> list[Origin | None]:
    return [origin and origin.curved() for origin in block.origins]
