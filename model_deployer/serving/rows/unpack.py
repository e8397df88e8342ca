"""A program that converts a Parquet or Arrow table to an Arrow stream without compression.

Run it as ``python unpack.py MEDIA_TYPE MAX_ROWS MAX_BYTES MAX_MEMORY``, with the table on standard input; it writes the
stream to standard output. A few bytes can decompress to gigabytes or crash a decoder. Therefore this process has limits
on memory and time, and its failure affects one request only.
"""

import errno
import io
import resource
import sys

import arro3.core
import arro3.io

#: The limit of CPU time.
CPU_SECONDS = 10


def main(media_type: str, max_rows: int, max_bytes: int, max_memory: int) -> int:
    """Convert the table. At most one row too many is written, so that the reader can refuse too many rows.

    Args:
        media_type: The media type of the table.
        max_rows: The maximum number of rows.
        max_bytes: The maximum size of the stream in bytes.
        max_memory: The maximum size of the process's data in bytes.

    Returns:
        The exit code: 0, or EFBIG if the table is larger than ``max_bytes``.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (max_memory, max_memory))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    reader = _reader(media_type, io.BytesIO(sys.stdin.buffer.read()))
    batches, rows, size = [], 0, 0
    for batch in reader:
        batches.append(batch.slice(0, min(batch.num_rows, max_rows + 1 - rows)))
        rows += batch.num_rows
        size += batches[-1].nbytes
        if size > max_bytes:
            return errno.EFBIG
        if rows > max_rows:
            break
    stream = io.BytesIO()
    arro3.io.write_ipc_stream(arro3.core.Table.from_batches(batches, schema=reader.schema), stream, compression=None)
    if stream.tell() > max_bytes:
        return errno.EFBIG
    sys.stdout.buffer.write(stream.getbuffer())
    return 0


def _reader(media_type: str, file: io.BytesIO) -> arro3.core.RecordBatchReader:
    if media_type.endswith("parquet"):
        return arro3.io.read_parquet(file)
    return arro3.io.read_ipc_stream(file) if media_type.endswith("stream") else arro3.io.read_ipc(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:5])))
