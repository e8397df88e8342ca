"""What live features and predictions look like, counted in the bins that training saw.

Whoever compares the counts of a bin with its share in reference.json sees the world move. A thousand rows a second are
enough for that, so no more are counted, and the cost stays the same under any load.
"""

from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter

from model_deployer.contract.number_format import exact
from model_deployer.contract.reference import CategoryDistribution, Distribution, Reference, TextDistribution
from model_deployer.serving.engines.batching import Arrays
from model_deployer.serving.observability.metric_specs import FEATURE_VALUES, PREDICTIONS
from model_deployer.serving.rows.columns import Columns

#: Rows that are counted of those in one interval.
MOST_ROWS = 1_000

#: Seconds between two counts.
INTERVAL = 1.0

Count = Callable[[NDArray[Any]], Mapping[str, int]]


class DriftCounter:
    """Counters of the rows that one worker answered.

    Args:
        reference: The content of reference.json.
        registry: Where the counters are read.
    """

    def __init__(self, reference: Reference, registry: CollectorRegistry) -> None:
        features, predictions = (
            Counter(meter.name, meter.about, meter.labels, registry=registry) for meter in (FEATURE_VALUES, PREDICTIONS)
        )
        self._features = _distributions(reference.features, features)
        self._predictions = _distributions(reference.predictions, predictions)
        self._room = MOST_ROWS
        self._sample: list[tuple[Columns, Arrays]] = []

    def see(self, columns: Columns, outputs: Arrays, rows: int) -> None:
        """Take a batch into the sample, as far as there is room."""
        if self._room > 0:
            taken = slice(0, self._room)
            self._room -= rows
            self._sample.append((_cut(columns, taken), _cut(outputs, taken)) if self._room < 0 else (columns, outputs))

    def count(self) -> None:
        """Count the sample, and begin another."""
        sample, self._sample, self._room = self._sample, [], MOST_ROWS
        if not sample:
            return
        for name, distribution in self._features.items():
            distribution.add([columns[name][:, 0] for columns, _ in sample])
        for name, distribution in self._predictions.items():
            output, column = name.removesuffix("]").split("[")
            distribution.add([outputs[output][:, int(column)] for _, outputs in sample])


class _Distribution:
    """The bins of one feature or prediction, and a counter for each."""

    def __init__(self, seen: Distribution, counter: Callable[[str], Any]) -> None:
        if isinstance(seen, CategoryDistribution):
            self._count: Count = _Categories(seen.frequencies)
            bins = [*seen.frequencies, "other", "missing"]
        else:
            numbers = _Numbers(seen.edges)
            is_text = isinstance(seen, TextDistribution)
            self._count = (lambda values: numbers(_lengths(values))) if is_text else numbers
            bins = [*numbers.bins, "missing"]
        self._counters = {bin: counter(bin) for bin in bins}

    def add(self, parts: Sequence[NDArray[Any]]) -> None:
        for bin, count in self._count(np.concatenate(parts)).items():
            self._counters[bin].inc(count)


def _distributions(seen: Mapping[str, Distribution], counter: Counter) -> dict[str, _Distribution]:
    return {name: _Distribution(each, partial(counter.labels, name)) for name, each in seen.items()}


class _Categories:
    """Strings, each counted for itself where training knows it."""

    def __init__(self, known: Mapping[str, float]) -> None:
        self._bins = {category: category for category in known} | {"": "missing"}

    def __call__(self, values: NDArray[Any]) -> Mapping[str, int]:
        return Tally(self._bins.get(value, "other") for value in values.tolist())


class _Numbers:
    """Numbers up to each of some edges; a bin carries its upper edge as its name."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = np.array(edges, dtype=np.float64)
        self.bins = [*map(exact, edges), "+Inf"]

    def __call__(self, values: NDArray[Any]) -> Mapping[str, int]:
        present = values[~np.isnan(values)]
        counts = np.bincount(np.searchsorted(self._edges, present), minlength=len(self.bins)).tolist()
        found = {bin: count for bin, count in zip(self.bins, counts, strict=True) if count}
        return found | ({"missing": missing} if (missing := len(values) - len(present)) else {})


def _lengths(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.array([len(value) or np.nan for value in values.tolist()], dtype=np.float64)


def _cut(arrays: Columns, rows: slice) -> Columns:
    return {name: array[rows] for name, array in arrays.items()}
