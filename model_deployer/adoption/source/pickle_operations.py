"""The operations of a pickle, one after the other, as the pickle machine would execute them."""

import codecs
import pickletools
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from model_deployer.adoption.source.unreadable_source import UnreadableSource

#: A pickle with more operations than this is refused. A vocabulary of a million words takes three million.
MAX_OPERATIONS = 30_000_000

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def operations(stream: BytesIO) -> Iterator[tuple[str, Any]]:
    """Yield the operations of one pickle up to its end, each by the name that :mod:`pickletools` gives it.

    The caller may read from the stream in between, as joblib does for arrays.

    Args:
        stream: The bytes, at the beginning of the pickle.

    Yields:
        The name of the operation, and its argument; None if it has none. Texts of Python 2 are decoded as Latin-1,
        which keeps every byte.

    Raises:
        UnreadableSource: if the bytes are not a pickle, or end within it.
    """
    for _ in range(MAX_OPERATIONS):
        code = stream.read(1)
        if not code:
            raise UnreadableSource("the pickle is truncated: its end is missing; hand over the complete file")
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise UnreadableSource("these bytes are not a pickle, or they are damaged; hand over the original file")
        yield opcode.name, _argument(opcode, stream)
        if opcode.name == "STOP":
            return
    raise UnreadableSource(f"the pickle has more than {MAX_OPERATIONS:,} operations; hand over a smaller model")


def _argument(opcode: pickletools.OpcodeInfo, stream: BytesIO) -> Any:
    if opcode.name == "STRING":
        return _quoted_text(stream)
    try:
        return None if opcode.arg is None else opcode.arg.reader(stream)
    except (ValueError, EOFError) as error:
        raise UnreadableSource("the pickle is truncated or damaged; hand over the complete file") from error


def _quoted_text(stream: BytesIO) -> str:
    """Read a text of protocol 0; :mod:`pickletools` of Python 3.11 reads only ASCII."""
    line = stream.readline()
    text = line[1:-2]
    if len(line) < 3 or line[-1:] != b"\n" or line[:1] != line[-2:-1] or line[:1] not in b"'\"":
        raise UnreadableSource("the pickle is truncated or damaged; hand over the complete file")
    return codecs.escape_decode(text)[0].decode("latin-1")
