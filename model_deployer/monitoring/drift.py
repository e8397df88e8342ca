"""Drift, the difference between live values and those of the reference rows: recording rules for Prometheus.

The measure is the population stability index over the bins that the service counts. Its thresholds were found when the
model was made, by a replay of its table: :mod:`model_deployer.contract.drift`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from model_deployer.contract.contract import Contract
from model_deployer.contract.drift import MIN_SHARE, ReplayedDistribution, index_bins
from model_deployer.contract.outputs import Classification, VectorOutput
from model_deployer.contract.reference import CategoryDistribution, Distribution
from model_deployer.monitoring.prometheus import Rule, quoted, record
from model_deployer.package.package_data import PackageData

_NO_REPLAY = "Without a replay of the table, no threshold is known."


@dataclass(frozen=True)
class WatchedDistribution:
    """A feature or an output with its expected distribution.

    Attributes:
        name: The name in /metrics.
        about: A description for people.
        expected: The bins with their shares in the reference rows; the shares of all other bins together are the rest.
        replay: The threshold of the index, and what a replay of the table found with it.
    """

    name: str
    about: str
    expected: Mapping[str, float]
    replay: ReplayedDistribution


@dataclass(frozen=True)
class Unwatched:
    """A feature or an output without an alert on drift.

    Attributes:
        about: A description for people.
        reason: A sentence that says why.
    """

    about: str
    reason: str


@dataclass(frozen=True)
class DriftMetric:
    """A metric that counts values in bins, with its watched distributions.

    Attributes:
        metric: The name of the metric.
        label: The label with the name of the distribution: ``feature`` or ``output``.
        watched: The distributions that are watched.
        min_rows: The number of rows of a day below which its index is not used.
    """

    metric: str
    label: str
    watched: tuple[WatchedDistribution, ...]
    min_rows: int

    @property
    def alert(self) -> str:
        """The name of the alert."""
        return {"feature": "ModelFeatureDrift", "output": "ModelPredictionDrift"}[self.label]

    @property
    def index(self) -> str:
        """The metric of the index of each distribution over a day."""
        return f"job_{self.label}:{self.metric}:psi1d"

    @property
    def threshold(self) -> str:
        """The metric of the threshold of each distribution."""
        return f"{self.metric}:psi_threshold"

    @property
    def share(self) -> str:
        """The metric of the share of each bin over a day."""
        return f"job_{self.label}_bin:{self.metric}:share1d"

    @property
    def expected(self) -> str:
        """The metric of the expected share of each bin."""
        return f"{self.metric}:expected_share"

    def alert_expression(self, model: str) -> str:
        """Return the expression that selects each distribution that has drifted, with its label ``about``.

        Only whole days are compared: in the first 23 hours of a version, the hour of the day would count as drift.
        """
        selector = f"{{model={quoted(model)}}}"
        return (
            f"{self.index}{selector} > on (model, {self.label}) group_left (about) {self.threshold}{selector}\n"
            f"  and on (job, model, {self.label}) {self._rows}{selector} >= {self.min_rows}\n"
            f"  and on (job, model, {self.label}) ({self._rows}{selector} offset 23h) > 0"
        )

    def group(self, package: PackageData) -> str:
        """Return the name of the group of the recording rules."""
        return f"{package.tag} {self.metric}"

    def rules(self, package: PackageData) -> Iterator[Rule]:
        """Yield the recording rules of these metrics."""
        model = package.manifest.name
        for watched in self.watched:
            labels = {"model": model, self.label: watched.name, "about": watched.about}
            for bin, share in watched.expected.items():
                yield record(self.expected, f"vector({share:.6g})", **labels, bin=bin)
            yield record(self.threshold, f"vector({watched.replay.threshold:g})", **labels)
        selector = f"{{model={quoted(model)}}}"
        replicas = f"model_info{{name={quoted(model)},version={quoted(package.manifest.version)}}}"
        yield record(
            self._increase,
            f"sum by (job, {self.label}, bin) (increase({self.metric}[5m]) and on (job, instance) {replicas})",
            model=model,
        )
        increase = f"sum_over_time({self._increase}{selector}[1d])"
        yield record(self._rows, f"sum by (job, {self.label}) ({increase})", model=model)
        yield record(
            self.share,
            f"{increase}\n  / on (job, model, {self.label}) group_left () {self._rows}{selector}",
            model=model,
        )
        yield record(self.index, self._psi(selector), model=model)

    @property
    def _increase(self) -> str:
        return f"job_{self.label}_bin:{self.metric}:increase5m"

    @property
    def _rows(self) -> str:
        return f"job_{self.label}:{self.metric}:rows1d"

    def _psi(self, selector: str) -> str:
        """Return the index: the sum over the expected bins, plus the term of all other bins together."""
        by = f"model, {self.label}"
        share, expected = f"{self.share}{selector}", f"{self.expected}{selector}"
        other = f"1 - sum by (job, {by}) ({share} and on ({by}, bin) {expected})"
        other_expected = f"1 - sum by ({by}) ({expected})"
        terms = _psi_term(share, f"on ({by}, bin) group_left ()", expected)
        other_term = _psi_term(other, f"on ({by}) group_left ()", other_expected)
        return f"sum by (job, {by}) (\n{terms}\n)\n+\n{other_term}"


def _psi_term(live: str, matching: str, expected: str) -> str:
    """Return the term of a bin in the index; see :data:`MIN_SHARE`."""
    live, expected = (f"clamp_min({share}, {MIN_SHARE:g})" for share in (live, expected))
    return f"(\n  {live}\n  - {matching} {expected}\n) * ln(\n  {live}\n  / {matching} {expected}\n)"


def drift_metrics(package: PackageData) -> list[DriftMetric]:
    """Return the metrics with watched distributions; none if the model has no replay of its table."""
    drift = package.reference and package.reference.drift
    if not drift:
        return []
    metrics = [
        DriftMetric(metric, label, tuple(_watched(candidates)), drift.min_rows)
        for metric, label, candidates in (
            ("model_feature_values_total", "feature", _features(package)),
            ("model_predictions_total", "output", _outputs(package)),
        )
    ]
    return [metric for metric in metrics if metric.watched]


def unwatched(package: PackageData) -> list[Unwatched]:
    """Return the features and outputs without an alert on drift."""
    if not (package.reference and package.reference.drift):
        return [Unwatched("All fields and predictions", _NO_REPLAY)]
    times = [feature.name for feature in package.contract.features if feature.kind == "datetime"]
    images = [feature.name for feature in package.contract.features if feature.kind == "image"]
    candidates = (*_features(package), *_outputs(package))
    return [
        *(Unwatched(name, "It is a time, which always changes.") for name in times),
        *(Unwatched(name, "It is an image; only the predictions show a drift of images.") for name in images),
        *(Unwatched(each.about, _reason(each.replay)) for each in candidates if not each.replay.is_watched),
    ]


def _reason(replay: ReplayedDistribution) -> str:
    """Return why a distribution has no alert."""
    indices = [fault.index for fault in replay.faults if not fault.is_refused]
    if not indices:
        return "There is nothing to replay: there are too few rows with a value, or the service refuses every fault."
    return (
        f"A day with a planted fault has an index of up to {max(indices):.2f}, which is not above "
        f"the threshold of {replay.threshold:g} that normal days and chance need."
    )


def _watched(candidates: Iterable[WatchedDistribution]) -> Iterator[WatchedDistribution]:
    return (candidate for candidate in candidates if candidate.replay.is_watched)


def _features(package: PackageData) -> Iterator[WatchedDistribution]:
    """Yield the features that were replayed: all but times."""
    reference = package.reference
    if reference and reference.drift:
        for name, replay in reference.drift.features.items():
            yield _distribution(name, name, reference.features[name], replay)


def _outputs(package: PackageData) -> Iterator[WatchedDistribution]:
    """Yield the outputs: of two labels only the second (the first mirrors it), of an interval only its value."""
    reference = package.reference
    if reference and reference.drift:
        for name, about in _descriptions(package.contract).items():
            if name in reference.drift.predictions:
                yield _distribution(name, about, reference.predictions[name], reference.drift.predictions[name])


def _descriptions(contract: Contract) -> dict[str, str]:
    output = contract.output
    if isinstance(output, Classification):
        names = {f"probabilities[{index}]": f"probability of {label}" for index, label in enumerate(output.labels)}
        return dict(list(names.items())[1:]) if len(names) == 2 else names
    if isinstance(output, VectorOutput):
        names = {f"values[{index}]": f"predicted {name}" for index, name in enumerate(output.names or ())}
        return names or {"values": f"length of the vector {output.target}"}
    return {"value[0]": f"predicted {output.target}"}


def _distribution(name: str, about: str, reference: Distribution, replay: ReplayedDistribution) -> WatchedDistribution:
    shares = reference.shares()
    bins = index_bins(shares, isinstance(reference, CategoryDistribution))
    return WatchedDistribution(name, about, {bin: shares[bin] for bin in bins}, replay)
