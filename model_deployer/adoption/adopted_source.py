"""A source that was opened: what it says, the graph of it if there is one, and what answers in its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import onnx
import polars as pl

from model_deployer.adoption.equality.comparison import SourceAnswers
from model_deployer.adoption.interface import Interface
from model_deployer.contract.adoption import Adoption


class AskedSource(Protocol):
    """The source itself, in a process of its own."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of the libraries that it answers with."""

    def ask(self, frame: pl.DataFrame) -> SourceAnswers:
        """Return its answers to rows in the form of a graph's inputs: Float64 with NaN, String with ""."""


@dataclass(frozen=True)
class AdoptedSource:
    """A model that was trained elsewhere, before it has met a table.

    Attributes:
        interface: Its inputs and its output.
        origin: Where it comes from; ``equality`` and ``answered_with`` are not known yet.
        graph: The graph that was written from what it holds; None if a part of it has no writer.
        critical: Values of each field at which it changes its behaviour.
    """

    interface: Interface
    origin: Adoption
    graph: onnx.ModelProto | None
    critical: Mapping[str, set[float | str]]
