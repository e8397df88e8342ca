"""Semantic versions of models, and the step that a change of contract or behaviour requires (https://semver.org)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.category_spelling import ignored_differences
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import (
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberArray,
    Numeric,
    Text,
)
from model_deployer.contract.number_format import exact
from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput


class Step(IntEnum):
    """The part of the version that increases. A major step requires consumers to adapt; the other steps do not."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A version such as 1.4.0. Versions compare as numbers, so 1.10.0 is higher than 1.9.0."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``major.minor.patch``.

        Raises:
            ValueError: if the text does not have this form.
        """
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(f"'{text}' is not a version of the form 1.2.3")
        return cls(*map(int, parts))

    def next(self, step: Step) -> "Version":
        """Return the version that follows this one after a step."""
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
    """One difference between two contracts.

    Attributes:
        step: The step that it requires.
        field: The feature that changed, or None if the output or a limit changed.
        message: The change in words, for the consumer; it reads as a sentence about the field.
    """

    step: Step
    field: str | None
    message: str


def compare(old: Contract, new: Contract) -> list[Change]:
    """Return every difference that a consumer of ``old`` notices in ``new``, the largest step first.

    The step is major if a field is removed, retyped, narrowed or newly required, or if the output changes in any way.
    It is minor for a new optional field, a wider range or a looser rule.
    """
    old_features = {feature.name: feature for feature in old.features}
    new_features = {feature.name: feature for feature in new.features}
    changes = [
        Change(Step.MAJOR, name, "removed: requests with this field are refused")
        for name in old_features.keys() - new_features
    ]
    changes += [_added(new_features[name]) for name in new_features.keys() - old_features]
    for name in old_features.keys() & new_features:
        changes += _feature_changes(old_features[name], new_features[name])
    changes += _output_changes(old.output, new.output)
    changes += _limit_changes(old, new)
    return sorted(changes, key=lambda change: (-change.step, change.field or "", change.message))


def version_step(changes: Sequence[Change], moved: Step = Step.PATCH) -> Step:
    """Return the largest step that the changes require.

    Args:
        changes: The changes of the contract, as :func:`compare` returns them.
        moved: The step that the behaviour requires, see :func:`moved_step`.
    """
    return max([moved, *(change.step for change in changes)])


def moved_step(output: Output, moved: bool) -> Step:
    """Return the step that a change of behaviour requires.

    An embedding that moved is a major step: callers have stored vectors, which cannot be compared with new ones.

    Args:
        output: The output of the new model.
        moved: Whether behaviour moved by more than a patch allows; see
            :func:`contract.prediction_shift.exceeds_tolerance`.
    """
    if not moved:
        return Step.PATCH
    return Step.MAJOR if output.task == "embedding" else Step.MINOR


def next_version(latest: Artifact | None, new: Contract, moved: bool = False) -> Version:
    """Return the version of a new model.

    Args:
        latest: The highest version so far, or None.
        new: The contract of the new model.
        moved: Whether its behaviour moved by more than a patch allows; see
            :func:`contract.prediction_shift.exceeds_tolerance`.

    Returns:
        The version that follows ``latest``; 1.0.0 for the first model.
    """
    if latest is None:
        return FIRST_VERSION
    step = version_step(compare(latest.contract, new), moved_step(new.output, moved))
    return Version.parse(latest.manifest.version).next(step)


def _added(feature: Feature) -> Change:
    if feature.required:
        return Change(Step.MAJOR, feature.name, "new and required: requests without it are refused")
    return Change(Step.MINOR, feature.name, "new and optional")


def _feature_changes(old: Feature, new: Feature) -> list[Change]:
    if old.kind != new.kind:
        return [Change(Step.MAJOR, old.name, f"kind changed from {old.kind} to {new.kind}")]
    changes = [
        *_toggle(old.name, old.required, new.required, "now required in every row", "may now be left out"),
        *_toggle(old.name, not old.nullable, not new.nullable, "null is now refused", "null is now accepted"),
    ]
    match old, new:
        case ((Numeric() | Integer()), (Numeric() | Integer())):
            changes += _range_changes(old, new)
        case Categorical(), Categorical():
            changes += _category_changes(old, new)
        case Datetime(), Datetime() if old.zoned != new.zoned:
            changes.append(Change(Step.MAJOR, old.name, f"each value must now be {new.expected()}"))
        case Text(), Text() if old.longest != new.longest:
            step = Step.MAJOR if new.longest < old.longest else Step.MINOR
            changes.append(
                Change(step, old.name, f"maximum length changed from {old.longest} to {new.longest} characters")
            )
        case NumberArray(), NumberArray():
            changes += _array_changes(old, new)
        case Image(), Image():
            changes += _image_changes(old, new)
        case Boolean(), _:
            pass
    if old.unit != new.unit:
        changes.append(Change(Step.MAJOR, old.name, f"unit changed from {old.unit or 'none'} to {new.unit or 'none'}"))
    return changes


def _toggle(name: str, was_strict: bool, is_strict: bool, stricter: str, looser: str) -> list[Change]:
    if was_strict == is_strict:
        return []
    return [Change(Step.MAJOR, name, stricter)] if is_strict else [Change(Step.MINOR, name, looser)]


def _range_changes(old: Numeric | Integer, new: Numeric | Integer) -> list[Change]:
    """Compare the accepted ranges. A bound that clamps refuses nothing, so a consumer does not notice its change."""
    (old_low, old_high), (new_low, new_high) = _accepted_range(old), _accepted_range(new)
    if (old_low, old_high) == (new_low, new_high):
        return []
    if new_low > old_low or new_high < old_high:
        return [Change(Step.MAJOR, old.name, f"range narrowed from {_range_text(old)} to {_range_text(new)}")]
    return [Change(Step.MINOR, old.name, f"range widened from {_range_text(old)} to {_range_text(new)}")]


def _accepted_range(feature: Numeric | Integer) -> tuple[float, float]:
    lowest, highest = float("-inf"), float("inf")
    if feature.out_of_range == "clamp":
        return lowest, highest
    low, high = feature.minimum, feature.maximum
    return lowest if low is None else low, highest if high is None else high


def _range_text(feature: Numeric | Integer) -> str:
    if feature.out_of_range == "clamp":
        return "any number"
    bounds = ["-" if bound is None else exact(bound) for bound in (feature.minimum, feature.maximum)]
    return f"[{', '.join(bounds)}]"


def _image_changes(old: Image, new: Image) -> list[Change]:
    """Compare two images. If both are resized, a client does not notice another size."""
    if old.expected() == new.expected() or (old.resize and new.resize):
        return []
    is_wider = (old.height, old.width) == (new.height, new.width) and new.resize
    step = Step.MINOR if is_wider else Step.MAJOR
    return [Change(step, old.name, f"each value must now be {new.expected()}, and no longer {old.expected()}")]


def _array_changes(old: NumberArray, new: NumberArray) -> list[Change]:
    if old.expected() == new.expected():
        return []
    has_wider_sizes = len(old.sizes) == len(new.sizes) and all(
        new_low <= old_low and old_high <= new_high
        for (old_low, old_high), (new_low, new_high) in zip(old.sizes, new.sizes, strict=True)
    )
    is_wider = has_wider_sizes and (old.integers or not new.integers)
    (old_low, old_high), (new_low, new_high) = old.bounds, new.bounds
    step = Step.MINOR if is_wider and new_low <= old_low and old_high <= new_high else Step.MAJOR
    return [Change(step, old.name, f"each value must now be {new.expected()}, and no longer {old.expected()}")]


def _category_changes(old: Categorical, new: Categorical) -> list[Change]:
    return [*_normalization_changes(old, new), *_accepted_category_changes(old, new)]


def _normalization_changes(old: Categorical, new: Categorical) -> list[Change]:
    changes = []
    if removed := set(old.normalize) - set(new.normalize):
        message = f"values that differ from a category by {ignored_differences(removed)} no longer count as it"
        changes.append(Change(Step.MAJOR, old.name, message))
    if added := set(new.normalize) - set(old.normalize):
        message = f"values that differ from a category by {ignored_differences(added)} now count as it"
        changes.append(Change(Step.MINOR, old.name, message))
    return changes


def _accepted_category_changes(old: Categorical, new: Categorical) -> list[Change]:
    if new.unknown == "accept":
        return _toggle(old.name, old.unknown == "reject", False, "", "unknown categories are now accepted")
    if old.unknown == "accept":
        return [Change(Step.MAJOR, old.name, "unknown categories are now refused")]
    old_categories, new_categories = set(old.categories or ()), set(new.categories or ())
    changes = []
    spelling = new.spelling()
    still_accepted = {name for name in old_categories if spelling and spelling(name) in new_categories}
    if removed := len(old_categories - new_categories - still_accepted):
        changes.append(Change(Step.MAJOR, old.name, f"{_categories(removed)} no longer accepted"))
    if added := len(new_categories - old_categories):
        changes.append(Change(Step.MINOR, old.name, f"{_categories(added)} now accepted in addition"))
    return changes


def _categories(count: int) -> str:
    return "1 category is" if count == 1 else f"{count} categories are"


def _output_changes(old: Output, new: Output) -> list[Change]:
    """Compare the outputs. The threshold of prediction sets may change: consumers do not depend on it."""
    if old.task != new.task:
        return [Change(Step.MAJOR, None, f"the task changed from {old.task} to {new.task}")]
    if isinstance(old, Classification) and isinstance(new, Classification):
        return _classification_changes(old, new)
    if old == new:
        return []
    if isinstance(old, VectorOutput) and isinstance(new, VectorOutput):
        return _vector_changes(old, new)
    if isinstance(old, Regression) and isinstance(new, Regression):
        same_but_quantile = old.model_copy(update={"quantile": new.quantile}) == new
        if same_but_quantile:
            return [Change(Step.MAJOR, None, f"the quantile changed from {old.quantile} to {new.quantile}")]
    return [_OTHER_OUTPUT]


def _classification_changes(old: Classification, new: Classification) -> list[Change]:
    changes = []
    if old.threshold != new.threshold and old.labels == new.labels:
        message = f"the decision threshold changed from {old.threshold} to {new.threshold}"
        changes.append(Change(Step.MAJOR, None, message))
    if (old.set_threshold is None) != (new.set_threshold is None):
        verb = "now have" if old.set_threshold is None else "no longer have"
        changes.append(Change(Step.MAJOR, None, f"predictions {verb} a `set` of labels"))
    thresholds = {"threshold": new.threshold, "set_threshold": new.set_threshold}
    return changes if old.model_copy(update=thresholds) == new else [*changes, _OTHER_OUTPUT]


def _vector_changes(old: VectorOutput, new: VectorOutput) -> list[Change]:
    """Compare several numbers; a changed order counts, too, because tensors have no names."""
    messages = []
    if old.names is None and old.length != new.length:
        messages.append(f"the embedding has {new.length} numbers, and no longer {old.length}")
    if old.names != new.names:
        messages.append(f"the targets are now {_listed(new.names)}, and no longer {_listed(old.names)}")
    if old.names == new.names and old.units != new.units:
        changed = [name for name in new.names or () if old.unit_of.get(name) != new.unit_of.get(name)]
        messages.append(f"the unit of {_listed(changed)} changed")
    return [Change(Step.MAJOR, None, message) for message in messages] or [_OTHER_OUTPUT]


def _listed(names: Sequence[str] | None) -> str:
    return ", ".join(names or ())


_OTHER_OUTPUT = Change(Step.MAJOR, None, "the output's target, labels, unit, coverage or quantile changed")


def _limit_changes(old: Contract, new: Contract) -> list[Change]:
    units = {"rows": "rows per request", "body_bytes": "bytes per body", "timeout_seconds": "seconds per request"}
    changes = []
    for name, unit in units.items():
        old_limit, new_limit = getattr(old.limits, name), getattr(new.limits, name)
        if old_limit != new_limit:
            step = Step.MAJOR if new_limit < old_limit else Step.MINOR
            message = f"the limit changed from {exact(old_limit)} to {exact(new_limit)} {unit}"
            changes.append(Change(step, None, message))
    return changes
