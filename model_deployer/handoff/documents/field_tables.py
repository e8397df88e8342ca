"""The fields of a row: their meaning, their values in the reference rows, and the handling of unusual values."""

from collections.abc import Mapping

from model_deployer.contract import origin_text
from model_deployer.contract.features import (
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberArray,
    Numeric,
    Tensor,
)
from model_deployer.contract.number_format import number, percent, plain, since_epoch
from model_deployer.contract.reference import (
    CategoryDistribution,
    CountDistribution,
    Distribution,
    NormDistribution,
    NumberDistribution,
    TextDistribution,
)
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_list, join_sentences, table


def time_ranges(package: PackageData) -> list[Markdown]:
    """Return the range of the reference rows for each field that is a time."""
    distributions = reference_distributions(package)
    times = [feature for feature in package.contract.features if isinstance(feature, Datetime)]
    return [
        Markdown(
            f"{code(time.name)} from {since_epoch(values[0])} to {since_epoch(values[-1])}"
            f"{' UTC' if time.zoned else ''}"
        )
        for time in times
        if isinstance(distribution := distributions.get(time.name), NumberDistribution)
        and (values := distribution.quantiles)
    ]


def features(package: PackageData) -> Markdown:
    """Return a table of the fields: meaning, values in the reference rows, and handling of unusual values."""
    distributions = reference_distributions(package)
    rows = [
        [
            code(feature.name),
            feature.description or "",
            feature.unit or "",
            feature.kind,
            _values_in_reference(feature, distributions.get(feature.name)),
            percent(distributions[feature.name].missing) if feature.name in distributions else "",
            treatment(feature),
        ]
        for feature in package.contract.features
    ]
    place = origin_text.in_reference(package.evaluation)
    head = ["Field", "Meaning", "Unit", "Kind", place.capitalize(), f"Missing {place}", "Missing or unusual values"]
    return table(head, rows)


def treatment(feature: Feature) -> Markdown:
    """Return sentences about the handling of values that are missing, unknown or out of range."""
    refused = [] if feature.nullable else ["missing", "null"]
    if isinstance(feature, Numeric | Integer) and feature.out_of_range == "reject" and has_bounds(feature):
        refused.append("out of range")
    if isinstance(feature, Categorical) and feature.unknown == "reject":
        refused.append("any other value")
    if isinstance(feature, NumberArray):
        refused.append("of another shape" if isinstance(feature, Tensor) else "of another length")
    if isinstance(feature, Image):
        refused += ["damaged"] if feature.resize else ["damaged", "of another size"]
    sentence = f"{join_list(refused, 'or')}: the request is refused." if refused else ""
    return join_sentences(Markdown(sentence[:1].upper() + sentence[1:]), *feature.consequences())


def has_bounds(feature: Numeric | Integer) -> bool:
    """Return whether a number has a minimum or a maximum."""
    return feature.minimum is not None or feature.maximum is not None


def _values_in_reference(feature: Feature, distribution: Distribution | None) -> Markdown | str:
    match distribution:
        case CategoryDistribution() if distribution.frequencies:
            return _categories(distribution)
        case TextDistribution(lengths=(shortest, *_, longest)):
            return f"{number(shortest)} to {number(longest)} characters"
        case CountDistribution(counts=(fewest, *_, most)):
            return f"{plain(fewest)} to {plain(most)} numbers"
        case NormDistribution(norms=(shortest, *_, longest)):
            return f"norms from {plain(shortest)} to {plain(longest)}"
        case NumberDistribution(quantiles=(first, *_, last)) if feature.kind != "boolean":
            if isinstance(feature, Datetime):
                return f"{since_epoch(first)} to {since_epoch(last)}"
            median = distribution.quantiles[len(distribution.quantiles) // 2]
            return f"{plain(first)} to {plain(last)}, median {plain(median)}"
    return ""


def _categories(distribution: CategoryDistribution) -> Markdown:
    frequencies = distribution.frequencies
    shown = [Markdown(f"{code(level)} {percent(share)}") for level, share in list(frequencies.items())[:3]]
    has_more = len(frequencies) > len(shown) or distribution.other > 0
    return Markdown(", ".join([*shown, "others"] if has_more else shown))


def reference_distributions(package: PackageData) -> Mapping[str, Distribution]:
    """Return the distribution of each field in reference.json; empty if the model has no reference."""
    return package.reference.features if package.reference else {}
