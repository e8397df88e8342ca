"""The formats of a table: Arrow stream, Arrow file and Parquet.

:mod:`serving.rows.arrow` reads streams without compression. Formats that can be much larger when decompressed (Parquet,
Arrow files, compressed streams) are first converted to such a stream by a separate process that may fail,
:mod:`serving.rows.unpack`.
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
from model_deployer.serving import memory

JSON = "application/json"
STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"

_PROGRAM = Path(__file__).with_name("unpack.py")

#: The memory that the process may take, in addition to four times the maximum size of a body: the table is in it as the
#: body, decompressed, as batches and as the stream.
_PROCESS_BYTES = 64 * 1024**2

#: The memory of a table as columns, whose text becomes objects, in multiples of its stream.
_COLUMNS_FACTOR = 4


class Unpacker:
    """Converts tables to Arrow streams without compression.

    Args:
        limits: The limits of a request, which also apply to the converted table.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process_bytes = _PROCESS_BYTES + 4 * limits.body_bytes
        self._free_process = asyncio.Lock()

    async def __call__(self, body: bytes, media_type: str) -> bytes:
        """Return the table as an Arrow stream. If the call is cancelled, its process is killed.

        One process runs at a time, and the memory that it may take is reserved while it does.

        Raises:
            MalformedBody: if the body is not such a table, or takes too much memory or time.
            BodyTooLarge: if the stream is larger than a body may be.
            Overloaded: if the requests in progress take all memory that they may.
        """
        async with self._free_process:
            with memory.borrow(self._process_bytes):
                status, stream = await self._run(body, media_type)
        memory.reserve(_COLUMNS_FACTOR * len(stream))
        if status == errno.EFBIG:
            raise BodyTooLarge.over(self._limits.body_bytes)
        if status:
            raise MalformedBody(f"the body cannot be read as {media_type}")
        return stream

    async def _run(self, body: bytes, media_type: str) -> tuple[int | None, bytes]:
        limits = (str(self._limits.rows), str(self._limits.body_bytes), str(self._process_bytes))
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


def write(columns: Mapping[str, Sequence[Any] | NDArray[Any]], media_type: str) -> bytes:
    """Write a table.

    Args:
        columns: The columns by name, all of the same length: arrays of [rows], numbers or booleans; arrays of
            [rows, numbers], which become lists of a fixed size; or lists of str or of int, with None for missing.
        media_type: The format: an Arrow stream, an Arrow file or Parquet.
    """
    import arro3.core  # noqa: PLC0415 (servers without requests for tables do not load it)
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


def _array(core: Any, column: Sequence[Any] | NDArray[Any]) -> Any:
    if isinstance(column, np.ndarray) and column.ndim > 1:
        numbers = core.Array.from_numpy(np.ascontiguousarray(column).ravel())
        return core.fixed_size_list_array(numbers, column.shape[1])
    if isinstance(column, np.ndarray):
        return core.Array.from_numpy(np.ascontiguousarray(column))
    is_text = isinstance(next(value for value in column if value is not None), str)
    return core.Array(column, type=core.DataType.utf8() if is_text else core.DataType.int64())
