"""Parameters of the Open Inference Protocol, over REST and gRPC.

A parameter that changes what an answer is, or where it is, is honoured or refused by name. One that changes nothing
here is ignored: ``sequence_id``, as a prediction depends on its row alone, ``priority``, as all requests have the same
one, and every name that this module does not know.

https://github.com/triton-inference-server/server/tree/main/docs/protocol (classification, schedule policy, sequence,
shared memory) and https://mlserver.readthedocs.io/en/stable/user-guide/content-type.html
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from model_deployer.contract.errors import MalformedBody
from model_deployer.serving.protocols.tensors import Output, Values

#: The content types that say how a client makes its own objects from tensors: they change no value.
NEUTRAL_CONTENT_TYPES = frozenset({None, "np", "pd"})

#: The content types of texts: those that leave each text as it is, and the one that encodes it.
_TEXT_CONTENT_TYPES = frozenset({"str", "datetime"})
_BASE64 = "base64"


class Parameters(msgspec.Struct, gc=False):
    """The parameters of a request, of an input or of a requested output, as one type.

    Attributes:
        binary_data_size: The length of an input's values in bytes, which follow the JSON.
        binary_data: Whether an output is sent as bytes after the JSON.
        binary_data_output: The same for all outputs of a request.
        content_type: What MLServer's clients make of a tensor.
        classification: The number of classes of Triton's classification extension; 0 for the output itself.
        timeout: The time limit of a request in microseconds; 0 for none.
        shared_memory_region: Where the values of a tensor are in the memory of a client's machine; so are the others.
    """

    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False
    content_type: str | None = None
    classification: Annotated[int, Meta(ge=0)] = 0
    timeout: Annotated[int, Meta(ge=0)] = 0
    shared_memory_region: Any = None
    shared_memory_offset: Any = None
    shared_memory_byte_size: Any = None


NO_PARAMETERS = Parameters()


def from_map(values: Mapping[str, Any]) -> Parameters:
    """Return the parameters of a gRPC message.

    Args:
        values: Messages ``InferParameter`` by name.

    Raises:
        MalformedBody: if a parameter has a value of another type than the protocol requires.
    """
    if not values:
        return NO_PARAMETERS
    plain_values = {
        name: getattr(value, value.WhichOneof("parameter_choice") or "", None) for name, value in values.items()
    }
    try:
        return msgspec.convert(plain_values, Parameters)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("`$.")[2].rstrip("`")
        raise MalformedBody(f"the parameter `{name}` has a value of the wrong type, or a negative one") from None


def check_request(parameters: Parameters | None) -> float | None:
    """Check the parameters of a request.

    Returns:
        The time that the client allows, in seconds; None for the limit of the model.

    Raises:
        MalformedBody: if a parameter is not supported.
    """
    if parameters is None:
        return None
    _refuse_shared_memory(parameters)
    if parameters.classification:
        raise MalformedBody("`classification` is a parameter of a requested output, not of a request")
    return parameters.timeout / 1e6 if parameters.timeout else None


def is_base64(parameters: Parameters | None, datatype: str, request_parameters: Parameters | None) -> bool:
    """Check the parameters of an input, and return whether its texts are base64.

    Args:
        parameters: The parameters of the input.
        datatype: Its datatype.
        request_parameters: Those of the request, whose content type is that of the inputs without one of their own.

    Raises:
        MalformedBody: if a parameter is not supported, or not for this datatype.
    """
    content_type = request_parameters.content_type if request_parameters else None
    if parameters is not None:
        _refuse_shared_memory(parameters)
        content_type = parameters.content_type or content_type
    if content_type in NEUTRAL_CONTENT_TYPES:
        return False
    if content_type not in _TEXT_CONTENT_TYPES and content_type != _BASE64:
        raise MalformedBody("expected the `content_type` of an input to be one of np, pd, str, datetime, base64")
    if datatype != "BYTES":
        raise MalformedBody("expected the datatype BYTES for an input whose `content_type` is str, datetime or base64")
    return content_type == _BASE64


def check_output(parameters: Parameters | None, output: Output) -> int:
    """Check the parameters of a requested output.

    Returns:
        The number of classes that the client wants in place of the output; 0 for the output itself.

    Raises:
        MalformedBody: if a parameter is not supported, or not for this output.
    """
    if parameters is None:
        return 0
    _refuse_shared_memory(parameters)
    is_text = output.datatype == "BYTES"
    if parameters.content_type not in NEUTRAL_CONTENT_TYPES and not (is_text and parameters.content_type == "str"):
        raise MalformedBody("expected the `content_type` of a requested output to be np or pd, or str for texts")
    if parameters.classification and output.datatype != "FP32":
        raise MalformedBody("expected `classification` for an output of numbers only, such as `probabilities`")
    return parameters.classification


def decode_inputs(values: Sequence[Values], is_base64: Sequence[bool]) -> list[Values]:
    """Return the values of all inputs, with the texts of those that are base64 decoded.

    What is not a text is left for validation.

    Raises:
        MalformedBody: if a text is not base64 (RFC 4648), or not the base64 of UTF-8.
    """
    return [_decode(texts) if is_encoded else texts for texts, is_encoded in zip(values, is_base64, strict=True)]


def classes(values: Any, count: int, labels: Sequence[str]) -> tuple[list[str], int]:
    """Return the largest values of each row in the form of Triton's classification extension.

    Args:
        values: Numbers, [rows] or [rows, n].
        count: The number of values of each row to return; all of them if there are fewer.
        labels: The label of each index; empty if there are none.

    Returns:
        Texts ``value:index`` or ``value:index:label``, row by row and the largest value first; and their number in a
        row.
    """
    matrix = np.reshape(values, (len(values), -1))
    ends = [f":{index}" for index in range(matrix.shape[1])]
    if labels:
        ends = [f"{end}:{label}" for end, label in zip(ends, labels, strict=True)]
    order = np.argsort(-matrix, axis=1, kind="stable")[:, :count]
    texts = [
        f"{row[index]!s}{ends[index]}" for row, indices in zip(matrix, order.tolist(), strict=True) for index in indices
    ]
    return texts, order.shape[1]


def _refuse_shared_memory(parameters: Parameters) -> None:
    regions = (parameters.shared_memory_region, parameters.shared_memory_offset, parameters.shared_memory_byte_size)
    if any(region is not None for region in regions):
        raise MalformedBody("shared memory is not supported: leave `shared_memory_region` out, and send the values")


def _decode(values: Values) -> Values:
    try:
        texts = [
            base64.b64decode(value, validate=True).decode() if isinstance(value, str) else value for value in values
        ]
    except ValueError:
        raise MalformedBody(
            "expected each value of an input with the `content_type` base64 as base64 of UTF-8"
        ) from None
    if not isinstance(values, np.ndarray):
        return texts
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
