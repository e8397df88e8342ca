"""Clean up after this process, however it ends: its programs are killed, and its temporary folders removed.

A second process does it. It reads what there is to clean up from a pipe, whose end it sees when this process is gone,
also after SIGKILL, after which no code of this process runs.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

#: The program of the second process. It lives on when a terminal or a supervisor signals the group of this process.
_PROGRAM = """
import json, os, shutil, signal, sys
groups, folders = [], []
for line in sys.stdin:
    kind, value, is_added = json.loads(line)
    known = groups if kind == "group" else folders
    known.append(value) if is_added else known.remove(value)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
"""

_lock = Lock()
_process: "subprocess.Popen[str] | None" = None


@contextmanager
def owned_group(group: int) -> Iterator[None]:
    """Have a process group killed if this process ends within the context.

    Args:
        group: The number of the group: that of its first process.
    """
    with _owned("group", group):
        yield


@contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder that is removed at the end of the context, or when this process ends.

    Args:
        prefix: The beginning of its name.
        parent: The folder that it is in; None for that of temporary files.
    """
    folder = tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
    with folder as name, _owned("folder", name):
        yield Path(name)


@contextmanager
def _owned(kind: str, value: Any) -> Iterator[None]:
    _tell(kind, value, is_added=True)
    try:
        yield
    finally:
        _tell(kind, value, is_added=False)


def _tell(kind: str, value: Any, is_added: bool) -> None:
    global _process  # noqa: PLW0603 (one janitor for all that this process starts)
    with _lock:
        if _process is None or _process.poll() is not None:
            _process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        assert _process.stdin
        with suppress(OSError):
            _process.stdin.write(json.dumps([kind, value, is_added]) + "\n")
            _process.stdin.flush()
