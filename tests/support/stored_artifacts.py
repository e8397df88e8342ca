"""Models that earlier versions of the project wrote."""

import json
from pathlib import Path
from typing import Any

STORED = sorted(
    path for path in (Path(__file__).parents[1] / "contract" / "artifacts").glob("format_*/*") if path.is_dir()
)


def name_of(folder: Path) -> str:
    """The format and the name of a stored model."""
    return f"{folder.parent.name}-{folder.name}"


def json_of(folder: Path, name: str) -> Any:
    """The content of a JSON file of a stored model."""
    return json.loads((folder / name).read_bytes())
