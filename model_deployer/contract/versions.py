"""Semantic versions of models, and the step that a change of contract or behaviour asks for (https://semver.org)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Integer, Numeric, Text
from model_deployer.contract.number_format import exact
from model_deployer.contract.outputs import Classification, Output, Regression


class Step(IntEnum):
    """How much a consumer has to care, from nothing to everything."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A version such as 1.4.0; versions compare as numbers, so that 1.10.0 lies above 1.9.0."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``major.minor.patch``; ValueError for anything else."""
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(f"'{text}' is no version of the form 1.2.3")
        return cls(*map(int, parts))

    def next(self, step: Step) -> "Version":
        """The version after this one."""
        if step is Step.MAJOR:
            return Version(self.major + 1, 0, 0)
        if step is Step.MINOR:
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST_VERSION = Version(1, 0, 0)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two contracts, in a sentence for the consumer, and the step it asks for."""

    step: Step
    field: str | None
    message: str


def compare(old: Contract, new: Contract) -> list[Change]:
    """Every difference that a consumer of ``old`` meets in ``new``, the gravest first.

    A field removed, retyped, narrowed or newly required, and any change of the output, is major; a new optional field,
    a wider range or a looser rule is minor.
    """
    before = {feature.name: feature for feature in old.features}
    after = {feature.name: feature for feature in new.features}
    changes = [
        Change(Step.MAJOR, name, "removed: requests that carry it are refused") for name in before.keys() - after
    ]
    changes += [_added(after[name]) for name in after.keys() - before]
    for name in before.keys() & after:
        changes += _feature_changes(before[name], after[name])
    changes += _output_changes(old.output, new.output)
    changes += _limit_changes(old, new)
    return sorted(changes, key=lambda change: (-change.step, change.field or "", change.message))


def version_step(changes: Sequence[Change], moved: bool = False) -> Step:
    """The largest step that is asked for.

    Args:
        changes: Those of the contract, as :func:`compare` finds them.
        moved: Whether behaviour moved by more than a patch may move it: at least a minor step.
    """
    return max([Step.MINOR if moved else Step.PATCH, *(change.step for change in changes)])


def next_version(latest: Artifact | None, new: Contract, moved: bool = False) -> Version:
    """The version for a model that follows ``latest``; 1.0.0 for the first one.

    Args:
        latest: The highest version so far.
        new: The contract of the model that follows.
        moved: Whether its behaviour moved by more than a patch may move it; see
            :func:`contract.prediction_shift.exceeds_tolerance`.
    """
    if latest is None:
        return FIRST_VERSION
    return Version.parse(latest.manifest.version).next(version_step(compare(latest.contract, new), moved))


def _added(feature: Feature) -> Change:
    if feature.required:
        return Change(Step.MAJOR, feature.name, "new and required: requests without it are refused")
    return Change(Step.MINOR, feature.name, "new and optional")


def _feature_changes(old: Feature, new: Feature) -> list[Change]:
    if old.kind != new.kind:
        return [Change(Step.MAJOR, old.name, f"kind changed from {old.kind} to {new.kind}")]
    changes = [
        *_toggle(old.name, old.required, new.required, "required in every row", "may be left out"),
        *_toggle(old.name, not old.nullable, not new.nullable, "null is refused", "null is accepted"),
    ]
    match old, new:
        case ((Numeric() | Integer()), (Numeric() | Integer())):
            changes += _range_changes(old, new)
        case Categorical(), Categorical():
            changes += _category_changes(old, new)
        case Datetime(), Datetime() if old.zoned != new.zoned:
            changes.append(Change(Step.MAJOR, old.name, f"times are now {new.expected()}"))
        case Text(), Text() if old.longest != new.longest:
            step = Step.MAJOR if new.longest < old.longest else Step.MINOR
            changes.append(
                Change(step, old.name, f"longest text changed from {old.longest} to {new.longest} characters")
            )
        case Boolean(), _:
            pass
    if old.unit != new.unit:
        changes.append(Change(Step.MAJOR, old.name, f"unit changed from {old.unit or 'none'} to {new.unit or 'none'}"))
    return changes


def _toggle(name: str, old: bool, new: bool, stricter: str, looser: str) -> list[Change]:
    if old == new:
        return []
    return [Change(Step.MAJOR, name, stricter)] if new else [Change(Step.MINOR, name, looser)]


def _range_changes(old: Numeric | Integer, new: Numeric | Integer) -> list[Change]:
    """Bounds matter to a consumer where they refuse; where they clamp, a moved bound is the model's own business."""
    lowest, highest = float("-inf"), float("inf")

    def accepted(feature: Numeric | Integer) -> tuple[float, float]:
        if feature.out_of_range == "clamp":
            return lowest, highest
        low, high = feature.minimum, feature.maximum
        return lowest if low is None else low, highest if high is None else high

    (old_low, old_high), (new_low, new_high) = accepted(old), accepted(new)
    if (old_low, old_high) == (new_low, new_high):
        return []
    if new_low > old_low or new_high < old_high:
        return [Change(Step.MAJOR, old.name, f"range narrowed from {_span(old)} to {_span(new)}")]
    return [Change(Step.MINOR, old.name, f"range widened from {_span(old)} to {_span(new)}")]


def _span(feature: Numeric | Integer) -> str:
    if feature.out_of_range == "clamp":
        return "any number"
    ends = ["-" if end is None else exact(end) for end in (feature.minimum, feature.maximum)]
    return f"[{', '.join(ends)}]"


def _category_changes(old: Categorical, new: Categorical) -> list[Change]:
    if new.unknown == "accept":
        return _toggle(old.name, old.unknown == "reject", False, "", "unknown categories are accepted")
    if old.unknown == "accept":
        return [Change(Step.MAJOR, old.name, "unknown categories are refused")]
    gone = set(old.categories or ()) - set(new.categories or ())
    come = set(new.categories or ()) - set(old.categories or ())
    changes = [Change(Step.MAJOR, old.name, f"{len(gone)} categories are refused from now on")] if gone else []
    return [*changes, Change(Step.MINOR, old.name, f"{len(come)} more categories are accepted")] if come else changes


def _output_changes(old: Output, new: Output) -> list[Change]:
    """Where predictions carry sets, from which probability on a label is in them is the model's own business."""
    if old.task != new.task:
        return [Change(Step.MAJOR, None, f"the task changed from {old.task} to {new.task}")]
    if isinstance(old, Classification) and isinstance(new, Classification):
        return _classification_changes(old, new)
    if old == new:
        return []
    if isinstance(old, Regression) and isinstance(new, Regression):
        same_but_quantile = old.model_copy(update={"quantile": new.quantile}) == new
        if same_but_quantile:
            return [Change(Step.MAJOR, None, f"quantile moved from {old.quantile} to {new.quantile}")]
    return [_OTHER_OUTPUT]


def _classification_changes(old: Classification, new: Classification) -> list[Change]:
    changes = []
    if old.threshold != new.threshold and old.labels == new.labels:
        changes.append(Change(Step.MAJOR, None, f"decision threshold moved from {old.threshold} to {new.threshold}"))
    if (old.set_threshold is None) != (new.set_threshold is None):
        said = "carry a `set` of labels" if old.set_threshold is None else "no longer carry a `set` of labels"
        changes.append(Change(Step.MAJOR, None, f"predictions {said}"))
    moved = {"threshold": new.threshold, "set_threshold": new.set_threshold}
    return changes if old.model_copy(update=moved) == new else [*changes, _OTHER_OUTPUT]


_OTHER_OUTPUT = Change(Step.MAJOR, None, "the output's target, labels, unit, coverage or quantile changed")


def _limit_changes(old: Contract, new: Contract) -> list[Change]:
    words = {"rows": "rows a request", "body_bytes": "bytes a body", "timeout_seconds": "seconds allowed"}
    changes = []
    for name, noun in words.items():
        before, after = getattr(old.limits, name), getattr(new.limits, name)
        if before != after:
            step = Step.MAJOR if after < before else Step.MINOR
            changes.append(Change(step, None, f"limit changed from {exact(before)} to {exact(after)} {noun}"))
    return changes
