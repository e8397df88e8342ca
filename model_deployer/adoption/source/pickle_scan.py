"""What a pickle would import if Python loaded it, and which of it is dangerous."""

import sys
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np

from model_deployer.adoption.source.compression import decompressed
from model_deployer.adoption.source.harmless_values import is_harmless
from model_deployer.adoption.source.pickle_file import PickleReader
from model_deployer.adoption.source.unreadable_source import UnreadableSource

#: ``library``: a class of a library for models. ``standard``: a container, a number or a date. ``unknown``: code of a
#: team or of another library. ``code``: functions that the file itself carries. ``dangerous``: may run commands, open
#: files or call anything; no model needs it.
Verdict = Literal["library", "standard", "unknown", "code", "dangerous"]

_LIBRARIES = {
    *("catboost", "category_encoders", "feature_engine", "imblearn", "interpret", "joblib", "keras", "lightgbm"),
    *("lightning", "ml_dtypes", "numpy", "onnx", "pandas", "polars", "pyarrow", "pytorch_lightning", "pytz", "scipy"),
    *("sklearn", "sklearn_pandas", "skops", "statsmodels", "tensorflow", "torch", "torchvision", "transformers"),
    *("xgboost", "tzlocal", "dateutil", "tokenizers"),
    "_loss",  # a part of scikit-learn, whose compiled modules name themselves so
}

#: Libraries that store functions as code within the file.
_CODE_LIBRARIES = {"cloudpickle", "dill"}

_STANDARD = {
    *(("builtins", name) for name in ("object", "type", "str", "bool", "NotImplemented", "Ellipsis", "super")),
    *(("builtins", name) for name in ("min", "max", "sum", "len", "abs", "round", "sorted", "float", "print")),
    *(("copyreg", name) for name in ("_reconstructor", "__newobj__", "__newobj_ex__")),
    *(("collections", name) for name in ("UserDict", "UserList", "ChainMap")),
    *(("uuid", "UUID"), ("uuid", "SafeUUID"), ("random", "Random"), ("types", "SimpleNamespace")),
    *(("pathlib", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
}

#: Functions in lower case with which libraries restore their own objects.
_RESTORING = {
    *("_reconstruct", "scalar", "_frombuffer", "dtype", "ndarray", "matrix", "memmap", "recarray", "record"),
    *("newObj", "_new_Index", "_unpickle_block", "_mareconstruct", "_ufunc_reconstruct", "_convert_to_list"),
    *("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor", "csr_matrix", "csc_matrix", "coo_matrix"),
    *("_load_from_bytes", "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_device_tensor"),
    *("csr_array", "csc_array", "coo_array", "rv_frozen", "device", "unpickle_model"),
}

#: Libraries of the network and of programs, and modules of other versions of Python, that no model needs.
_OUTSIDE = {
    *("aiohttp", "asyncssh", "boto3", "fabric", "ftputil", "httpx", "paramiko", "pip", "requests", "setuptools", "sh"),
    *("_pyrepl", "commands", "distutils", "httplib", "idlelib", "lib2to3", "popen2", "test", "urllib2", "urllib3"),
}

#: Parts of libraries that run the texts that they are called with.
_RUNS_TEXTS = ("testing", "f2py", "hub", "distutils", "_pytest", "conftest", "compile", "jit", "utils.cpp_extension")


@dataclass(frozen=True)
class Import:
    """A class or function that a pickle names."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """The import path."""
        return f"{self.module}.{self.name}"

    @property
    def verdict(self) -> Verdict:
        """What kind of code it is."""
        library = self.module.partition(".")[0]
        if is_harmless((self.module, self.name)) or (self.module, self.name) in _STANDARD:
            return "standard"
        if library in _CODE_LIBRARIES or (self.module, self.name) == ("keras.layers", "Lambda"):
            return "code"
        if library in _LIBRARIES:
            return "library" if self._is_class_of_a_library() else "dangerous"
        is_standard = library in sys.stdlib_module_names and self.module != "__main__"
        return "dangerous" if is_standard or library in _OUTSIDE else "unknown"

    @property
    def may_run_commands(self) -> bool:
        """Whether it is dangerous and no part of a library for models, nor one that only wraps other functions."""
        library = self.module.partition(".")[0]
        wraps = self.module in ("functools", "operator", "_operator") or self.path == "builtins.getattr"
        return self.verdict == "dangerous" and library not in _LIBRARIES and not wraps

    def _is_class_of_a_library(self) -> bool:
        if any(part in self.module for part in _RUNS_TEXTS) or "." in self.name:
            return False
        name = self.name.lstrip("_")
        if name[:1].isupper() or name.startswith("pyx_unpickle") or self.name in _RESTORING:
            return True
        return isinstance(getattr(np, self.name, None), np.ufunc | type) or self.module.startswith("scipy.special.")


@dataclass(frozen=True)
class PickleScan:
    """What a pickle would import.

    Attributes:
        imports: Each class and function once, in the order of the file.
        protocol: The protocol that it states.
        fault: Why the file could not be read to its end; None if it was. Python would run what is before the fault.
    """

    imports: tuple[Import, ...]
    protocol: int
    fault: str | None

    def paths(self, verdict: Verdict) -> list[str]:
        """Return the import paths with a verdict."""
        return [item.path for item in self.imports if item.verdict == verdict]


def scan_pickle(content: bytes) -> PickleScan:
    """Return what a pickle or file of joblib would import; nothing is imported.

    Args:
        content: The bytes of the file; it may be compressed.
    """
    reader, fault = None, None
    try:
        reader = PickleReader(BytesIO(decompressed(content)))
        reader.read()
    except UnreadableSource as error:
        fault = str(error)
    imports = tuple(Import(*path) for path in reader.imports) if reader else ()
    return PickleScan(imports, reader.protocol if reader else 0, fault)
