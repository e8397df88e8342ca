"""The inputs of a network that takes sequences of any length, such as the tokens of texts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import SourceField
from model_deployer.adoption.network.network import Network, Tensor

#: What fills an input: the values of its fields; 1 for each number of a sequence and 0 after its end; or zeros.
Fill = Literal["values", "mask", "zeros"]

_MASK, _ZEROS = re.compile("mask", re.IGNORECASE), re.compile("token_type|segment", re.IGNORECASE)


@dataclass(frozen=True)
class StatedSequence:
    """What model.yaml says of a field that is a sequence.

    Attributes:
        longest: The largest number of numbers.
        shortest: The smallest number of numbers.
        padding: The number that a network gets after the end of a shorter sequence.
        minimum: The smallest number; None if it is not stated.
        maximum: The largest number; None if the table of the network has to say it.
    """

    longest: int
    shortest: int = 1
    padding: float = 0.0
    minimum: float | None = None
    maximum: float | None = None


def fill_of(tensor: Tensor, inputs: Sequence[Tensor]) -> Fill:
    """Return what fills an input; of several inputs, the names say which one is a mask."""
    if len(inputs) > 1 and tensor.sizes == (None,):
        if _MASK.search(tensor.name):
            return "mask"
        if _ZEROS.search(tensor.name):
            return "zeros"
    return "values"


def sequence_field(tensor: Tensor, name: str, stated: StatedSequence) -> SourceField:
    """Return the field of an input that takes sequences.

    Raises:
        UnsupportedModel: if the input takes no numbers of any length.
    """
    if tensor.sizes != (None,) or tensor.kind != "number":
        known = "x".join(str(size or "?") for size in tensor.sizes)
        raise UnsupportedModel(
            f"the input '{tensor.name}' takes tensors of the sizes {known} for each row, and '{name}' is a sequence: "
            f"export the model with a free second dimension, or make the field a `vector`"
        )
    minimum = 0.0 if stated.minimum is None and tensor.is_whole else stated.minimum
    return SourceField(
        name,
        "number",
        refuses_missing=True,
        is_whole=tensor.is_whole,
        sequence=(stated.shortest, stated.longest),
        minimum=minimum,
        maximum=stated.maximum,
    )


def within_vocabulary(field: SourceField, tensor: Tensor, network: Network) -> SourceField:
    """Return a field of tokens whose largest number is the last row of the table that the network reads them in.

    Raises:
        UnsupportedModel: if neither the network nor model.yaml says how large the numbers may be.
    """
    if field.sequence is None or not field.is_whole:
        return field
    rows = network.table_rows(tensor.name)
    known = [bound for bound in (field.maximum, None if rows is None else rows - 1.0) if bound is not None]
    if not known:
        raise UnsupportedModel(
            f"the network does not show how many tokens it knows: add `maximum: 30521`, the largest of them, to "
            f"'{field.name}' under `features`"
        )
    return replace(field, maximum=min(known))
