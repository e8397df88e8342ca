"""Count live features and predictions in the bins of the reference rows.

Comparing the count of each bin with its share in reference.json shows drift. A thousand rows per second are enough for
that: no more are counted, so the cost stays the same under any load.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter

from model_deployer.contract.reference import (
    CountDistribution,
    Distribution,
    NormDistribution,
    Reference,
    counts,
    norms,
    watched_numbers,
)
from model_deployer.serving.engines.batching import Arrays
from model_deployer.serving.observability.metric_specs import FEATURE_VALUES, PREDICTIONS
from model_deployer.serving.rows.columns import Columns

#: The maximum number of rows that are counted per interval.
MAX_SAMPLED_ROWS = 1_000

#: The interval between two counts.
COUNT_INTERVAL_SECONDS = 1.0


class DriftCounter:
    """Counts the features and predictions of one worker by bin.

    Args:
        reference: The content of reference.json.
        registry: The registry that exposes the counters.
    """

    def __init__(self, reference: Reference, registry: CollectorRegistry) -> None:
        features, predictions = (
            Counter(spec.name, spec.about, spec.labels, registry=registry) for spec in (FEATURE_VALUES, PREDICTIONS)
        )
        self._features = _distributions(reference.features, features)
        self._predictions = _distributions(reference.predictions, predictions)
        self._summaries = {
            name: norms if isinstance(each, NormDistribution) else counts
            for name, each in reference.features.items()
            if isinstance(each, NormDistribution | CountDistribution)
        }
        self._free_rows = MAX_SAMPLED_ROWS
        self._batches: list[tuple[Columns, Arrays]] = []

    def sample(self, columns: Columns, outputs: Arrays, rows: int) -> None:
        """Add a batch to the sample, or as much of it as the limit leaves.

        Args:
            columns: The graph's inputs: one array per feature, [rows, *shape].
            outputs: The graph's output tensors, [rows, n] each.
            rows: The number of rows.
        """
        if self._free_rows > 0:
            part = slice(0, self._free_rows)
            self._free_rows -= rows
            if self._summaries or len(columns) > len(self._features):
                columns = self._summarized(columns)
            batch = (_slice(columns, part), _slice(outputs, part)) if self._free_rows < 0 else (columns, outputs)
            self._batches.append(batch)

    def _summarized(self, columns: Columns) -> Columns:
        """Return the columns that are counted, with norms and counts in place of lists; others would take memory."""
        return {
            name: self._summaries[name](columns[name])[:, None] if name in self._summaries else columns[name]
            for name in self._features
        }

    def count(self) -> None:
        """Count the sampled rows and start a new sample."""
        batches, self._batches, self._free_rows = self._batches, [], MAX_SAMPLED_ROWS
        if not batches:
            return
        for name, distribution in self._features.items():
            distribution.add([columns[name][:, 0] for columns, _ in batches])
        for name, distribution in self._predictions.items():
            distribution.add([watched_numbers(outputs, name) for _, outputs in batches])


class _Distribution:
    """The bins of one feature or prediction, with a counter for each.

    Args:
        reference: The distribution in the reference rows.
        counter: Returns the counter of a bin by its name.
    """

    def __init__(self, reference: Distribution, counter: Callable[[str], Any]) -> None:
        self._codes = reference.codes
        self._counters = [counter(bin) for bin in reference.shares()]

    def add(self, parts: Sequence[NDArray[Any]]) -> None:
        """Count values: arrays of [rows], numbers or str objects."""
        counts = np.bincount(self._codes(np.concatenate(parts)), minlength=len(self._counters)).tolist()
        for counter, count in zip(self._counters, counts, strict=True):
            if count:
                counter.inc(count)


def _distributions(references: Mapping[str, Distribution], counter: Counter) -> dict[str, _Distribution]:
    return {name: _Distribution(reference, partial(counter.labels, name)) for name, reference in references.items()}


def _slice(arrays: Columns, rows: slice) -> Columns:
    return {name: array[rows] for name, array in arrays.items()}
