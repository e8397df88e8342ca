import bz2
import datetime
import gzip
import io
import lzma
import os
import pickle
import pickletools
import resource
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import joblib.numpy_pickle
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from model_deployer.adoption.source import compression, pickle_file, pickle_operations
from model_deployer.adoption.source.pickle_file import ITEMS, PERSISTENT, STATE, read_pickle
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.stored_object import StoredObject

PROTOCOLS = range(6)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
Y = (X.sum(axis=1) > 0).astype(int)


def read(content: bytes) -> Any:
    return read_pickle(content)


def state_of(value: Any) -> Any:
    state = value.__reduce_ex__(2)[2] if len(value.__reduce_ex__(2)) > 2 else None
    return value.__getstate__() if hasattr(value, "__getstate__") and value.__getstate__() is not None else state


def assert_same(stored: Any, real: Any) -> None:
    """Check that what was read equals the real object, attribute by attribute."""
    if isinstance(stored, StoredObject) and stored.is_class:
        assert stored.name == real.__name__
    elif isinstance(stored, StoredObject):
        assert stored.name in (type(real).__name__, "__generator_ctor")
        if stored.name == "__generator_ctor":  # a function of numpy makes random generators
            return
        assert stored.library == type(real).__module__.partition(".")[0]
        state = state_of(real)
        assert set(stored.state) == set(state or {})
        for name, value in (state or {}).items():
            assert_same(stored[name], value)
    elif isinstance(real, np.ndarray):
        assert (stored.dtype, stored.shape) == (real.dtype, real.shape)
        assert stored.dtype.hasobject or stored.tobytes() == np.ascontiguousarray(real).tobytes()
        if real.dtype == object:
            for one, other in zip(stored.flat, real.flat, strict=True):
                assert_same(one, other)
    elif isinstance(real, dict):
        assert list(stored) == list(real)
        for name, value in real.items():
            assert_same(stored[name], value)
    elif isinstance(real, list | tuple):
        assert type(stored) is type(real)
        for one, other in zip(stored, real, strict=True):
            assert_same(one, other)
    else:
        assert type(stored) is type(real)
        assert stored == real or bool(np.isnan(stored) and np.isnan(real))


def estimators() -> list[Any]:
    table = np.array([["a", 1.5], [None, 2.5], ["b", np.nan], ["a", 0.0]] * 20, dtype=object)
    texts = ["a text", "another text", "words"]
    encode = make_column_transformer((OneHotEncoder(), [0]), (StandardScaler(), slice(1, 2)))
    return [
        RandomForestClassifier(3, random_state=0).fit(X, Y),
        HistGradientBoostingClassifier(max_iter=3).fit(X, Y),
        make_pipeline(StandardScaler(), FunctionTransformer(np.log1p)).fit(X),
        make_pipeline(encode).fit(table),
        TfidfVectorizer(dtype=np.float32).fit(texts),
    ]


ESTIMATORS = estimators()


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_estimators(estimator: Any, tmp_path: Path) -> None:
    for protocol in PROTOCOLS:
        assert_same(read_pickle(pickle.dumps(estimator, protocol)), estimator)
    joblib.dump(estimator, tmp_path / "model.joblib")
    assert_same(read_pickle((tmp_path / "model.joblib").read_bytes()), estimator)


VALUES = [
    [None, True, False, 0, -1, 255, 70000, 2**40, -(2**80), 1.5, float("nan"), "", "ä€", b"\x00\xff", bytearray(b"xy")],
    ({"a": [1, (2, 3, 4, 5)]}, {1, 2}, frozenset([(1, "a")]), OrderedDict(a=1), slice(1, None), range(3), 2j),
    [datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC), datetime.timedelta(1, 2)],
    [np.float64(1.5), np.int8(-3), np.bool_(True), np.str_("text"), np.datetime64("2020-01-01"), np.float32("nan")],
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.array(3),
        np.empty((0, 4)),
        np.arange(5, dtype=">i4"),
    ],
    [np.array(["a", "bcd"]), np.array([b"a", b"bcd"]), np.array([1, "a", None], dtype=object), np.array([True, False])],
    [np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "<f8", (1,))]), np.array(["2020-01-01"], "M8[D]")],
    [
        np.dtype("f4"),
        np.dtype([("a", ">i2"), ("b", "U3")]),
        np.dtype("M8[25s]"),
        np.zeros(3, np.dtype("i1,f8", align=True)),
    ],
    [np.asfortranarray(np.arange(5000.0).reshape(50, 100)), np.ones((3, 2, 2), np.complex64)],
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values(value: Any, tmp_path: Path) -> None:
    for protocol in PROTOCOLS:
        content = pickle.dumps(value, protocol)
        assert_same(read_pickle(content), pickle.loads(content))
    joblib.dump(value, tmp_path / "value")
    assert_same(read_pickle((tmp_path / "value").read_bytes()), joblib.load(tmp_path / "value"))


@pytest.mark.parametrize("compress", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_compressed_files_of_joblib(compress: str, tmp_path: Path) -> None:
    joblib.dump(ESTIMATORS[3], tmp_path / "model", compress=(compress, 3))
    assert_same(read_pickle((tmp_path / "model").read_bytes()), ESTIMATORS[3])


def test_lz4(tmp_path: Path) -> None:
    pytest.importorskip("lz4")
    joblib.dump(ESTIMATORS[0], tmp_path / "model", compress="lz4")
    assert_same(read_pickle((tmp_path / "model").read_bytes()), ESTIMATORS[0])


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_compressed_pickles(compress: Callable[[bytes], bytes]) -> None:
    assert read_pickle(compress(pickle.dumps([1, 2]))) == [1, 2]
    with pytest.raises(UnreadableSource, match="truncated"):
        read_pickle(compress(pickle.dumps([1, 2]))[:-5])


def test_old_joblib_without_alignment() -> None:
    """Files of joblib before 1.2 have no padding before an array."""
    array = np.arange(4.0)
    stream = io.BytesIO()
    wrapper = joblib.numpy_pickle.NumpyArrayWrapper(np.ndarray, array.shape, "C", array.dtype)
    del wrapper.numpy_array_alignment_bytes
    content = pickle.dumps([wrapper, 7], 2)
    place = content.rindex(b"b") + 1  # after BUILD of the wrapper
    stream.write(content[:place] + array.tobytes() + content[place:])
    assert_same(read_pickle(stream.getvalue()), [array, 7])


def test_arrays_in_files_of_their_own() -> None:
    """Files of joblib before 0.10 have their arrays next to them, and may be compressed with a header of their own."""
    array_file = io.BytesIO()
    np.save(array_file, np.arange(3))
    content = b"csklearn.externals.joblib.numpy_pickle\nNDArrayWrapper\n)\x81}(U\x08filenameU\x09m.pkl_01.U\x01_Nub."
    content = content.replace(b"U\x09m.pkl_01.U\x01_N", b"U\x08m.pkl_01")
    assert_same(read_pickle(content, {"m.pkl_01": array_file.getvalue()}.__getitem__), np.arange(3))
    old = b"ZF" + hex(len(content)).ljust(19).encode() + zlib.compress(content)
    with pytest.raises(UnreadableSource, match="files of joblib"):
        read_pickle(old)


def test_python_2() -> None:
    """Pickles of Python 2 hold arrays as texts, also in protocol 0."""
    raw = np.array([1.5, -2.0]).tobytes()
    quoted = repr(raw)[1:].encode()
    content = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\n"
        b"tR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS" + quoted + b"\ntb."
    )
    assert_same(read_pickle(content), np.array([1.5, -2.0]))
    assert read_pickle(b"c__builtin__\nset\n((lI1\natR.") == {1}


class Custom(dict[str, Any]):
    """A class of a team that extends a dict and has attributes and slots."""

    def __init__(self) -> None:
        super().__init__(a=1)
        self.threshold = 0.5


class Numbers(list[int]):
    """A class of a team that extends a list."""


class Slots:
    """A class of a team without a dict of attributes."""

    __slots__ = ("left", "right")

    def __init__(self) -> None:
        self.left, self.right = 1, None


class OtherState:
    """A class of a team whose state is a number."""

    def __getstate__(self) -> Any:
        return 42

    def __setstate__(self, state: Any) -> None: ...


class Called:
    """A class of a team that takes arguments by name when it is restored."""

    def __new__(cls, *, size: int = 0) -> "Called":
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {"size": 3}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_classes_of_a_team(protocol: int) -> None:
    custom, numbers = read(pickle.dumps([Custom(), Numbers([1, 2])], protocol))
    assert custom.state == {"threshold": 0.5, ITEMS: {"a": 1}}
    assert numbers.state == {ITEMS: [1, 2]}
    assert (custom.module, custom.name) == (__name__, "Custom")
    other = read_pickle(pickle.dumps(OtherState(), protocol))
    assert isinstance(other, StoredObject)
    assert other.state == {STATE: 42}
    if protocol >= 2:
        slots, called = read(pickle.dumps([Slots(), Called()], protocol))
        assert slots.state == {"left": 1, "right": None}
        assert called.state == {"size": 3} or called.name == "partial"


def test_functions_and_references() -> None:
    stored = read_pickle(pickle.dumps([np.log1p, len, defaultdict(int, a=1), np.float64, X.mean]))
    assert isinstance(stored, list)
    assert [item.is_class for item in stored[:2]] == [True, True]
    assert stored[2] == {"a": 1}
    assert stored[3].path == "numpy.float64"
    assert stored[4].path == "builtins.getattr"


def test_functions_by_value_are_not_made() -> None:
    """cloudpickle stores the code of a function; it stays data."""
    cloudpickle = pytest.importorskip("cloudpickle")
    stored = read_pickle(cloudpickle.dumps(lambda x: x + 1))
    assert isinstance(stored, StoredObject)
    assert stored.library == "cloudpickle"


def test_persistent_identities() -> None:
    """Torch refers to the bytes of its tensors by an identity."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", "0", 3) if isinstance(obj, bytearray) else None

    stream = io.BytesIO()
    Pickler(stream, 2).dump([bytearray(3)])
    (stored,) = read(stream.getvalue())
    assert (stored.module, stored.arguments) == (PERSISTENT, ("storage", "0", 3))


def test_a_shared_array_is_one_array() -> None:
    array = np.arange(3)
    one, other = read(pickle.dumps([array, array]))
    assert one is other


# Hostile and damaged files


class Attack:
    """An object that runs a command when it is loaded."""

    def __init__(self, called: Any, *arguments: Any) -> None:
        self.reduced = (called, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def test_nothing_is_called(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for attack in (Attack(os.system, f"touch {target}"), Attack(eval, "1/0"), Attack(exec, "raise SystemExit")):
        for protocol in PROTOCOLS:
            stored = read_pickle(pickle.dumps(attack, protocol))
            assert isinstance(stored, StoredObject)
            assert stored.name in ("system", "eval", "exec")
    assert read(f"(S'touch {target}'\nios\nsystem\n.".encode()).name == "system"
    read_pickle(b"cnot_installed.anywhere\nThing\n.")
    assert not target.exists()


def test_truncated() -> None:
    content = pickle.dumps(ESTIMATORS[1])
    for length in [*range(1, 300), len(content) - 1]:
        with pytest.raises(UnreadableSource):
            read_pickle(content[:length])


def test_damaged(tmp_path: Path) -> None:
    """Any damage gives a value or one clear error."""
    joblib.dump(ESTIMATORS[0], tmp_path / "model")
    for content in (pickle.dumps(ESTIMATORS[4]), (tmp_path / "model").read_bytes()[:3000] + b"."):
        for place in RNG.integers(0, len(content), 1000):
            damaged = bytearray(content)
            damaged[place] = RNG.integers(256)
            try:
                read_pickle(bytes(damaged))
            except UnreadableSource as error:
                assert str(error)


def chain(one: bytes, count: int, value: bytes = b"N") -> bytes:
    return value + one * count + b"."


def dtype(code: str) -> bytes:
    return b"cnumpy\ndtype\n(U" + bytes([len(code)]) + code.encode() + b"I0\nI1\ntR"


NEW_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR"

HOSTILE = {
    "array of 10**12": NEW_ARRAY + b"(K\x01(L1000000000000L\nt" + dtype("f8") + b"\x89U\x01atb.",
    "empty elements": NEW_ARRAY + b"(K\x01(L1000000000000L\nt" + dtype("S0") + b"\x89U\x00tb.",
    "dtype": dtype("f8") + b"(K\x03U\x01<N(U\x01at}U\x01a(" + dtype("f8") + b"K\x00tsK\x08K\x08K\x00tb.",
    "structure": dtype("V4")
    + b"(K\x03U\x01|N(U\x01at}U\x01a("
    + dtype("f8")
    + b"J\x00\x00\x00\x10tsK\x04K\x04K\x00tb.",
    "long text": b"\x80\x04\x8d" + (2 << 30).to_bytes(8, "little") + b"abc",
    "long bytes": b"\x80\x05\x96" + (2 << 40).to_bytes(8, "little") + b"abc",
    "long frame": b"\x80\x04\x95" + (2 << 60).to_bytes(8, "little") + b"abc",
    "deep lists": chain(b"\x85", 1_000_000),
    "deep key": b"}" + b"N" + b"\x85" * 1_000_000 + b"Ns.",
    "wide key": b"}" + b")" + b"2\x86" * 100 + b"Ns.",
    "shared parts": b")" + b"2\x86" * 100 + b".",
    "copies": b"cbuiltins\nlist\nq\x000(" + b"N" * 1_000_000 + b"lq\x01(" + b"h\x00h\x01\x85R" * 100_000 + b"l.",
    "memo": b"Nr\xff\xff\xff\x7f0" * 1000 + b"j\x00\x00\x00\x00.",
    "marks": b"(" * 1_000_000,
    "bytes of a number": b"cbuiltins\nbytes\nL1000000000000L\n\x85R.",
    "no value": b".",
    "number of digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "extension": b"\x82\x01.",
    "buffer": b"\x80\x05\x97.",
    "text": b"feature,target\n1,2\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    """A hostile file gives one clear error, in little memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        value = read_pickle(HOSTILE[name])
    except UnreadableSource as error:
        assert 20 < len(str(error)) < 160
    else:
        assert name == "bytes of a number"
        assert isinstance(value, StoredObject)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_DECOMPRESSED_BYTES", 1000)
    with pytest.raises(UnreadableSource, match="decompressed"):
        read_pickle(zlib.compress(bytes(2000)))
    monkeypatch.setattr(pickle_operations, "MAX_OPERATIONS", 10)
    with pytest.raises(UnreadableSource, match="operations"):
        read_pickle(b"N0" * 10 + b"N.")


def test_every_operation_is_known() -> None:
    """Each operation of the pickle protocols is executed, pushes a value, or is refused."""
    known = {*pickle_file._OPERATIONS, *pickle_file._CONSTANTS, *pickle_file._CONTAINERS, *pickle_file._LITERALS}
    assert {opcode.name for opcode in pickletools.opcodes} - known == {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER"}
