"""What a benchmark leaves behind: its targets, where it ran, and the file with both."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Target:
    """A figure of ours that has to be at least, or at most, so much."""

    name: str
    found: float
    least: float | None = None
    most: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it is."""
        return (self.least is None or self.found >= self.least) and (self.most is None or self.found <= self.most)


def write_results(file: Path, document: dict[str, Any], targets: Sequence[Target]) -> None:
    """Write a JSON file, whole or not at all, of what was measured and on which machine."""
    whole = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        **document,
        "targets": [asdict(target) | {"is_met": target.is_met} for target in targets],
    }
    file.parent.mkdir(exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(whole, indent=2) + "\n")
    unfinished.replace(file)


def verdict(targets: Sequence[Target]) -> Table:
    """A row a target: what was found, what was asked for, and whether that is met."""
    table = Table("target", "found", "asked for", "")
    for target in targets:
        asked = f"at most {target.most:g}" if target.least is None else f"at least {target.least:g}"
        table.add_row(target.name, f"{target.found:,.3g}", asked, "met" if target.is_met else "[red]missed[/]")
    return table
