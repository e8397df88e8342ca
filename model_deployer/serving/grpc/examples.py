"""TensorFlow's examples: the message Input of TensorFlow Serving as rows."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import Boolean, Image, NumberArray


class ExampleReader:
    """Returns the rows of a message Input: an object by field for each example, with None for a missing value.

    Args:
        contract: The contract of the model.
    """

    def __init__(self, contract: Contract) -> None:
        self._limits = contract.limits
        self._names = frozenset(contract.names)
        self._arrays = {feature.name: feature for feature in contract.features if isinstance(feature, NumberArray)}
        self._images = frozenset(feature.name for feature in contract.features if isinstance(feature, Image))
        self._booleans = frozenset(feature.name for feature in contract.features if isinstance(feature, Boolean))

    def __call__(self, message: Any) -> list[dict[str, Any]]:
        """Read the examples, each of them with the fields of the context, if there is one.

        Raises:
            MalformedBody: if there are no examples, or if a feature other than a list or a tensor has several values.
            TooManyRows: if there are more examples than the contract allows.
        """
        kind = message.WhichOneof("kind")
        if kind is None:
            raise MalformedBody("expected `input` to have an `example_list` or an `example_list_with_context`")
        examples = getattr(message, kind)
        self._limits.check_rows(len(examples.examples))
        context = self._row(0, examples.context) if kind == "example_list_with_context" else {}
        return [context | self._row(index, example) for index, example in enumerate(examples.examples)]

    def _row(self, index: int, example: Any) -> dict[str, Any]:
        return {name: self._value(index, name, value) for name, value in example.features.feature.items()}

    def _value(self, index: int, name: str, feature: Any) -> Any:
        kind = feature.WhichOneof("kind")
        values = getattr(feature, kind).value if kind else ()
        if name in self._arrays and values:
            return _nested(list(values), self._arrays[name].open_shape)
        if len(values) > 1:
            raise MalformedBody(
                f"{self._place(index, name)}: expected one value in a feature, or none if it is missing"
            )
        if not values or values[0] != values[0]:
            return None
        if kind == "bytes_list" and name in self._images:
            return values[0]
        if kind == "bytes_list":
            return self._text(index, name, values[0])
        # Examples have no booleans.
        return values[0] == 1 if name in self._booleans and values[0] in (0, 1) else values[0]

    def _text(self, index: int, name: str, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise MalformedBody(f"{self._place(index, name)}: expected text in UTF-8") from None

    def _place(self, index: int, name: str) -> str:
        return f"row {index}, {name}" if name in self._names else f"row {index}"


def _nested(values: list[Any], shape: Sequence[int]) -> list[Any]:
    """Return the numbers of an example, which are in one list, as nested lists; unchanged if they do not fill them.

    Only one axis may be free (-1): an example does not say the sizes of several.
    """
    fixed = -math.prod(shape) if -1 in shape else math.prod(shape)
    is_known = shape.count(-1) <= 1 and (len(values) % fixed == 0 if -1 in shape else len(values) == fixed)
    if len(shape) == 1 or not is_known:
        return values
    nested: list[Any] = np.array(values).reshape(shape).tolist()
    return nested
