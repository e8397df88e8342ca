"""Whether two measurements of a model agree, and if not, what differed between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from model_deployer.contract.number_format import count, percent
from model_deployer.package.measurements import Latency, Measurements
from model_deployer.package.sizing import Sizing

#: Two measurements on one machine that is not busy agree within this share.
TOLERANCE = 0.15

_MIB = 1024 * 1024


class Figure(NamedTuple):
    """A measured figure, above 0.

    Attributes:
        value: The value.
        low, high: The range of the blocks of the measurement; ``value`` if there are none.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A figure in two measurements.

    Attributes:
        name: What was measured, with its unit.
        old, new: The figures.
    """

    name: str
    old: Figure
    new: Figure

    @property
    def is_within(self) -> bool:
        """Whether the larger value exceeds the smaller one by no more than ``TOLERANCE``, or is in its range."""
        small, large = sorted((self.old, self.new))
        return large.value <= (1 + TOLERANCE) * small.value or large.value <= small.high or small.value >= large.low

    def __str__(self) -> str:
        """The figure as a line: its name, both values with their ranges, and their ratio."""
        change = self.new.value / self.old.value - 1
        old, new = (_shown(figure) for figure in (self.old, self.new))
        return f"{self.name}: {old} -> {new} ({'+' if change >= 0 else '-'}{percent(abs(change))})"


def _shown(figure: Figure) -> str:
    if figure.low == figure.high:
        return f"{figure.value:,.4g}"
    return f"{figure.value:,.4g} ({figure.low:,.4g} to {figure.high:,.4g})"


def differences(old: Measurements, new: Measurements) -> Iterator[Difference]:
    """Yield the figures that both measurements have.

    Latencies are compared by their medians: a 99th percentile of some seconds varies by more than ``TOLERANCE``.
    """
    best = [Sizing(measured, timeout_seconds=0).best_load.requests_per_second for measured in (old, new)]
    yield Difference("requests per second, at most", *(Figure(rate, rate, rate) for rate in best))
    newer = {(step.rows, step.clients): step for step in new.steps}
    for step in old.steps:
        if (step.rows, step.clients) in newer:
            name = f"p50 in ms, {count(step.clients, 'client')}, {count(step.rows, 'row')}"
            yield Difference(name, _median(step), _median(newer[step.rows, step.clients]))
    sizes = [measured.memory_loaded_bytes for measured in (old, new)]
    if all(sizes):
        peaks = [(size or 0) / _MIB for size in sizes]
        yield Difference("peak memory in MiB", *(Figure(peak, peak, peak) for peak in peaks))


def _median(step: Latency) -> Figure:
    return Figure(step.p50, step.p50_low or step.p50, step.p50_high or step.p50)


def reasons(old: Measurements, new: Measurements) -> Iterator[str]:
    """Yield what can explain why two measurements differ."""
    for name in ("processor", "cores", "gpu"):
        before, after = getattr(old.machine, name), getattr(new.machine, name)
        if before != after:
            yield f"another machine: {name} {before}, then {after}"
    for which, measured in (("first", old), ("second", new)):
        if measured.is_busy:
            yield f"the machine was busy during the {which} measurement: {measured.others}"
        elif not any(step.conditions for step in measured.steps):
            yield f"the {which} measurement does not tell what else ran on the machine"
    frequencies = [_megahertz(measured) for measured in (old, new)]
    if all(frequencies) and max(frequencies) > (1 + TOLERANCE) * min(frequencies):
        yield f"the frequency of the cores: {frequencies[0]:,.0f} MHz, then {frequencies[1]:,.0f} MHz"


def _megahertz(measured: Measurements) -> float:
    """Return the average frequency during a measurement; 0 if it is not known."""
    conditions = [step.conditions for step in measured.steps if step.conditions]
    frequencies = [each.megahertz for each in conditions if each.megahertz]
    return sum(frequencies) / len(frequencies) if frequencies else 0.0
