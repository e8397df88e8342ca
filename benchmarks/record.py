"""Record the results of a benchmark: its targets, the machine, and the file with both."""

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
    """A target for one of our figures.

    Attributes:
        name: What the figure measures.
        value: The measured value.
        minimum: The lowest value that meets the target; None without a lower limit.
        maximum: The highest value that meets the target; None without an upper limit.
    """

    name: str
    value: float
    minimum: float | None = None
    maximum: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the value meets the target."""
        is_high_enough = self.minimum is None or self.value >= self.minimum
        return is_high_enough and (self.maximum is None or self.value <= self.maximum)


def write_results(file: Path, document: dict[str, Any], targets: Sequence[Target]) -> None:
    """Write the results as a JSON file, with the machine and the targets; the file is replaced at once.

    Args:
        file: The file.
        document: The measurements.
        targets: The targets.
    """
    results = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        **document,
        "targets": [asdict(target) | {"is_met": target.is_met} for target in targets],
    }
    file.parent.mkdir(exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(results, indent=2) + "\n")
    unfinished.replace(file)


def target_table(targets: Sequence[Target]) -> Table:
    """Return a table with one row per target: the value, the limit, and whether the target is met."""
    table = Table("target", "value", "limit", "")
    for target in targets:
        limit = f"at most {target.maximum:g}" if target.minimum is None else f"at least {target.minimum:g}"
        table.add_row(target.name, f"{target.value:,.3g}", limit, "met" if target.is_met else "[red]missed[/]")
    return table
