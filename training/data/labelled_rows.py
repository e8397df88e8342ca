"""Rows of the traffic of a model with their labels, as a table."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import Data


@dataclass(frozen=True)
class LabelledRows:
    """Rows of the traffic with their labels, in the order of their time.

    Attributes:
        frame: One column per field of the model, with the types of captured traffic, and those below.
        target: The column with the labels: text, or numbers for a quantity.
        time: The column with the times of the rows, in UTC.
        weight: The column with the weights of the rows.
    """

    frame: pl.DataFrame
    target: str
    time: str
    weight: str

    @property
    def data(self) -> Data:
        """The section ``data`` of a model.yaml for these rows."""
        return Data(path="labelled.parquet", target=self.target, time=self.time, weight=self.weight)

    @property
    def version(self) -> str:
        """``sha256:`` and the digest of the rows."""
        content = io.BytesIO()
        self.frame.write_ipc(content)
        return f"sha256:{hashlib.sha256(content.getvalue()).hexdigest()}"

    def kept_slices(self, slices: Sequence[str]) -> tuple[str, ...]:
        """Return the columns among ``slices`` of a model.yaml that the rows have, and print which are left out."""
        kept = tuple(name for name in slices if name in self.frame.columns)
        if absent := [name for name in slices if name not in kept]:
            print_stage("slices", f"{', '.join(absent)}: not a field of the traffic, left out")
        return kept

    def split(self, share: float) -> tuple["LabelledRows", "LabelledRows"]:
        """Return the first rows and the last ones, which are about a ``share`` of them; no time is in both."""
        start = self.frame[self.time][min(int(len(self.frame) * (1 - share)), len(self.frame) - 1)]
        is_late = pl.col(self.time) >= start
        return self._with(self.frame.filter(~is_late)), self._with(self.frame.filter(is_late))

    def _with(self, frame: pl.DataFrame) -> "LabelledRows":
        return LabelledRows(frame, self.target, self.time, self.weight)
