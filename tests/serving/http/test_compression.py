import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import BodyTooLarge, MalformedBody, Overloaded, RequestError, UnsupportedMediaType
from model_deployer.serving.http.compression import accepted_encoding, compress, decompress
from model_deployer.serving.memory import MemoryBudget

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstd.compress,
}  # fmt: skip
ENCODINGS = st.sampled_from(sorted(COMPRESS))


def deflate(body: bytes) -> bytes:
    """Compress without the header and the checksum of the zlib format."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@given(st.binary(max_size=2_000), ENCODINGS)
def test_what_was_compressed_comes_back(body: bytes, encoding: str) -> None:
    assert decompress(COMPRESS[encoding](body), encoding, 2_000) == body


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=9), st.sampled_from(["gzip", "zstd"]))
def test_some_encodings_may_have_several_members(parts: list[bytes], encoding: str) -> None:
    assert decompress(b"".join(map(COMPRESS[encoding], parts)), encoding, 3_000) == b"".join(parts)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_large_bodies_come_back(encoding: str) -> None:
    body = bytes(3_000_000) + bytes(range(256)) * 10_000
    assert decompress(compress(body, encoding), encoding, len(body)) == body


def test_a_zstd_frame_with_a_larger_window_is_refused() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    stream = zstd.ZstdCompressor(options=options)
    frame = stream.compress(bytes(range(256)) * 2_000_000) + stream.flush()
    with pytest.raises(MalformedBody):
        decompress(frame, "zstd", 1_000_000_000)


@given(st.binary(max_size=2_000))
def test_deflate_may_lack_the_zlib_format(body: bytes) -> None:
    assert decompress(deflate(body), "deflate", 2_000) == body


def test_memory_is_reserved_as_the_body_grows() -> None:
    budget = MemoryBudget(3 * 1024**2)
    bomb = gzip.compress(bytes(100_000_000))
    with budget.request(), pytest.raises(BodyTooLarge, match="3 MiB of memory that all requests share"):
        decompress(bomb, "gzip", 100_000_000)
    assert budget.used == 0
    with budget.request(), budget.request() as other, pytest.raises(Overloaded):
        other.add(2 * 1024**2)
        with budget.request():
            decompress(bomb, "gzip", 100_000_000)


@given(st.binary(min_size=1, max_size=2_000), ENCODINGS, st.data())
def test_a_part_of_it_is_refused(body: bytes, encoding: str, data: st.DataObject) -> None:
    content = COMPRESS[encoding](body)
    length = data.draw(st.integers(min_value=0, max_value=len(content) - 1))
    with pytest.raises(MalformedBody):
        decompress(content[:length], encoding, 2_000)


@given(st.binary(max_size=300), ENCODINGS)
def test_whatever_comes_is_read_or_refused(body: bytes, encoding: str) -> None:
    with suppress(RequestError):
        assert len(decompress(body, encoding, 1_000)) <= 1_000


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_a_bomb_is_not_set_off(encoding: str) -> None:
    bomb = COMPRESS[encoding](bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(BodyTooLarge):
        decompress(bomb, encoding, 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def test_other_encodings_are_refused_with_those_that_are_read() -> None:
    with pytest.raises(UnsupportedMediaType, match="gzip, deflate, br or zstd"):
        decompress(b"", "compress", 1_000)


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("gzip", "gzip"), ("GZIP, deflate", "gzip"), ("br;q=1.0, gzip; q=0.5", "br"), ("*", "gzip"), ("x-gzip", "gzip"),
        ("", None), ("identity", None), ("br", "br"), ("gzip;q=0", None), ("gzip; q=0.000, *", "zstd"), ("*;q=0", None),
        ("gzipped", None), ("gzip, deflate, br, zstd", "gzip"), ("zstd, gzip", "zstd"), ("deflate", None),
        ("gzip;q=0.2, zstd;q=0.3, br;q=0.25", "zstd"),
    ],
)  # fmt: skip
def test_accept_encoding_has_weights(header: str, encoding: str | None) -> None:
    assert accepted_encoding(header.encode()) == encoding
