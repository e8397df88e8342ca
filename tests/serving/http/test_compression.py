import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import BodyTooLarge, MalformedBody, RequestError, UnsupportedMediaType
from model_deployer.serving.http.compression import decompress

COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
ENCODINGS = st.sampled_from(sorted(COMPRESS))


@given(st.binary(max_size=2_000), ENCODINGS)
def test_what_was_compressed_comes_back(body: bytes, encoding: str) -> None:
    assert decompress(COMPRESS[encoding](body), encoding, 2_000) == body


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
