"""A limit on the memory of a program and its children, as a container has it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def memory_limit(size: int) -> Iterator[list[str]]:
    """Yield a command prefix that runs a program with at most ``size`` bytes of memory, page cache included.

    The test is skipped where this process may not create a control group (https://docs.kernel.org/admin-guide/cgroup-v2.html,
    or version 1).
    """
    folder, file = _own_group()
    group = folder / f"test-{os.getpid()}"
    try:
        group.mkdir()
        (group / file).write_text(str(size))
    except OSError:
        pytest.skip("this process may not limit the memory of a control group")
    try:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "--"]
    finally:
        group.rmdir()


def _own_group() -> tuple[Path, str]:
    """Return the control group of this process, and the name of the file with its limit of memory."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if controllers == "memory":
            return _ROOT / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
    return _ROOT / lines[0][2].lstrip("/"), "memory.max"
