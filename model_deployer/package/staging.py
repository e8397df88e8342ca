"""A folder that is there as a whole, or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_deployer.contract.errors import UsageError


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place in the end; whatever fails, the target is as it was.

    Args:
        target: Is not there yet, or is an empty folder.

    Raises:
        UsageError: There is something in it already.
    """
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UsageError(f"{target} is not empty; name another folder, or remove what is in it")
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=parent) as name:
        folder = Path(name) / target.name
        folder.mkdir()
        yield folder
        if target.is_dir():
            target.rmdir()
        folder.rename(target)
