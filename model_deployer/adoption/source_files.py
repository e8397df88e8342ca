"""The files of a folder that a team hands over."""

import os
from collections.abc import Iterator
from pathlib import Path

#: Folders that hold no part of a source.
_IGNORED_FOLDERS = {".git", ".hg", ".venv", "venv", "__pycache__", "node_modules", ".ipynb_checkpoints"}


def source_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder in the order of their paths, without those of tools."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - _IGNORED_FOLDERS)
        yield from (Path(parent) / name for name in sorted(files) if (Path(parent) / name).is_file())
