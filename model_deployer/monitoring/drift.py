"""How far live values have moved from those of training: recording rules for Prometheus, and from where on to say so.

The measure is the population stability index (PSI) over the bins that the service counts: the sum of
(live - expected) x ln(live / expected) over their shares. Of two samples of the same population, of m and n rows in k
bins, it is about (1/m + 1/n) times a chi-squared variable of k - 1 degrees (Yurdakul, 2018, "Statistical properties of
the population stability index"); more than that is movement.
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

#: From this index on people speak of a major shift.
MAJOR = 0.25

#: How often chance alone may reach the threshold of an index; from some dozens of rows alone, more often than that.
CHANCE = 1e-4

#: Live rows that an index is trusted with. One row of them is the least share that is told from none.
LEAST_ROWS = 1_000

#: Categories of a smaller share are taken together: each for itself would add more noise than news.
LEAST_SHARE = 0.05


@dataclass(frozen=True)
class WatchedDistribution:
    """A feature or an output, with what is expected of it.

    Attributes:
        name: As /metrics has it.
        about: What it is, for people.
        expected: Bins with their share in training; what lies in no other bin is taken together.
        threshold: The index from which on it has moved.
    """

    name: str
    about: str
    expected: Mapping[str, float]
    threshold: float


@dataclass(frozen=True)
class DriftMetric:
    """One of the two metrics that count distributions, and those of its distributions that are watched."""

    metric: str
    label: str
    watched: tuple[WatchedDistribution, ...]

    @property
    def index(self) -> str:
        """The metric that holds the index of each distribution over a day."""
        return f"job_{self.label}:{self.metric}:psi1d"

    @property
    def threshold(self) -> str:
        """The metric that holds the threshold of each."""
        return f"{self.metric}:psi_threshold"

    @property
    def share(self) -> str:
        """The metric that holds the share of each bin over a day."""
        return f"job_{self.label}_bin:{self.metric}:share1d"

    @property
    def expected(self) -> str:
        """The metric that holds the share that each bin had in training."""
        return f"{self.metric}:expected_share"

    def moved(self, model: str) -> str:
        """The expression that is true of each distribution that has moved; ``about`` is what it is for people."""
        of = f"{{model={quoted(model)}}}"
        return (
            f"{self.index}{of} > on (model, {self.label}) group_left (about) {self.threshold}{of}\n"
            f"  and on (job, model, {self.label}) {self._rows}{of} >= {LEAST_ROWS}"
        )

    def rules(self, facts: PackageData) -> Iterator[Rule]:
        """The rules that record all of these."""
        model = facts.manifest.name
        for each in self.watched:
            labels = {"model": model, self.label: each.name, "about": each.about}
            for bin, share in each.expected.items():
                yield record(self.expected, f"vector({share:.6g})", **labels, bin=bin)
            yield record(self.threshold, f"vector({each.threshold:.3g})", **labels)
        of = f"{{model={quoted(model)}}}"
        this = f"model_info{{name={quoted(model)},version={quoted(facts.manifest.version)}}}"
        yield record(
            self._increase,
            f"sum by (job, {self.label}, bin) (increase({self.metric}[5m]) and on (job, instance) {this})",
            model=model,
        )
        yield record(self._rows, f"sum by (job, {self.label}) (sum_over_time({self._increase}{of}[1d]))", model=model)
        yield record(
            self.share,
            f"sum_over_time({self._increase}{of}[1d])\n"
            f"  / on (job, model, {self.label}) group_left () {self._rows}{of}",
            model=model,
        )
        yield record(self.index, self._psi(of), model=model)

    @property
    def _increase(self) -> str:
        return f"job_{self.label}_bin:{self.metric}:increase5m"

    @property
    def _rows(self) -> str:
        return f"job_{self.label}:{self.metric}:rows1d"

    def _psi(self, of: str) -> str:
        """The sum over the bins that are expected by name, and the part of all others together."""
        by = f"model, {self.label}"
        share, expected = f"{self.share}{of}", f"{self.expected}{of}"
        other = f"1 - sum by (job, {by}) ({share} and on ({by}, bin) {expected})"
        other_expected = f"1 - sum by ({by}) ({expected})"
        named = _part(share, f"on ({by}, bin) group_left ()", expected)
        return f"sum by (job, {by}) (\n{named}\n)\n+\n{_part(other, f'on ({by}) group_left ()', other_expected)}"


def _part(live: str, matched: str, expected: str) -> str:
    """A bin's part of the index; no share is less than that of one row."""
    live, expected = (f"clamp_min({share}, {1 / LEAST_ROWS:g})" for share in (live, expected))
    return f"(\n  {live}\n  - {matched} {expected}\n) * ln(\n  {live}\n  / {matched} {expected}\n)"


def drifts(facts: PackageData) -> list[DriftMetric]:
    """What is watched, where the model has a reference."""
    found = [
        DriftMetric("model_feature_values_total", "feature", tuple(_features(facts))),
        DriftMetric("model_predictions_total", "output", tuple(_outputs(facts))),
    ]
    return [drift for drift in found if drift.watched]


def threshold(bins: int, rows: int | None) -> float:
    """From where on an index is no chance: of ``bins`` bins, where the expected shares come from so many rows."""
    degrees = max(1, bins - 1)
    spread = 2 / (9 * degrees)  # Wilson and Hilferty's approximation of a quantile of chi-squared
    most = degrees * (1 - spread + NormalDist().inv_cdf(1 - CHANCE) * math.sqrt(spread)) ** 3
    return max(MAJOR, most * (1 / LEAST_ROWS + (1 / rows if rows else 0)))


def _features(facts: PackageData) -> Iterator[WatchedDistribution]:
    """All but those that move by nature: points in time, and what moved within the table already."""
    known, rows = facts.reference.features if facts.reference else {}, facts.evaluation.rows
    moving = {each.column for each in facts.evaluation.findings if each.code == "drift"}
    for feature in facts.contract.features:
        if feature.name in known and feature.kind != "datetime" and feature.name not in moving:
            yield _watched(feature.name, feature.name, known[feature.name], rows.train if rows else None)


def _outputs(facts: PackageData) -> Iterator[WatchedDistribution]:
    """Of two labels the second alone, since the first mirrors it; of a regression the value without its interval."""
    known, rows = facts.reference.predictions if facts.reference else {}, facts.evaluation.rows
    for name, about in _meanings(facts.contract).items():
        if name in known:
            yield _watched(name, about, known[name], rows.test if rows else None)


def _meanings(contract: Contract) -> dict[str, str]:
    output = contract.output
    if isinstance(output, Classification):
        found = {f"probabilities[{index}]": f"probability of {label}" for index, label in enumerate(output.labels)}
        return dict(list(found.items())[1:]) if len(found) == 2 else found
    return {"value[0]": f"predicted {output.target}"}


def _watched(name: str, about: str, seen: Distribution, rows: int | None) -> WatchedDistribution:
    shares = seen.shares()
    if isinstance(seen, CategoryDistribution):
        shares = {bin: share for bin, share in shares.items() if bin == "missing" or _is_frequent(bin, share)}
    return WatchedDistribution(name, about, shares, threshold(len(shares) + 1, rows))


def _is_frequent(category: str, share: float) -> bool:
    return category != "other" and share >= LEAST_SHARE
