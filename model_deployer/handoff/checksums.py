"""SHA256SUMS: the hash of every file of a package, in the format of `sha256sum -c`."""

import shutil
from pathlib import Path

from model_deployer.contract.artifact import sha256
from model_deployer.handoff.standalone.verify import SUMS, listed_files

#: Folders that programs leave behind where they run.
_CACHES = ("__pycache__", ".pytest_cache")


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files of a package except the list itself and the signature.

    What programs left behind while the package was written is removed before.
    """
    for name in _CACHES:
        for cache in [*folder.rglob(name)]:
            shutil.rmtree(cache)
    lines = [f"{sha256(folder / name)}  {name}\n" for name in listed_files(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
