"""Read a pickle without importing or calling anything of it.

Objects become :class:`StoredObject`; arrays, numbers, texts and containers become real. The file is executed by a
machine of this module that has no operation which imports or calls. Files of joblib, which put arrays between the
operations, and their compressions are read, too; pickles of protocols 0 to 5, of Python 2 and 3.
"""

import sys
from collections import deque
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np

from model_deployer.adoption.source import joblib_arrays, numpy_values
from model_deployer.adoption.source.compression import decompressed
from model_deployer.adoption.source.harmless_values import checked_key, construct, is_harmless
from model_deployer.adoption.source.nesting import check_nesting
from model_deployer.adoption.source.pickle_operations import operations
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.stored_object import StoredObject

#: The key of a state that is not a dict, the elements of an object whose class extends list or dict, and the callable
#: of an object that came from calling another object.
STATE, ITEMS, CALLED = "__state__", "__items__", "__called__"

#: The module of the stored objects that stand for references to data outside of the pickle, as torch writes them.
PERSISTENT = "persistent_id"

#: The newest protocol that Python 2 writes.
_LAST_OF_PYTHON_2 = 2

_PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

_PYTHON_2_NAMES = {
    ("__builtin__", "long"): "int",
    ("__builtin__", "unicode"): "str",
    ("__builtin__", "xrange"): "range",
}

_NUMPY_MODULES = (
    "numpy",
    "numpy.core.multiarray",
    "numpy._core.multiarray",
    "numpy.core.numeric",
    "numpy._core.numeric",
    "numpy.core._internal",
    "numpy._core._internal",
)

#: The classes of arrays that become plain arrays.
_ARRAY_CLASSES = {"ndarray", "matrix", "memmap", "recarray"}


def read_pickle(content: bytes, companion: Callable[[str], bytes] | None = None) -> object:
    """Return what a pickle or a file of joblib holds.

    Args:
        content: The bytes of the file.
        companion: Return the bytes of a file next to it by its name. Files of joblib before 0.10 need it.

    Returns:
        Stored objects, numpy arrays, numbers, texts, bytes, lists, tuples, dicts, sets and dates.

    Raises:
        UnreadableSource: if the bytes are not a pickle, are truncated or damaged, or would exhaust this machine.
    """
    value = PickleReader(BytesIO(decompressed(content)), companion).read()
    check_nesting(value)
    return value


class PickleReader:
    """The machine that executes the operations of a pickle on plain data.

    Attributes:
        imports: The classes and functions that the pickle names so far, as pairs of module and name, in their order.
        protocol: The protocol that the pickle states; 0 if it states none.
    """

    def __init__(self, stream: BytesIO, companion: Callable[[str], bytes] | None = None) -> None:
        self.imports: dict[tuple[str, str], None] = {}
        self.protocol = 0
        self._stream = stream
        self._companion = companion
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        # An honest file has the bytes of each array once. Copies made by a hostile one are counted against this.
        self._bytes_left = 4 * len(stream.getbuffer()) + (64 << 20)

    def read(self) -> object:
        """Execute one pickle from the current place of the stream, and return its value.

        Raises:
            UnreadableSource: as :func:`read_pickle`.
        """
        try:
            for name, argument in operations(self._stream):
                if (execute := _OPERATIONS.get(name)) is not None:
                    execute(self, argument)
                else:
                    self._stack.append(_constant(name, argument))
            return self._stack.pop()
        except UnreadableSource:
            raise
        except (MemoryError, RecursionError) as error:
            raise UnreadableSource("the pickle is built to exhaust this machine") from error
        except Exception as error:  # a damaged pickle makes any operation fail in any way
            raise UnreadableSource("the pickle is damaged; hand over the original file") from error

    # What operations do to the stack

    def _mark(self, _: Any) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _drop_mark(self, _: Any) -> None:
        self._pop_mark()

    def _pop(self, _: Any) -> None:
        if self._stack:
            del self._stack[-1]
        else:
            self._pop_mark()

    def _wrap(self, size: int) -> None:
        self._stack[-size:] = [tuple(self._stack[-size:])]

    def _collect(self, convert: Callable[[list[Any]], Any]) -> None:
        items = self._pop_mark()
        self._stack.append(convert(items))

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _state_protocol(self, version: int) -> None:
        self.protocol = max(version, self.protocol)

    # Elements of containers

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, StoredObject):
            target.state.setdefault(ITEMS, []).extend(items)
        elif isinstance(target, list | deque):
            target.extend(items)
        else:
            raise TypeError("not a list")

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        elements = target.state.setdefault(ITEMS, {}) if isinstance(target, StoredObject) else target
        if not isinstance(elements, dict):
            raise TypeError("not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            elements[checked_key(key)] = value

    def _add_items(self, _: Any) -> None:
        items = self._pop_mark()
        target = self._stack[-1]
        if isinstance(target, set):
            target.update(checked_key(item) for item in items)
        else:
            self._append(items)

    # Objects

    def _import(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("not the name of a class")
        name = _PYTHON_2_NAMES.get((module, name), name)
        module = _PYTHON_2_MODULES.get(module, module)
        self.imports[(module, name)] = None
        self._stack.append(StoredObject(module, name, is_class=True))

    def _import_from_stack(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._import(module, name)

    def _instantiate(self, argument: Any) -> None:
        items = self._pop_mark()
        if argument is None:
            called, *items = items
        else:
            self._import(*argument.split(" ", 1))
            called = self._stack.pop()
        self._stack.append(self._call(called, tuple(items)))

    def _reduce(self, _: Any) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(called, tuple(arguments)))

    def _new_object_with_names(self, _: Any) -> None:
        names, arguments, called = self._stack.pop(), self._stack.pop(), self._stack.pop()
        value = self._call(called, tuple(arguments))
        if isinstance(value, StoredObject):
            value.state.update(names)
        self._stack.append(value)

    def _call(self, called: Any, arguments: tuple[Any, ...]) -> Any:
        """Return what a call gives: a value of a harmless class, or a stored object that says what was called."""
        if not isinstance(called, StoredObject):
            raise TypeError("not a class")
        if not called.is_class:
            return StoredObject(called.module, called.name, arguments, {CALLED: called})
        path = (called.module, called.name)
        self._spend(sum(sys.getsizeof(argument) for argument in arguments))
        if is_harmless(path):
            try:
                return construct(path, arguments)
            except (TypeError, ValueError, ArithmeticError):
                return StoredObject(*path, arguments)
        if called.module in _NUMPY_MODULES and called.name in _NUMPY_CALLS:
            return _NUMPY_CALLS[called.name](*arguments)
        if called.module == "copyreg" and called.name in _COPYREG_CALLS:
            return _COPYREG_CALLS[called.name](self, *arguments)
        return StoredObject(*path, arguments)

    def _build(self, _: Any) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, np.ndarray):
            self._spend(numpy_values.restore_array(target, state))
        elif isinstance(target, np.dtype):
            numpy_values.restore_dtype(target, state)
        elif isinstance(target, StoredObject):
            target.state.update(_attributes(state))
            if joblib_arrays.is_array(target):
                self._stack[-1] = self._stored_array(target)
        # The attributes of a dict, such as the versions in one of torch, are not data.

    def _stored_array(self, wrapper: StoredObject) -> Any:
        if joblib_arrays.has_objects(wrapper):
            inner = PickleReader(self._stream, self._companion)
            inner.imports = self.imports
            return inner.read()
        if joblib_arrays.is_in_another_file(wrapper):
            return joblib_arrays.read_companion(wrapper, self._companion)
        self._spend(joblib_arrays.byte_count(wrapper))
        array = joblib_arrays.read_array(wrapper, self._stream)
        return array if self.protocol > _LAST_OF_PYTHON_2 else numpy_values.as_texts(array)

    def _persistent(self, identity: Any) -> None:
        parts = identity if isinstance(identity, tuple) else (identity,)
        self._stack.append(StoredObject(PERSISTENT, PERSISTENT, parts))

    def _reconstruct(self, called: Any, base: Any, content: Any) -> Any:
        """Return what ``copyreg._reconstructor`` gives: an object without a call of its class."""
        value = self._call(called, ())
        if isinstance(value, StoredObject) and isinstance(base, StoredObject) and base.name != "object":
            value.state[ITEMS] = content
        return value

    def _spend(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise UnreadableSource("the pickle is built to exhaust this machine: it copies the same data many times")


def _constant(name: str, argument: Any) -> Any:
    """Return the value that an operation pushes which only pushes one."""
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    if name in _CONTAINERS:
        return _CONTAINERS[name]()
    if name in _LITERALS:
        return argument
    raise UnreadableSource("the pickle refers to data outside of it; hand over a file that 'pickle.dump' wrote")


def _attributes(state: Any) -> Mapping[str, Any]:
    """Return the attributes of an object by name; a state of another form is one attribute of its own."""
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    if all(part is None or isinstance(part, dict) for part in parts):
        return {str(name): value for part in parts if part for name, value in part.items()}
    return {STATE: state}


def _new_array(subclass: Any, _shape: Any, _code: Any) -> Any:
    """Return an empty array, which BUILD fills; an object if its class is not one of numpy."""
    if isinstance(subclass, StoredObject) and subclass.library == "numpy" and subclass.name in _ARRAY_CLASSES:
        return np.empty(0, np.int8)
    return StoredObject(subclass.module, subclass.name)


def _array_from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Any:
    array = numpy_values.array_from_bytes(data, dtype, shape, "F" if order == "F" else "C")
    return array if axes is None else array.transpose(axes)


def _ufunc(module: Any, name: Any) -> StoredObject:
    return StoredObject(str(module), str(name), is_class=True)


_NUMPY_CALLS: dict[str, Callable[..., Any]] = {
    "_reconstruct": _new_array,
    "dtype": lambda code, *_: numpy_values.new_dtype(code),
    "scalar": numpy_values.scalar,
    "_frombuffer": _array_from_buffer,
    "_ufunc_reconstruct": _ufunc,
}

_COPYREG_CALLS: dict[str, Callable[..., Any]] = {
    "_reconstructor": PickleReader._reconstruct,
    "__newobj__": lambda reader, called, *arguments: reader._call(called, arguments),
}

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}

_CONTAINERS: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}

_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return {checked_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _two(reader: PickleReader) -> list[Any]:
    pair = reader._stack[-2:]
    del reader._stack[-2:]
    return pair


_OPERATIONS: dict[str, Callable[[PickleReader, Any], None]] = {
    "PROTO": PickleReader._state_protocol,
    "FRAME": lambda reader, _: None,
    "STOP": lambda reader, _: None,
    "READONLY_BUFFER": lambda reader, _: None,
    "MARK": PickleReader._mark,
    "POP": PickleReader._pop,
    "POP_MARK": PickleReader._drop_mark,
    "DUP": lambda reader, _: reader._stack.append(reader._stack[-1]),
    "TUPLE1": lambda reader, _: reader._wrap(1),
    "TUPLE2": lambda reader, _: reader._wrap(2),
    "TUPLE3": lambda reader, _: reader._wrap(3),
    "TUPLE": lambda reader, _: reader._collect(tuple),
    "LIST": lambda reader, _: reader._collect(list),
    "DICT": lambda reader, _: reader._collect(_pairs),
    "FROZENSET": lambda reader, _: reader._collect(lambda items: frozenset(map(checked_key, items))),
    "APPEND": lambda reader, _: reader._append([reader._stack.pop()]),
    "APPENDS": lambda reader, _: reader._append(reader._pop_mark()),
    "SETITEM": lambda reader, _: reader._set_items(_two(reader)),
    "SETITEMS": lambda reader, _: reader._set_items(reader._pop_mark()),
    "ADDITEMS": PickleReader._add_items,
    "GET": PickleReader._get,
    "BINGET": PickleReader._get,
    "LONG_BINGET": PickleReader._get,
    "PUT": PickleReader._put,
    "BINPUT": PickleReader._put,
    "LONG_BINPUT": PickleReader._put,
    "MEMOIZE": PickleReader._memoize,
    "GLOBAL": lambda reader, argument: reader._import(*argument.split(" ", 1)),
    "STACK_GLOBAL": PickleReader._import_from_stack,
    "INST": PickleReader._instantiate,
    "OBJ": PickleReader._instantiate,
    "REDUCE": PickleReader._reduce,
    "NEWOBJ": PickleReader._reduce,
    "NEWOBJ_EX": PickleReader._new_object_with_names,
    "BUILD": PickleReader._build,
    "PERSID": PickleReader._persistent,
    "BINPERSID": lambda reader, _: reader._persistent(reader._stack.pop()),
}
