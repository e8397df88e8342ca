import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import BodyTooLarge, MalformedBody, Overloaded, RequestError, UnsupportedMediaType
from model_deployer.serving.http.compression import accepts_gzip, decompress
from model_deployer.serving.memory import MemoryBudget

COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
ENCODINGS = st.sampled_from(sorted(COMPRESS))


def deflate(body: bytes) -> bytes:
    """Compress without the header and the checksum of the zlib format."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@given(st.binary(max_size=2_000), ENCODINGS)
def test_what_was_compressed_comes_back(body: bytes, encoding: str) -> None:
    assert decompress(COMPRESS[encoding](body), encoding, 2_000) == body


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=9))
def test_gzip_may_have_several_members(parts: list[bytes]) -> None:
    assert decompress(b"".join(map(gzip.compress, parts)), "gzip", 3_000) == b"".join(parts)


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
    with pytest.raises(UnsupportedMediaType, match="gzip or deflate"):
        decompress(b"", "br", 1_000)


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        ("gzip", True), ("GZIP, deflate", True), ("br;q=1.0, gzip; q=0.5", True), ("*", True), ("x-gzip", True),
        ("", False), ("identity", False), ("br", False), ("gzip;q=0", False), ("gzip; q=0.000, *", False),
        ("*;q=0", False), ("gzipped", False),
    ],
)  # fmt: skip
def test_accept_encoding_has_weights(header: str, is_accepted: bool) -> None:
    assert accepts_gzip(header.encode()) is is_accepted
