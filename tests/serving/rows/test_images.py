"""Images in JSON and in tables: pixels as Pillow decodes them, and one problem for each file that is not an image."""

import base64
import importlib.util
import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import BodyTooLarge, EnvironmentFault, InvalidRows, MalformedBody, RequestError
from model_deployer.contract.features import Image, Numeric
from model_deployer.contract.image_file import example_image, require_pillow
from model_deployer.contract.outputs import Regression
from model_deployer.serving.memory import MemoryBudget
from model_deployer.serving.rows.columns import ColumnBuilder, Table
from model_deployer.serving.rows.decoding import Decoder
from model_deployer.serving.rows.tables import TableReader
from tests.support.tensor_models import image_content

COLOUR = Image(name="photo", height=8, width=6)
GREY = Image(name="photo", height=8, width=6, channels=1)
RESIZED = Image(name="photo", height=8, width=6, resize=True)


def contract(feature: Image) -> Contract:
    return Contract(
        features=(feature, Numeric(name="n", missing="impute", required=False)), output=Regression(target="y")
    )


def decode(feature: Image, value: Any) -> Any:
    """Return the pixels of one row, or the code and the message of the problem."""
    body = json.dumps({"rows": [{"photo": value}]}).encode()
    try:
        rows = Decoder(contract(feature))(body)
    except InvalidRows as refusal:
        (problem,) = refusal.problems
        assert (problem.row, problem.field) == (0, "photo")
        return problem.code, problem.message
    assert not isinstance(rows, Table)
    return ColumnBuilder(contract(feature).features)(rows)["photo"]


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def png(width: int, height: int, data: bytes, colour: int = 2, depth: int = 8) -> bytes:
    """Return a PNG file with this header, whatever its data are."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("feature", [COLOUR, GREY])
def test_pixels_are_those_of_pillow(feature: Image, mode: str, kind: str) -> None:
    content = image_content(1, kind=kind, mode=mode)
    expected = np.asarray(Pillow.open(io.BytesIO(content)).convert("L" if feature.channels == 1 else "RGB"))
    column = decode(feature, b64(content))
    assert column.dtype == np.uint8
    np.testing.assert_array_equal(column, expected.reshape(1, 8, 6, feature.channels))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK"])
def test_other_modes_are_converted(mode: str) -> None:
    file = io.BytesIO()
    image = Pillow.open(io.BytesIO(image_content(2))).convert(mode)
    image.save(file, "JPEG" if mode == "CMYK" else "PNG")
    expected = np.asarray(Pillow.open(io.BytesIO(file.getvalue())).convert("RGB"))
    np.testing.assert_array_equal(decode(COLOUR, b64(file.getvalue())), expected[None])


def test_another_size_is_resized_if_the_contract_says_so() -> None:
    content = image_content(3, height=40, width=30)
    expected = np.asarray(Pillow.open(io.BytesIO(content)).resize((6, 8), Pillow.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode(RESIZED, b64(content)), expected[None])
    assert decode(COLOUR, b64(content)) == ("invalid_image", "expected 6 x 8 pixels; it has 30 x 40")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the value is not a PNG or JPEG file"),
        (b"GIF89a" + bytes(20), "the value is not a PNG or JPEG file"),
        (image_content(1)[:20], "the file is damaged: its header cannot be read"),
        (image_content(1)[:-30], "the file is damaged: its pixels cannot be read"),
        (image_content(1, kind="JPEG")[:100], "the file is damaged"),
        (png(6, 8, b""), "the file is damaged: its pixels cannot be read"),
        (png(6, 8, bytes(8 * (1 + 12)), depth=16), "expected at most 8 bits per channel; it has more"),
        (png(6, 8, bytes(8 * (1 + 12)), depth=16, colour=0), "expected at most 8 bits per channel; it has more"),
        (png(0, 8, b""), "the file is damaged: its header cannot be read"),
    ],
)
def test_a_file_that_is_not_an_image_is_one_problem(content: bytes, message: str) -> None:
    code, reason = decode(COLOUR, b64(content))
    assert code == "invalid_image"
    assert reason.startswith(message)


@pytest.mark.parametrize("size", [(30_000, 30_000), (10_000, 10_000), (2**31 - 1, 1)])
def test_a_decompression_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    content = png(*size, bytes(1000))
    for feature in (COLOUR, RESIZED):
        code, _ = decode(feature, b64(content))
        assert code == "invalid_image"


def test_a_large_image_takes_its_memory_from_the_request() -> None:
    content = png(6_000, 6_000, bytes(1000))
    with MemoryBudget(100 * 1024**2).request(), pytest.raises(BodyTooLarge):
        decode(RESIZED, b64(content))


def test_text_is_base64() -> None:
    message = "the text is not base64 (RFC 4648); send it without spaces and without `data:`"
    for text in ("data:image/png;base64,AAAA", "a b", "é"):
        assert decode(COLOUR, text) == ("invalid_image", message)
    assert decode(COLOUR, 7)[0] == "wrong_type"
    assert decode(COLOUR, None)[0] == "not_nullable"


@settings(max_examples=100)
@given(data=st.data())
def test_damaged_files_are_decoded_or_one_problem(data: st.DataObject) -> None:
    content = bytearray(image_content(4, kind=data.draw(st.sampled_from(["PNG", "JPEG"]))))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    result = decode(data.draw(st.sampled_from([COLOUR, RESIZED])), b64(bytes(content)))
    assert isinstance(result, np.ndarray) or result[0] == "invalid_image"


def stream(frame: pl.DataFrame, **options: Any) -> bytes:
    file = io.BytesIO()
    frame.write_ipc_stream(file, compression="uncompressed", **options)
    return file.getvalue()


@pytest.mark.parametrize("level", [pl.CompatLevel.oldest(), pl.CompatLevel.newest()])
def test_tables_have_bytes_or_base64(level: pl.CompatLevel) -> None:
    contents = [image_content(number) for number in range(3)]
    expected = np.stack([decode(COLOUR, b64(content))[0] for content in contents])
    read = TableReader(contract(COLOUR))
    for column in (contents, [b64(content) for content in contents]):
        table = read(stream(pl.DataFrame({"photo": column}), compat_level=level))
        np.testing.assert_array_equal(table.columns["photo"], expected)
    with pytest.raises(InvalidRows) as refusal:
        read(stream(pl.DataFrame({"photo": [contents[0], contents[1][:-30], None]})))
    assert [(problem.row, problem.code) for problem in refusal.value.problems] == [
        (1, "invalid_image"),
        (2, "not_nullable"),
    ]


def test_bytes_are_refused_without_a_field_for_them() -> None:
    without = Contract(features=(Numeric(name="photo"),), output=Regression(target="y"))
    with pytest.raises(MalformedBody):
        TableReader(without)(stream(pl.DataFrame({"photo": [b"1"]})))


@pytest.mark.parametrize("size", [(224, 224), (1, 1), (37, 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_example_has_the_size(size: tuple[int, int], channels: int) -> None:
    example = example_image(*size, channels)
    assert len(example) < 20_000
    image = Image(name="photo", height=size[0], width=size[1], channels=channels, example=example)
    assert decode(image, example).shape == (1, *size, channels)


def test_an_image_is_required() -> None:
    with pytest.raises(ValueError, match="an image cannot be missing"):
        Image(name="photo", height=1, width=1, missing="impute")


def test_errors_are_those_of_requests_only() -> None:
    for value in ([1], {"b64": "AAAA"}, True, "\ud800"):
        try:
            decode(COLOUR, value)
        except RequestError:
            pytest.fail("one problem is expected")


def test_a_model_with_images_names_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require_pillow([Numeric(name="n")])
    with pytest.raises(EnvironmentFault, match="install it with `pip install 'model-deployer"):
        require_pillow([COLOUR])
