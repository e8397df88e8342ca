"""The formats of a table: Arrow's stream and file, and Parquet.

A stream whose buffers are not compressed is read by :mod:`serving.rows.arrow`. Whatever can be blown up (Parquet,
files, compressed streams) is rewritten first, by a process of its own that may fail: :mod:`serving.rows.unpack`.
"""

import asyncio
import errno
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.contract import Limits
from model_deployer.contract.errors import BodyTooLarge, MalformedBody

JSON = "application/json"
STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"

_PROGRAM = Path(__file__).with_name("unpack.py")

#: Processes that rewrite at the same time in one worker.
_AT_ONCE = 2


class Unpacker:
    """Rewrites tables as uncompressed Arrow streams.

    Args:
        limits: Of a request; they hold for what is unpacked, too.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, body: bytes, media_type: str) -> bytes:
        """The same table as a stream. Cancelled, its process is ended.

        Raises:
            MalformedBody: The body is no such table, or takes too much memory or time.
            BodyTooLarge: There is more in it than a body may be long.
        """
        async with self._turn:
            status, stream = await self._run(body, media_type)
        if status == errno.EFBIG:
            raise BodyTooLarge.over(self._limits.body_bytes)
        if status:
            raise MalformedBody(f"the body cannot be read as {media_type}")
        return stream

    async def _run(self, body: bytes, media_type: str) -> tuple[int | None, bytes]:
        limits = (str(self._limits.rows), str(self._limits.body_bytes))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(_PROGRAM),
            media_type,
            *limits,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            stream, _ = await process.communicate(body)
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode, stream


def write(columns: Mapping[str, Sequence[str] | NDArray[Any]], media_type: str) -> bytes:
    """A table of these columns: text, or numbers or booleans of one dimension."""
    import arro3.core  # noqa: PLC0415 (only who asks for tables pays for it)
    import arro3.io  # noqa: PLC0415

    table = arro3.core.Table.from_pydict({name: _array(arro3.core, column) for name, column in columns.items()})
    file = io.BytesIO()
    if media_type == PARQUET:
        arro3.io.write_parquet(table, file)
    elif media_type == FILE:
        arro3.io.write_ipc(table, file, compression=None)
    else:
        arro3.io.write_ipc_stream(table, file, compression=None)
    return file.getvalue()


def _array(core: Any, column: Sequence[str] | NDArray[Any]) -> Any:
    if isinstance(column, np.ndarray):
        return core.Array.from_numpy(np.ascontiguousarray(column))
    return core.Array(column, type=core.DataType.utf8())
