"""Arrays in files of joblib: an object that describes the array, and then its bytes, outside of the pickle.

The layouts, from joblib's ``numpy_pickle.py``: since 0.10 the bytes follow the object; since 1.2 they are aligned by a
padding, whose length is the first byte; an array of objects follows as a pickle of its own; before 0.10 each array is
a file of its own, in the format of ``numpy.save`` or compressed.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.source import numpy_values
from model_deployer.adoption.source.compression import decompressed
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.stored_object import StoredObject

_IN_STREAM = "NumpyArrayWrapper"
_IN_FILES = ("NDArrayWrapper", "ZNDArrayWrapper")


def is_array(stored: StoredObject) -> bool:
    """Return whether an object stands for an array. Old versions of scikit-learn have a joblib of their own."""
    is_joblib = "joblib.numpy_pickle" in stored.module
    return is_joblib and not stored.is_class and stored.name in (_IN_STREAM, *_IN_FILES)


def has_objects(wrapper: StoredObject) -> bool:
    """Return whether the array follows as a pickle of its own."""
    return wrapper.name == _IN_STREAM and bool(_dtype(wrapper).hasobject)


def is_in_another_file(wrapper: StoredObject) -> bool:
    """Return whether the array is a file next to this one."""
    return wrapper.name in _IN_FILES


def byte_count(wrapper: StoredObject) -> int:
    """Return the number of bytes of the array that follows."""
    return numpy_values.element_count(_shape(wrapper)) * int(_dtype(wrapper).itemsize)


def read_array(wrapper: StoredObject, stream: BytesIO) -> NDArray[Any]:
    """Read an array from the bytes that follow the object; its elements get the byte order of this machine."""
    if wrapper.get("numpy_array_alignment_bytes") is not None:
        stream.read(stream.read(1)[0])
    data = stream.read(byte_count(wrapper))
    array = numpy_values.array_from_bytes(data, _dtype(wrapper), _shape(wrapper), str(wrapper["order"]))
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def read_companion(wrapper: StoredObject, companion: Callable[[str], bytes] | None) -> NDArray[Any]:
    """Read an array from a file of its own.

    Raises:
        UnreadableSource: if the file is not there, or holds objects.
    """
    name = str(wrapper["filename"])
    if companion is None:
        raise UnreadableSource(f"the array in '{name}' is missing: hand over the folder with all files of joblib.dump")
    content = companion(name)
    if wrapper.name == "NDArrayWrapper":
        return np.lib.format.read_array(BytesIO(content), allow_pickle=False)
    array: NDArray[Any] = np.empty(0, np.int8)
    numpy_values.restore_array(array, (*wrapper["state"], decompressed(content)))
    return array


def _dtype(wrapper: StoredObject) -> np.dtype[Any]:
    dtype = wrapper["dtype"]
    if not isinstance(dtype, np.dtype):
        raise UnreadableSource("the file has an array without an element type; hand over the original file")
    return dtype


def _shape(wrapper: StoredObject) -> Any:
    return wrapper["shape"]
