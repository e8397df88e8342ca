"""The model card without the evaluation: the answer, the data, limits, assumptions, formats and origin."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deployer.contract import origin_text
from model_deployer.contract.evaluation import LINEAR, MODEL, SliceResult, TableRoles
from model_deployer.contract.features import Categorical, Integer, Numeric
from model_deployer.contract.metric_catalog import LOSS
from model_deployer.contract.number_format import count, number, percent, plain, size
from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput
from model_deployer.contract.reference import NumberDistribution
from model_deployer.handoff.documents import evaluation_text, field_tables, origin, results
from model_deployer.handoff.documents.field_tables import has_bounds
from model_deployer.package.formats import Agreement, Format
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_list, markdown, table

#: The number of test rows below which the card warns about its figures.
FEW_ROWS = 500

#: The number of slices that the card names among the limits of the model.
WORST_SLICES = 3

#: A value is an outlier if it is farther from the middle 90 % of the rows than this multiple of their range.
OUTLIER_RANGES = 3

#: A smallest value of 0 is an outlier at this multiple.
ZERO_RANGES = 1


def prediction_phrase(output: Output) -> Markdown:
    """Return the content of a prediction as a noun phrase."""
    target = code(output.target)
    if isinstance(output, Classification):
        return Markdown(f"the probability of each label of {target} ({labels(output)}), and a decision")
    if isinstance(output, VectorOutput):
        return targets(output) if output.names else Markdown(f"{target}: an embedding of {output.length:,} numbers")
    unit = f" in {markdown(output.unit)}" if output.unit else ""
    if output.quantile is not None:
        return Markdown(f"the value that {target} should stay at or below in {percent(output.quantile)} of cases{unit}")
    interval = ", with an interval" if output.interval else ""
    return Markdown(f"{'the expected count of ' if output.count else ''}{target}{unit}{interval}")


def targets(output: VectorOutput) -> Markdown:
    """Return the targets with their units as a list in a sentence; the first ones if there are many."""
    names = output.names or ()
    shown = [
        Markdown(f"{code(name)} in {markdown(output.unit_of[name])}") if name in output.unit_of else code(name)
        for name in names[: evaluation_text.MAX_LABELS]
    ]
    more = len(names) - len(shown)
    return join_list([*shown, f"{more:,} more"] if more else shown)


def labels(output: Classification) -> Markdown:
    """Return the labels as a list in a sentence; the first ones if there are many."""
    shown = [code(label) for label in output.labels[: evaluation_text.MAX_LABELS]]
    more = len(output.labels) - len(shown)
    return join_list([*shown, f"{more:,} more"] if more else shown)


def overview(package: PackageData) -> Markdown:
    """Return the first table of the card."""
    manifest, contract = package.manifest, package.contract
    rows = [
        ("Predicts", prediction_phrase(contract.output)),
        ("From", f"{count(len(contract.features), 'field')} of a row"),
        ("Version", manifest.version),
        ("Model", evaluation_text.estimator(name) if (name := package.evaluation.estimator) else ""),
        *origin.overview(package),
        ("Owner", manifest.owner or ""),
        ("License", manifest.license or ""),
    ]
    return table(["", ""], [row for row in rows if row[1]])


def rows_of_parts(package: PackageData) -> Markdown:
    """Return a table of the parts of the data, with the use of each."""
    rows = package.evaluation.rows
    if rows is None:
        return Markdown()
    uses = origin_text.uses_of_parts(package.evaluation, package.contract.output)
    roles = package.evaluation.table or TableRoles()
    parts = [[name, number(getattr(rows, name)), *_extent(roles, name), use] for name, use in uses.items()]
    return table(["Part", "Rows", "First", "Last", "Groups", "Use"], parts)


def _extent(roles: TableRoles, part: str) -> list[str]:
    """Return the first and the last time and the number of groups of a part; empty texts if there are none."""
    period, groups = roles.periods.get(part), roles.groups.get(part)
    return [
        period.first if period else "",
        period.last if period else "",
        "" if groups is None else number(groups),
    ]


def roles(package: PackageData) -> Iterator[Markdown]:
    """Yield sentences on the columns of the table that are not fields."""
    roles = package.evaluation.table
    if roles is None:
        return
    if roles.time:
        yield Markdown(f"The time of a row is {code(roles.time)}.")
    if roles.group:
        yield Markdown(
            f"Rows with the same {code(roles.group)} belong together: they are in one part of a split by group."
        )
    if roles.weight:
        yield origin.rows_with_weight(package, roles.weight)
    if roles.ignored:
        yield origin.ignored_columns(package, join_list([code(name) for name in roles.ignored]))


def parameters(package: PackageData) -> Markdown:
    """Return a table of the parameters of the model; empty if they are not known, or are the defaults."""
    chosen = next((candidate for candidate in package.evaluation.candidates if candidate.chosen), None)
    values = chosen.parameters if chosen and chosen.parameters else {}
    return table(["Parameter", "Value"], [[code(name), value] for name, value in values.items()])


def limits(package: PackageData) -> Iterator[Markdown]:
    """Yield a sentence per known limit of the model."""
    adoption = package.evaluation.adoption
    if adoption and adoption.seen is not False and package.evaluation.rows is not None:
        yield Markdown(origin_text.seen(adoption))
    if package.contract.output.task == "embedding":
        yield Markdown("No figure says how good its vectors are: no column of a table is the truth of an embedding.")
    yield from _limits_of_fields(package)
    yield from _limits_of_values(package)
    if package.contract.output.kind == "classification" and not _is_supported(package):
        yield Markdown(evaluation_text.probability_note(package))
    rows = package.evaluation.rows
    if rows is not None and rows.test < FEW_ROWS and package.evaluation.metrics:
        yield Markdown(
            f"The test has only {count(rows.test, 'row')}: the figures may be wrong by more than their intervals show."
        )
    if ranges := field_tables.time_ranges(package):
        yield origin.time_limit(package, join_list(ranges))
    yield from _limits_of_slices(package)
    yield from _limits_of_comparison(package)
    for finding in package.evaluation.findings:
        if finding.severity == "warning":
            yield Markdown(f"{code(finding.column) if finding.column else 'The table'}: {markdown(finding.message)}.")


def _is_supported(package: PackageData) -> bool:
    reliability = package.evaluation.reliability
    return reliability is not None and evaluation_text.is_reliable(reliability)


def _limits_of_slices(package: PackageData) -> Iterator[Markdown]:
    """Yield the slices with the largest excess loss, with their share of the rows."""
    test, loss = evaluation_text.test_rows(package), evaluation_text.words(LOSS[package.contract.output.task])
    worse = [part for part in package.evaluation.slices or () if part.gap > 0 and part.low is not None]
    for part in sorted(worse, key=lambda part: -part.gap)[:WORST_SLICES]:
        share = f", {percent(part.rows / test)} of the test rows" if test else ""
        certainty = "" if _is_clear(part, package) else "; with these few rows, the difference may be chance"
        yield Markdown(
            f"For the rows with {code(part.slice)} ({count(part.rows, 'row')}{share}), its {loss} is "
            f"{number(part.loss)}, {percent(part.gap)} above that of all rows{certainty} ([slices](#slices))."
        )


def _is_clear(part: SliceResult, package: PackageData) -> bool:
    main = package.evaluation.main_metric
    return main is not None and part.low is not None and part.low > main.value


def _limits_of_comparison(package: PackageData) -> Iterator[Markdown]:
    """Yield a sentence if a simple model is clearly better in some metric, or cheaper."""
    worse = results.compared_metrics(package.evaluation, LINEAR)["worse"]
    if worse:
        names = join_list([evaluation_text.words(name) for name in worse])
        yield Markdown(f"A linear model on the same fields is clearly better in {names} ([summary](#summary)).")
    cost, constant = package.evaluation.metrics_of(MODEL).get("cost"), package.evaluation.cheapest_constant
    if cost and constant and constant.cost <= cost.value:
        yield Markdown(
            f"Always deciding for {code(constant.label)} was as cheap or cheaper on the test rows "
            f"({number(constant.cost)} per row, the model {number(cost.value)})."
        )


def _limits_of_values(package: PackageData) -> Iterator[Markdown]:
    """Yield the numbers whose accepted range is wider than that of the training rows, and those with outliers."""
    distributions = field_tables.reference_distributions(package)
    for feature in package.contract.features:
        distribution = distributions.get(feature.name)
        if isinstance(feature, Numeric | Integer) and isinstance(distribution, NumberDistribution):
            if not distribution.quantiles:
                continue
            low, high = distribution.quantiles[0], distribution.quantiles[-1]
            if _is_wider(feature, low, high):
                yield origin.extrapolation(package, feature, f"{plain(low)} to {plain(high)}")
            if outliers := _outliers(distribution.quantiles):
                place = origin_text.in_reference(package.evaluation)
                middle = " to ".join(map(plain, (distribution.quantiles[1], distribution.quantiles[-2])))
                yield Markdown(
                    f"{code(feature.name)} has values far from the others {place}, such as "
                    f"{join_list([plain(outlier) for outlier in outliers])}, while 90 % are from {middle}."
                )


def _is_wider(feature: Numeric | Integer, low: float, high: float) -> bool:
    """Return whether the model sees numbers outside the range of the training rows as they are."""
    return feature.minimum is None or feature.minimum < low or feature.maximum is None or feature.maximum > high


def _outliers(quantiles: Sequence[float]) -> list[float]:
    """Return the smallest and the largest value, each if it is far outside the range of 90 % of the rows.

    A 0 is nearer than other outliers: it often stands for a value that is missing.
    """
    least, low, high, most = quantiles[0], quantiles[1], quantiles[-2], quantiles[-1]
    far = OUTLIER_RANGES * (high - low)
    if not far:
        return []
    is_zero_far = least == 0 and low > ZERO_RANGES * (high - low)
    return [end for end, is_far in ((least, is_zero_far or least < low - far), (most, most > high + far)) if is_far]


def _limits_of_fields(package: PackageData) -> Iterator[Markdown]:
    features = package.contract.features
    clamped = [f for f in features if isinstance(f, Numeric | Integer) and f.out_of_range == "clamp" and has_bounds(f)]
    if clamped:
        names = join_list([code(feature.name) for feature in clamped])
        yield Markdown(f"A value of {names} outside its accepted range is moved to the nearest limit.")
    open_ended = [feature for feature in features if isinstance(feature, Categorical) and feature.unknown == "accept"]
    if open_ended:
        names = join_list([code(feature.name) for feature in open_ended])
        yield origin.unknown_values(package, names)
    nullable = [feature for feature in features if feature.nullable]
    if nullable:
        names = join_list([code(feature.name) for feature in nullable])
        yield Markdown(f"It answers without {names}, but with less information ([missing fields](#missing-fields)).")


def assumptions(package: PackageData) -> Iterator[Markdown]:
    """Yield the assumptions that the figures of the card depend on."""
    output = package.contract.output
    yield Markdown(origin.same_source(package))
    yield Markdown("Every field already has its final value when the prediction is requested.")
    if units := [feature for feature in package.contract.features if feature.unit]:
        names = join_list([Markdown(f"{code(feature.name)} in {markdown(feature.unit)}") for feature in units])
        yield Markdown(f"The units are correct: {names}. The service cannot detect a value in another unit.")
    if isinstance(output, Classification) and output.threshold is not None:
        yield Markdown(origin.threshold_assumption(package))
    has_interval = isinstance(output, Regression) and output.interval
    if has_interval or (isinstance(output, Classification) and output.set_threshold is not None):
        yield Markdown(origin.coverage_assumption(package))
    if output.task == "embedding":
        yield Markdown("Vectors are compared with vectors of the same version only.")


def latest_change(package: PackageData) -> Mapping[str, Any] | None:
    """Return the changes since the previous version; None if this is the first one."""
    change = next((change for change in package.changes if change["version"] == package.manifest.version), None)
    return change if change and change["since"] else None


def formats(package: PackageData) -> Markdown:
    """Return a table of the formats in the package, with the differences of their answers."""
    rows = [
        [
            markdown(format_.name),
            Markdown(", ".join(code(file) for file in format_.files)),
            format_.about,
            _agreement(format_.golden),
            _agreement(format_.test),
            f"{format_.tolerance:.2g}" if format_.golden else "",
        ]
        for format_ in package.formats
        if format_.withheld is None
    ]
    head = [
        "Format",
        "Files",
        "Use",
        "Difference on the golden requests",
        "Difference on the test rows",
        "Allowed difference",
    ]
    return table(head, rows)


def _agreement(agreement: Agreement | None) -> str:
    if agreement is None:
        return ""
    flips = "" if agreement.flips is None else f", {count(agreement.flips, 'different decision')}"
    rows = count(agreement.rows, "row")
    return f"at most {agreement.largest:.2g} in {rows}{flips}" if agreement.largest else f"none in {rows}"


def withheld(package: PackageData) -> list[Format]:
    """Return the formats that the package does not contain."""
    return [format_ for format_ in package.formats if format_.withheld is not None]


def versions(package: PackageData) -> Markdown:
    """Return a table of the versions that are needed to make the model again."""
    provenance = package.manifest.origin
    rows = [
        ("Data", code(provenance.data_version)),
        ("Query", code(" ".join(provenance.query.split())) if provenance.query else ""),
        ("Seed", str(provenance.seed)),
        ("Commit", code(provenance.git_commit) if provenance.git_commit else ""),
        ("Python", provenance.python),
        *((library, version) for library, version in provenance.libraries.items()),
        *((file, code(digest)) for file, digest in provenance.modules.items()),
    ]
    return table(["Item", "Version"], [row for row in rows if row[1]])


def graph_latency(package: PackageData) -> str:
    """Return sentences about the size and the latency of the graph alone; empty if they were not measured."""
    latency = package.evaluation.latency
    if latency is None:
        return ""
    machine = f"the machine that {origin_text.made(package.evaluation)} it"
    return (
        f"The size of the graph is {size(latency.bytes)}. Without the service, on "
        f"{count(latency.threads, 'thread')} of {machine}, the graph answers 50 of 100 single rows "
        f"within {latency.one_row_ms.p50:.3g} ms, and 99 of 100 within {latency.one_row_ms.p99:.3g} ms."
    )
