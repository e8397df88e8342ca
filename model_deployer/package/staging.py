"""Write a folder atomically: it appears complete, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_deployer.contract.errors import UsageError
from model_deployer.system.janitor import temporary_folder


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield a folder next to the target that replaces the target at the end; after a failure the target is unchanged.

    Args:
        target: A folder that does not exist or is empty.

    Raises:
        UsageError: If the target is a file or a folder that is not empty.
    """
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UsageError(f"{target} is not empty; name another folder, or remove its content")
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(f".{target.name}-", parent) as temporary:
        folder = temporary / target.name
        folder.mkdir()
        yield folder
        if target.is_dir():
            target.rmdir()
        folder.rename(target)
