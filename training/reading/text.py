"""Text files in whatever encoding they have, as UTF-8."""

import codecs
import re
from dataclasses import dataclass, replace
from pathlib import Path

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.reading.content import Content
from model_deployer.training.reading.file_kind import BYTE_ORDER_MARKS, unmarked_wide_encoding
from model_deployer.training.reading.legacy_encoding import detect_encoding
from model_deployer.training.spec import Spec

#: Bytes at the beginning of a text that show its encoding and dialect.
SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True)
class Text:
    """A text as UTF-8.

    Attributes:
        content: The bytes, UTF-8.
        encoding: The name of the encoding that the file has, as people write it.
        sample: The beginning, at most about a million characters, up to the end of a line.
        is_whole: Whether the sample is the whole text.
    """

    content: Content
    encoding: str
    sample: str
    is_whole: bool

    @property
    def path(self) -> Path:
        """The file."""
        return self.content.path


def read_text(content: Content, spec: Spec, *, is_utf8: bool = True) -> Text:
    """Return a text file as UTF-8.

    A file without a byte order mark whose first million bytes are UTF-8 is taken for UTF-8; whether the rest is, the
    reader of the values finds out, and calls this function again.

    Args:
        content: The bytes of the file.
        spec: The model.yaml; ``data.encoding`` states the encoding.
        is_utf8: False after a reader met bytes that are not UTF-8.

    Raises:
        DataError: if the text does not have the encoding that is stated, or none that is known.
        SpecError: if ``data.encoding`` is not the name of an encoding.
    """
    head = content.head(SAMPLE_BYTES)
    encoding = spec.data.encoding or _marked(head) or unmarked_wide_encoding(head)
    if encoding is None and is_utf8 and _is_utf8(head, final=len(head) < SAMPLE_BYTES):
        return _text(content, "UTF-8")
    if encoding is None:
        encoding = _detected(content)
    if _codec(encoding, spec) == "utf-8" and is_utf8:
        return _text(content, "UTF-8")
    converted = replace(content, source=_decoded(content, encoding, spec).encode())
    return _text(converted, _label(encoding))


def read_checked_text(content: Content, spec: Spec) -> Text:
    """Return a text file as UTF-8 after a check of all of it; arguments and errors are those of :func:`read_text`."""
    return read_text(content, spec, is_utf8=_is_utf8(content.bytes(), final=True))


def line_at(data: bytes, offset: int) -> int:
    """Return the number, from 1, of the line that holds the byte at an offset."""
    return data.count(b"\n", 0, offset) + 1


def _text(content: Content, label: str) -> Text:
    head = content.head(SAMPLE_BYTES)
    is_whole = len(head) < SAMPLE_BYTES
    if not is_whole:
        head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1] or head
    return Text(content, label, head.decode("utf-8-sig", errors="replace"), is_whole)


def _marked(head: bytes) -> str | None:
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)


def _is_utf8(head: bytes, *, final: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final)
    except UnicodeDecodeError:
        return False
    return True


def _codec(encoding: str, spec: Spec) -> str:
    try:
        return codecs.lookup(encoding).name.removesuffix("-sig")
    except LookupError:
        raise SpecError(
            f"{spec.location('data', 'encoding')}: not the name of an encoding; examples are utf-8, utf-16, cp1252, "
            f"cp1250 and shift_jis"
        ) from None


def _decoded(content: Content, encoding: str, spec: Spec) -> str:
    data = content.bytes()
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        character = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode(encoding, "replace")) + 1
        where = f"{content.path}, line {line_at(data, error.start)}, character {character}"
        remedy = "state another one" if spec.data.encoding else "state the encoding of the file"
        raise DataError(f"{where}: bytes that are not {_label(encoding)}; {remedy} under `data.encoding`") from None
    except (LookupError, UnicodeError):
        raise DataError(f"{content.path}: not {_label(encoding)}; correct `data.encoding`") from None


def _detected(content: Content) -> str:
    """Return the encoding of bytes that are not UTF-8.

    Raises:
        DataError: if they are UTF-8 except for a few, or no encoding suits them.
    """
    data = content.bytes()
    _refuse_damaged_utf8(content.path, data)
    encoding = detect_encoding(data)
    if encoding is None:
        raise DataError(
            f"{content.path}: the encoding of the text is not recognized; state it under `data.encoding`, such as "
            f"cp1252 or shift_jis"
        )
    return encoding


def _refuse_damaged_utf8(path: Path, data: bytes) -> None:
    """Refuse text that is UTF-8 except for a few bytes: in any other encoding, the rest would be wrong."""
    text = data.decode("utf-8", errors="surrogateescape")
    wrong = len(re.findall("[\udc80-\udcff]", text))
    right = len(re.findall("[\x80-\ud7ff\ue000-\U0010ffff]", text))
    if wrong and right > 2 * wrong:
        start = re.search("[\udc80-\udcff]", text).start()  # type: ignore[union-attr]
        line, character = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
        raise DataError(
            f"{path}, line {line}, character {character}: bytes that are not UTF-8, although the other lines are; "
            f"correct this line, or state the encoding under `data.encoding`"
        )


def _label(encoding: str) -> str:
    return encoding.removesuffix("-sig").upper() if encoding.startswith("utf") else encoding
