"""TensorFlow's tensors: the message TensorProto to and from arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import MalformedBody
from model_deployer.serving import memory
from model_deployer.serving.grpc import typed_list
from model_deployer.serving.grpc.messages import POOL
from model_deployer.serving.protocols import tensors
from model_deployer.serving.protocols.tensors import Datatype, Values


class _Dtype(NamedTuple):
    """The repeated field of TensorProto for a dtype, the numpy dtype of the field, and the datatype of the values."""

    field: str
    dtype: Any
    datatype: Datatype


_DTYPES: Mapping[str, _Dtype] = {
    "DT_FLOAT": _Dtype("float_val", np.float32, "FP32"),
    "DT_DOUBLE": _Dtype("double_val", np.float64, "FP64"),
    "DT_HALF": _Dtype("half_val", np.int32, "FP16"),
    "DT_INT8": _Dtype("int_val", np.int32, "INT8"),
    "DT_INT16": _Dtype("int_val", np.int32, "INT16"),
    "DT_INT32": _Dtype("int_val", np.int32, "INT32"),
    "DT_INT64": _Dtype("int64_val", np.int64, "INT64"),
    "DT_UINT8": _Dtype("int_val", np.int32, "UINT8"),
    "DT_UINT16": _Dtype("int_val", np.int32, "UINT16"),
    "DT_UINT32": _Dtype("uint32_val", np.uint32, "UINT32"),
    "DT_UINT64": _Dtype("uint64_val", np.uint64, "UINT64"),
    "DT_BOOL": _Dtype("bool_val", np.bool_, "BOOL"),
    "DT_STRING": _Dtype("string_val", object, "BYTES"),
}

_NUMBERS = {name: POOL.FindEnumTypeByName("tensorflow.DataType").values_by_name[name].number for name in _DTYPES}

_BY_NUMBER = {_NUMBERS[name]: dtype for name, dtype in _DTYPES.items()}

#: The name of the dtype of each datatype.
_NAMES: Mapping[str, str] = {dtype.datatype: name for name, dtype in _DTYPES.items()}


def shape(tensor: Any) -> list[int]:
    """Return the shape of a tensor."""
    return [dim.size for dim in tensor.tensor_shape.dim]


def read(tensor: Any, size: int, is_file: bool = False) -> NDArray[Any]:
    """Return the values of a tensor as an array of [size]: numbers, booleans, or str objects.

    As in TensorFlow, one value in a list fills the tensor.

    Args:
        tensor: The message.
        size: The number of values that its shape requires.
        is_file: Whether strings are files, which are read as bytes.

    Raises:
        MalformedBody: if the dtype is not supported, or if there is another number of values.
    """
    dtype = _BY_NUMBER.get(tensor.dtype)
    if dtype is None:
        raise MalformedBody(f"expected the `dtype` of an input to be one of {', '.join(_DTYPES)}")
    if tensor.tensor_content:
        if dtype.datatype == "BYTES":
            raise MalformedBody("expected the values of an input of DT_STRING in `string_val`")
        return tensors.read(tensor.tensor_content, dtype.datatype, size)
    values = getattr(tensor, dtype.field)
    array = typed_list.read(values, dtype.field, dtype.dtype, 1 if len(values) == 1 else size, is_file)
    if dtype.datatype == "FP16":
        array = array.astype(np.uint16).view(np.float16)
    if len(array) == size:
        return array
    memory.reserve(8 * size)
    return np.repeat(array, size)


def write(tensor: Any, values: Values, datatype: str, row_shape: Sequence[int]) -> None:
    """Put values into an empty message.

    Args:
        tensor: The message.
        values: The values, row by row.
        datatype: Their datatype.
        row_shape: The shape of the tensor without the rows.
    """
    name = _NAMES[datatype]
    tensor.dtype = _NUMBERS[name]
    for length in (len(values), *row_shape):
        tensor.tensor_shape.dim.add(size=length)
    getattr(tensor, _DTYPES[name].field).extend(typed_list.write(values))
