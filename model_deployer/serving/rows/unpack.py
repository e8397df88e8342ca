"""A program: a table of Parquet or Arrow on standard input becomes an uncompressed Arrow stream on standard output.

Run as ``python unpack.py MEDIA_TYPE MOST_ROWS MOST_BYTES``. A few bytes can unpack to gigabytes, or bring a decoder
down, so this process is held to its memory and time, and its failure is that of one request alone.
"""

import errno
import io
import resource
import sys

import arro3.core
import arro3.io

#: Bytes of memory beyond what a table may hold, and seconds of computing.
MEMORY = 1024**3
SECONDS = 10


def main(media_type: str, most_rows: int, most_bytes: int) -> int:
    """Read, and write at most one row too many, so that the reader can see that there are too many.

    Returns:
        0, or EFBIG where the table holds more than ``most_bytes``.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + 2 * most_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    reader = _reader(media_type, io.BytesIO(sys.stdin.buffer.read()))
    batches, rows, size = [], 0, 0
    for batch in reader:
        batches.append(batch.slice(0, min(batch.num_rows, most_rows + 1 - rows)))
        rows += batch.num_rows
        size += batches[-1].nbytes
        if size > most_bytes:
            return errno.EFBIG
        if rows > most_rows:
            break
    stream = io.BytesIO()
    arro3.io.write_ipc_stream(arro3.core.Table.from_batches(batches, schema=reader.schema), stream, compression=None)
    if stream.tell() > most_bytes:
        return errno.EFBIG
    sys.stdout.buffer.write(stream.getbuffer())
    return 0


def _reader(media_type: str, file: io.BytesIO) -> arro3.core.RecordBatchReader:
    if media_type.endswith("parquet"):
        return arro3.io.read_parquet(file)
    return arro3.io.read_ipc_stream(file) if media_type.endswith("stream") else arro3.io.read_ipc(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
