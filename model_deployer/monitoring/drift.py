"""Drift, the difference between live values and those of training: recording rules for Prometheus, and thresholds.

The measure is the population stability index (PSI) over the bins that the service counts: the sum of
(live - expected) x ln(live / expected) over their shares. For two samples of the same population, of m and n rows in k
bins, it is approximately (1/m + 1/n) times a chi-squared variable with k - 1 degrees of freedom (Yurdakul, 2018,
"Statistical properties of the population stability index"). A larger index means drift.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from model_deployer.contract.contract import Contract
from model_deployer.contract.outputs import Classification
from model_deployer.contract.reference import CategoryDistribution, Distribution
from model_deployer.monitoring.prometheus import Rule, quoted, record
from model_deployer.package.package_data import PackageData

#: The index above which a shift is usually called major.
MAJOR_SHIFT = 0.25

#: The probability that chance alone exceeds the threshold; with only some dozens of training rows it is higher.
FALSE_ALARM_PROBABILITY = 1e-4

#: The number of live rows below which an index is not used. The share of one of them is the smallest that counts.
MIN_ROWS = 1_000

#: Categories with a smaller share are merged into one bin: each of them would add more noise than information.
MIN_CATEGORY_SHARE = 0.05


@dataclass(frozen=True)
class WatchedDistribution:
    """A feature or an output with its expected distribution.

    Attributes:
        name: The name in /metrics.
        about: A description for people.
        expected: The bins with their shares in training; the shares of all other bins together are the rest.
        threshold: The index above which the distribution has drifted.
    """

    name: str
    about: str
    expected: Mapping[str, float]
    threshold: float


@dataclass(frozen=True)
class DriftMetric:
    """A metric that counts values in bins, with its watched distributions.

    Attributes:
        metric: The name of the metric.
        label: The label with the name of the distribution: ``feature`` or ``output``.
        watched: The distributions that are watched.
    """

    metric: str
    label: str
    watched: tuple[WatchedDistribution, ...]

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
        """Return the expression that selects each distribution that has drifted, with its label ``about``."""
        selector = f"{{model={quoted(model)}}}"
        return (
            f"{self.index}{selector} > on (model, {self.label}) group_left (about) {self.threshold}{selector}\n"
            f"  and on (job, model, {self.label}) {self._rows}{selector} >= {MIN_ROWS}"
        )

    def rules(self, package: PackageData) -> Iterator[Rule]:
        """Yield the recording rules of these metrics."""
        model = package.manifest.name
        for watched in self.watched:
            labels = {"model": model, self.label: watched.name, "about": watched.about}
            for bin, share in watched.expected.items():
                yield record(self.expected, f"vector({share:.6g})", **labels, bin=bin)
            yield record(self.threshold, f"vector({watched.threshold:.3g})", **labels)
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
    """Return the term of a bin in the index; a share is at least that of one row."""
    live, expected = (f"clamp_min({share}, {1 / MIN_ROWS:g})" for share in (live, expected))
    return f"(\n  {live}\n  - {matching} {expected}\n) * ln(\n  {live}\n  / {matching} {expected}\n)"


def drift_metrics(package: PackageData) -> list[DriftMetric]:
    """Return the metrics with watched distributions; none if the model has no reference."""
    metrics = [
        DriftMetric("model_feature_values_total", "feature", tuple(_features(package))),
        DriftMetric("model_predictions_total", "output", tuple(_outputs(package))),
    ]
    return [metric for metric in metrics if metric.watched]


def drift_threshold(bins: int, rows: int | None) -> float:
    """Return the index that chance alone rarely exceeds, but at least ``MAJOR_SHIFT``.

    Args:
        bins: The number of bins.
        rows: The number of rows that the expected shares were computed from; None if it is not known.
    """
    degrees = max(1, bins - 1)
    spread = 2 / (9 * degrees)  # Wilson and Hilferty's approximation of a quantile of chi-squared
    quantile = degrees * (1 - spread + NormalDist().inv_cdf(1 - FALSE_ALARM_PROBABILITY) * math.sqrt(spread)) ** 3
    return max(MAJOR_SHIFT, quantile * (1 / MIN_ROWS + (1 / rows if rows else 0)))


def _features(package: PackageData) -> Iterator[WatchedDistribution]:
    """Yield the features except those that always change: times, and columns that already drifted in the table."""
    reference, rows = package.reference.features if package.reference else {}, package.evaluation.rows
    drifting = {finding.column for finding in package.evaluation.findings if finding.code == "drift"}
    for feature in package.contract.features:
        if feature.name in reference and feature.kind != "datetime" and feature.name not in drifting:
            yield _watched(feature.name, feature.name, reference[feature.name], rows.train if rows else None)


def _outputs(package: PackageData) -> Iterator[WatchedDistribution]:
    """Yield the outputs: of two labels only the second (the first mirrors it), of a regression only the value."""
    reference, rows = package.reference.predictions if package.reference else {}, package.evaluation.rows
    for name, about in _descriptions(package.contract).items():
        if name in reference:
            yield _watched(name, about, reference[name], rows.test if rows else None)


def _descriptions(contract: Contract) -> dict[str, str]:
    output = contract.output
    if isinstance(output, Classification):
        names = {f"probabilities[{index}]": f"probability of {label}" for index, label in enumerate(output.labels)}
        return dict(list(names.items())[1:]) if len(names) == 2 else names
    return {"value[0]": f"predicted {output.target}"}


def _watched(name: str, about: str, reference: Distribution, rows: int | None) -> WatchedDistribution:
    shares = reference.shares()
    if isinstance(reference, CategoryDistribution):
        shares = {bin: share for bin, share in shares.items() if bin == "missing" or _is_frequent(bin, share)}
    return WatchedDistribution(name, about, shares, drift_threshold(len(shares) + 1, rows))


def _is_frequent(category: str, share: float) -> bool:
    return category != "other" and share >= MIN_CATEGORY_SHARE
