"""What is known of the fields of a row: what they mean, what training saw, what becomes of odd values."""

from collections.abc import Mapping

from model_deployer.contract.features import Categorical, Datetime, Feature, Integer, Numeric
from model_deployer.contract.number_format import number, percent, plain, since_epoch
from model_deployer.contract.reference import (
    CategoryDistribution,
    Distribution,
    NumberDistribution,
    TextDistribution,
)
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, joined, listed, table


def spans(facts: PackageData) -> list[Markdown]:
    """The time that the rows the model learnt from span, for each field that is a time."""
    seen = seen_in_training(facts)
    times = [feature for feature in facts.contract.features if isinstance(feature, Datetime)]
    return [
        Markdown(
            f"{code(time.name)} from {since_epoch(ends[0])} to {since_epoch(ends[-1])}{' UTC' if time.zoned else ''}"
        )
        for time in times
        if isinstance(known := seen.get(time.name), NumberDistribution) and (ends := known.quantiles)
    ]


def features(facts: PackageData) -> Markdown:
    """Every field: what it means, what training saw of it, and what becomes of a value that is missing or odd."""
    seen = seen_in_training(facts)
    rows = [
        [
            code(feature.name),
            feature.description or "",
            feature.unit or "",
            feature.kind,
            _in_training(feature, seen.get(feature.name)),
            percent(seen[feature.name].missing) if feature.name in seen else "",
            treatment(feature),
        ]
        for feature in facts.contract.features
    ]
    head = ["Field", "Meaning", "Unit", "Kind", "In training", "Missing in training", "Missing or odd values"]
    return table(head, rows)


def treatment(feature: Feature) -> Markdown:
    """What becomes of a value that is missing, unknown or out of range."""
    refused = [] if feature.nullable else ["missing", "null"]
    if isinstance(feature, Numeric | Integer) and feature.out_of_range == "reject" and has_bounds(feature):
        refused.append("out of range")
    if isinstance(feature, Categorical) and feature.unknown == "reject":
        refused.append("any other value")
    said = f"{listed(refused, 'or')}: the request is refused." if refused else ""
    return joined(Markdown(said[:1].upper() + said[1:]), *feature.consequences())


def has_bounds(feature: Numeric | Integer) -> bool:
    """Whether a number has an end of its range."""
    return feature.minimum is not None or feature.maximum is not None


def _in_training(feature: Feature, seen: Distribution | None) -> Markdown | str:
    match seen:
        case CategoryDistribution() if seen.frequencies:
            return _categories(seen)
        case TextDistribution(lengths=(shortest, *_, longest)):
            return f"{number(shortest)} to {number(longest)} characters"
        case NumberDistribution(quantiles=(first, *_, last)) if feature.kind != "boolean":
            if isinstance(feature, Datetime):
                return f"{since_epoch(first)} to {since_epoch(last)}"
            median = seen.quantiles[len(seen.quantiles) // 2]
            return f"{plain(first)} to {plain(last)}, median {plain(median)}"
    return ""


def _categories(seen: CategoryDistribution) -> Markdown:
    shown = [Markdown(f"{code(level)} {percent(share)}") for level, share in list(seen.frequencies.items())[:3]]
    more = len(seen.frequencies) - len(shown) + (seen.other > 0)
    return Markdown(", ".join([*shown, "others"] if more else shown))


def seen_in_training(facts: PackageData) -> Mapping[str, Distribution]:
    """What reference.json keeps of each field; empty where there is none."""
    return facts.reference.features if facts.reference else {}
