"""The sentences of documents are held against the figures of many kinds of models, by rule.

Every package is that of a model that was really trained, here or elsewhere. A claim is a sentence that needs a fact;
each rule says which fact, and checks that the sentence is there if and only if the fact is.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from model_deployer.contract.artifact import open_artifact
from model_deployer.contract.card import CardStatements
from model_deployer.contract.evaluation import LINEAR, MODEL, ProbabilityReliability
from model_deployer.contract.features import Integer, Numeric
from model_deployer.contract.number_format import number, percent, plain
from model_deployer.contract.reference import NumberDistribution
from model_deployer.handoff.clients.clients import write_clients
from model_deployer.handoff.documents import evaluation_text, results
from model_deployer.handoff.documents.documents import CARD, GUIDE, PAGE, README, documents
from model_deployer.package.package_data import PackageData
from tests.support.adopted_packages import ADOPTED, package_of_kind
from tests.support.in_process import model_store
from tests.support.stored_artifacts import STORED, name_of
from tests.support.trained_packages import KINDS, package_of_artifact

pytestmark = pytest.mark.slow

Pages = dict[str, str]

#: All kinds of models.
ALL_KINDS = [*KINDS, *ADOPTED]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PackageData]:
    """The packages of all kinds; each model has a store of its own, so none is the next version of another."""
    return _Packages(tmp_path_factory.mktemp("kinds"))


class _Packages(dict[str, PackageData]):
    """Packages by the name of their kind, trained when they are first used, in an empty store each."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, kind: str) -> PackageData:
        folder = self._folder / kind.replace(" ", "_").replace(",", "")
        with model_store(folder / "home"):
            self[kind] = package_of_kind(kind, folder)
        return self[kind]


@pytest.fixture(params=[*ALL_KINDS, *(f"early {name_of(path)}" for path in STORED)])
def package(request: pytest.FixtureRequest, trained: dict[str, PackageData]) -> PackageData:
    if request.param in ALL_KINDS:
        return trained[request.param]
    return _early(request.param.removeprefix("early "))


@cache
def _early(name: str) -> PackageData:
    return package_of_artifact(open_artifact(next(path for path in STORED if name_of(path) == name)))


@pytest.fixture
def pages(package: PackageData) -> Pages:
    return documents(package)


def test_kinds_have_and_lack_each_fact(trained: dict[str, PackageData]) -> None:
    """The rules below are about something: each fact is true for some kinds, and false for others."""
    facts = [_facts(trained[kind]) for kind in ALL_KINDS]
    for name in facts[0]:
        assert {values[name] for values in facts} == {True, False}, name


def _facts(package: PackageData) -> dict[str, bool]:
    evaluation = package.evaluation
    reliability, table = evaluation.reliability, evaluation.table
    assert reliability and table
    adoption = evaluation.adoption
    linear = results.compared_metrics(evaluation, LINEAR)
    cost, constant = evaluation.metrics_of(MODEL).get("cost"), evaluation.cheapest_constant
    limits = section(documents(package)[CARD], "Limits")
    return {
        "calibrated": evaluation.calibrated,
        "reliable": evaluation_text.is_reliable(reliability),
        "saves nothing": bool(cost and constant and constant.cost <= cost.value),
        "worse than linear": bool(linear["worse"]),
        "skipped": bool(evaluation.skipped),
        "dates": bool(table.periods),
        "groups": bool(table.groups),
        "weights": table.weight is not None,
        "ignored": bool(table.ignored),
        "outlier": "values far from the others" in limits,
        "statements": package.manifest.card != CardStatements(),
        "named slices": any(part.named for part in evaluation.slices or ()),
        "logarithm": evaluation.logarithm,
        "matrix": bool(evaluation.decisions and evaluation.decisions.matrix),
        "adopted": adoption is not None,
        "seen": adoption is not None and adoption.seen is True,
        "not seen": adoption is not None and adoption.seen is False,
        "not said whether seen": adoption is not None and adoption.seen is None,
        "served by its source": adoption is not None and adoption.served_by == "runner",
    }


def section(text: str, title: str) -> str:
    """Return the text of a section, up to the next one of its level; empty if it is missing."""
    match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return match[1] if match else ""


def test_probabilities_are_called_frequencies_only_where_the_test_agrees(package: PackageData, pages: Pages) -> None:
    reliability = package.evaluation.reliability
    for path in (CARD, GUIDE):
        text = pages[path]
        assert "three in ten" not in text and "30%" not in text
        assert (
            "were calibrated on" in text or "probabilities were calibrated." in text
        ) <= package.evaluation.calibrated
        if not isinstance(reliability, ProbabilityReliability):
            assert "Do not read them as frequencies" not in text
            continue
        inside = sum(part.low <= part.predicted <= part.high for part in reliability.bins)
        assert f"{inside} of {len(reliability.bins)} groups" in text
        assert ("Do not read them as frequencies" in text) == (not evaluation_text.is_reliable(reliability))


def test_the_sentences_of_the_contract_hold_for_every_model(package: PackageData, tmp_path: Path) -> None:
    """Clients and the OpenAPI document take their sentences from the contract, which does not know the test."""
    clients = write_clients(package.contract, package.manifest, tmp_path)
    texts = [(tmp_path / file).read_text() for client in clients for file in client.files]
    for text in [str(package.contract.output.json_schema()), *texts]:
        assert not re.search(r"(?i)\bcalibrated\b|three in ten|about 30%|in \d+% of all cases", text)


def test_the_constant_decision_is_the_cheapest(package: PackageData, pages: Pages) -> None:
    decisions, card = package.evaluation.decisions, pages[CARD]
    if decisions is None or not decisions.constants:
        assert "same for every row, `" not in card
        return
    cheapest = min(decisions.constants, key=lambda constant: constant.cost)
    rows = sum(label.rows for label in decisions.labels)
    expected = {
        decisions.labels[0].label: (decisions.false_negative or 0) * decisions.labels[1].rows / rows,
        decisions.labels[1].label: (decisions.false_positive or 0) * decisions.labels[0].rows / rows,
    }
    for constant in decisions.constants:
        assert constant.cost == pytest.approx(expected[constant.label])
    assert f"same for every row, `{cheapest.label}`, costs {number(cheapest.cost)}" in card
    assert package.evaluation.metrics_of("trivial")["cost"].value == pytest.approx(cheapest.cost)
    is_not_cheaper = cheapest.cost <= package.evaluation.metrics_of(MODEL)["cost"].value
    assert (f"Always deciding for `{cheapest.label}` was as cheap" in section(card, "Limits")) == is_not_cheaper


def test_the_confusion_matrix_gives_the_metrics(package: PackageData) -> None:
    """The figures of the same rows, computed in two ways."""
    decisions = package.evaluation.decisions
    if decisions is None:
        return
    metrics = package.evaluation.metrics_of(MODEL)
    rows = sum(label.rows for label in decisions.labels)
    assert metrics["accuracy"].value == pytest.approx(sum(label.right for label in decisions.labels) / rows)
    if decisions.matrix:
        assert [sum(row) for row in decisions.matrix] == pytest.approx([label.rows for label in decisions.labels])
        assert [row[code] for code, row in enumerate(decisions.matrix)] == [label.right for label in decisions.labels]
    if decisions.thresholds:
        own = next(
            point
            for point in decisions.thresholds
            if point.threshold == package.contract.output.threshold  # type: ignore[union-attr]
        )
        assert own.cost == pytest.approx(metrics["cost"].value)
        assert own.recall == pytest.approx(metrics["recall"].value)


def test_a_better_linear_model_is_named(package: PackageData, pages: Pages) -> None:
    """By each metric, and by cost: the verdict is that of the interval of the difference on the same rows."""
    evaluation, summary = package.evaluation, section(pages[CARD], "Summary")
    groups = results.compared_metrics(evaluation, LINEAR)
    for name in groups["worse"]:
        difference = evaluation.differences.get(LINEAR, {}).get(name)
        assert difference is None or not difference.low <= 0 <= difference.high
        assert evaluation_text.words(name) in section(pages[CARD], "Limits")
    if evaluation.estimator == LINEAR:
        assert "Against a linear model" not in summary
    elif evaluation.metrics_of(LINEAR):
        assert all(evaluation_text.words(name) in summary for names in groups.values() for name in names)
    cost, linear = evaluation.metrics_of(MODEL).get("cost"), evaluation.metrics_of(LINEAR).get("cost")
    if cost and linear and evaluation.estimator != LINEAR and number(cost.value) != number(linear.value):
        assert ("by cost alone, the linear model was cheaper" in summary) == (linear.value < cost.value)


def test_worst_slices_are_limits_with_their_share(package: PackageData, pages: Pages) -> None:
    evaluation, limits = package.evaluation, section(pages[CARD], "Limits")
    worse = sorted(
        (part for part in evaluation.slices or () if part.gap > 0 and part.low is not None), key=lambda part: -part.gap
    )
    for part in worse[:3]:
        line = next(line for line in limits.splitlines() if f"`{part.slice}`" in line)
        assert percent(part.gap) in line
        assert evaluation.rows is None or percent(part.rows / evaluation.rows.test) in line
    names = [part.slice for part in evaluation.slices or ()]
    assert len(names) == len(set(names))


def test_fields_that_extrapolate_are_limits(package: PackageData, pages: Pages) -> None:
    limits = section(pages[CARD], "Limits")
    for feature in package.contract.features:
        distribution = package.reference.features.get(feature.name) if package.reference else None
        if not isinstance(feature, Numeric | Integer) or not isinstance(distribution, NumberDistribution):
            assert f"It extrapolates in `{feature.name}`" not in limits
            continue
        low, high = distribution.quantiles[0], distribution.quantiles[-1]
        is_wider = not (
            feature.minimum is not None
            and feature.minimum >= low
            and feature.maximum is not None
            and feature.maximum <= high
        )
        span = f"{plain(low)} to {plain(high)}"
        adopted = f"No figure covers all values of `{feature.name}`: the reference rows have {span}"
        trained = f"It extrapolates in `{feature.name}`: the training rows have {span}"
        assert (adopted in limits) == (is_wider and package.evaluation.adoption is not None)
        assert (trained in limits) == (is_wider and package.evaluation.adoption is None)


def test_the_data_section_has_the_roles_of_columns(package: PackageData, pages: Pages) -> None:
    """Dates of the parts, the group column, weights and ignored columns, where there are any."""
    table, data = package.evaluation.table, section(pages[CARD], "Data")
    for period in table.periods.values() if table else ():
        assert period.first in data and period.last in data
    assert ("| First | Last |" in data) == bool(table and table.periods)
    assert ("belong together" in data) == bool(table and table.group)
    assert ("counts with the weight" in data) == bool(table and table.weight)
    ignored = "must not learn from" if package.evaluation.adoption is None else "leaves out: `"
    assert (ignored in data) == bool(table and table.ignored)


def test_what_was_skipped_is_named_with_its_reason(package: PackageData, pages: Pages) -> None:
    for candidate in package.evaluation.skipped:
        assert f"because {candidate.reason}" in section(pages[CARD], "Summary")
    assert ("Not tried:" in pages[CARD]) == bool(package.evaluation.skipped)


def test_errors_of_a_quantity_are_in_order(package: PackageData, pages: Pages) -> None:
    residuals = package.evaluation.residuals
    assert ("### Errors" in pages[CARD]) == (residuals is not None)
    if residuals is not None:
        errors = [quantile.error for quantile in residuals.quantiles]
        assert errors == sorted(errors)
        assert f"half of its values are within {number(errors[0])}" in section(pages[CARD], "Summary")


def test_coverage_is_stated_as_it_was_measured(package: PackageData, pages: Pages) -> None:
    metric = package.evaluation.metrics_of(MODEL).get("coverage")
    for path in (CARD, GUIDE):
        assert "of all cases." not in pages[path]
        if metric is not None and package.contract.output.kind == "regression":
            assert f"in the test, it did in {percent(metric.value)} of the test rows" in pages[path]
            misses = not metric.low <= package.contract.output.coverage <= metric.high
            assert bool(re.search(r"of the test rows \([^)]*\): (more|less) often", pages[path])) == misses


def test_what_the_owner_did_not_say_is_named(package: PackageData, pages: Pages) -> None:
    statements = package.manifest.card
    card = pages[CARD]
    for name, value in statements.model_dump().items():
        if value:
            assert value in card, name
    silent = documents(replace(package, manifest=package.manifest.model_copy(update={"card": CardStatements()})))[CARD]
    assert "Not said in `model.yaml` (`card`): intended users, not meant for, human oversight" in silent
    named = any(part.named for part in package.evaluation.slices or ())
    assert ("No group was examined" in section(silent, "Fairness")) == (not named)


def test_the_annex_answers_each_item_once(package: PackageData, pages: Pages) -> None:
    rows = [line for line in section(pages[CARD], "EU AI Act").splitlines() if re.match(r"\| \d", line)]
    items = [line.split(" | ")[0].removeprefix("| ") for line in rows]
    assert items == [f"1 ({letter})" for letter in "abcdefgh"] + [f"2 ({letter})" for letter in "abcdefgh"] + list(
        "3456789"
    )
    assert all("](" in line or "the provider has to write this" in line or "top of this page" in line for line in rows)


def test_contents_come_first_and_lead_to_every_section(package: PackageData, pages: Pages) -> None:
    card = pages[CARD]
    titles = re.findall(r"^## (.+)$", card, re.MULTILINE)
    links = re.findall(
        r"\[([^\]]+)\]\(#[\w-]+\)", next(line for line in card.splitlines() if line.startswith("**Contents"))
    )
    assert links == titles
    order = [title for title in titles if title in ("Summary", "Results", "Limits", "Data", "Glossary")]
    assert order == sorted(order, key=["Summary", "Results", "Limits", "Data", "Glossary"].index)
    assert 'href="#summary"' in pages[PAGE]


def test_terms_are_explained_once(pages: Pages) -> None:
    glossary = section(pages[CARD], "Glossary")
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", glossary, re.MULTILINE)
    assert len(terms) == len(set(terms))
    body = pages[CARD].removesuffix(glossary)
    for jargon in ("log loss", "brier", "Kolmogorov-Smirnov", "rmse", "pinball", "poisson deviance"):
        assert (jargon in terms) == (jargon.lower() in body.lower()), jargon


#: Sentences that are true only of a model that this project trained.
TRAINED_HERE = (
    r"\| Trained \|", r"trained on rows with", r"training rows", r"(?i)training data", r"[Cc]hosen model",
    r"extrapolates", r"in training", r"to train the model", r"gives the same weights", r"not recorded",
    r"minimizes the costs", r"calibrated", r"[Nn]ot tried:", r"of its training", r"Train the model again",
    r"trained it\b", r"was not trained on",
)  # fmt: skip

#: Sentences that are true only of a model that was trained elsewhere.
TRAINED_ELSEWHERE = (
    r"\| Adopted \|", r"trained elsewhere", r"the source\b", r"reference rows", r"probe row", r"adopt\.seen",
    r"^### Source$", r"^### Equality with the source$",
)  # fmt: skip


def test_only_a_model_trained_here_is_described_by_its_training(package: PackageData, pages: Pages) -> None:
    adoption, card = package.evaluation.adoption, pages[CARD]
    if adoption is None:
        assert [claim for claim in TRAINED_ELSEWHERE if re.search(claim, _own_words(card), re.MULTILINE)] == []
        return
    for path in (CARD, GUIDE):
        text = _own_words(pages[path])
        assert [claim for claim in TRAINED_HERE if re.search(claim, text)] == [], path
    missing = {claim for claim in TRAINED_ELSEWHERE if not re.search(claim, card, re.MULTILINE)}
    is_absent = {r"probe row": adoption.equality is None, r"adopt\.seen": adoption.seen is not None}
    assert missing == {claim for claim, absent in is_absent.items() if absent}


def test_the_process_of_a_source_is_described_only_where_there_is_one(package: PackageData, pages: Pages) -> None:
    is_served_by_source = package.runner is not None
    guide, readme = pages[GUIDE], pages[README]
    for claim in (
        "## The process of the model",
        "`model_source_ends_total`",
        "there is no ONNX file",
        "ModelSourceEnded",
    ):
        assert (claim in guide) == is_served_by_source, claim
    for claim in ("```sh source", "requirements-source.txt"):
        assert (claim in readme) == is_served_by_source, claim
    for claim in ("predictor.py", "ONNX Runtime", "ModelDegraded"):
        assert (claim in guide) != is_served_by_source, claim


def _own_words(text: str) -> str:
    """Return a document without the names of statements, and without what is said of the training of a source."""
    return re.sub(r"[Pp]reparation before training|was not trained on rows of this table", "", text)


def test_test_rows_were_not_used_for_training_only_where_that_is_known(package: PackageData, pages: Pages) -> None:
    adoption, rows = package.evaluation.adoption, package.evaluation.rows
    summary, limits = section(pages[CARD], "Summary"), section(pages[CARD], "Limits")
    is_known = adoption is None or adoption.seen is False
    assert ("not used for training" in summary) == (is_known and rows is not None and _has_figures(package))
    assert ("may have been trained on" in summary) == (adoption is not None and adoption.seen is None)
    assert ("a table that the source was trained on" in summary) == (adoption is not None and adoption.seen is True)
    assert ("figures are likely better than those on new rows" in limits) == (not is_known)


def _has_figures(package: PackageData) -> bool:
    return bool(package.evaluation.metrics_of(MODEL))


def test_the_equality_in_the_card_is_that_of_the_evaluation(package: PackageData, pages: Pages) -> None:
    adoption, model = package.evaluation.adoption, section(pages[CARD], "Model")
    if adoption is None or adoption.equality is None:
        assert ("The source itself answers, so that there is nothing to compare." in model) == (adoption is not None)
        assert "answers as its source does in" not in pages[CARD]
        return
    equality = adoption.equality
    compared = f"{equality.table_rows:,} rows of the table and {equality.probe_rows:,} probe rows"
    for text in (model, section(pages[CARD], "Summary")):
        assert f"The model answers as its source does in {compared}" in text
        assert ("every decision is the same" in text) == (package.contract.output.kind == "classification")
    assert f"The largest difference is {equality.largest:.2g}, where {equality.tolerance:.2g} is allowed." in model
    assert equality.refused == 0 and "refuses" not in model
    for value in (adoption.source, adoption.digest, adoption.format, str(adoption.estimator)):
        assert value in model.replace("\\", "")
    for name, version in (*adoption.stored_with.items(), *adoption.answered_with.items()):
        assert f"{name} {version}" in model


DIFFERENT = {
    "differing": 3, "flips": 2, "largest": 0.0123, "refused": 7, "refusals": {"ValueError": 6, "KeyError": 1},
    "rows": [{"case": "x: at 0.5", "difference": 0.0123, "source": "late", "served": "on time"}],
}  # fmt: skip


def test_differences_from_the_source_are_listed(trained: dict[str, PackageData]) -> None:
    """A model that the source itself serves, and whose graph answers otherwise."""
    package = trained["adopted, classification"]
    evaluation = package.evaluation.to_json()
    evaluation["adoption"] |= {"served_by": "runner", "reason": "it has no writer for a lambda"}
    evaluation["adoption"]["equality"] |= DIFFERENT
    changed = replace(package, evaluation=type(package.evaluation).model_validate(evaluation))
    card = documents(changed)[CARD]
    model = section(card, "Model")
    assert "the model differs from its source beyond the tolerance in 3, and decides otherwise in 2." in model
    assert "differs from its source beyond the tolerance in 3" in section(card, "Summary")
    assert (
        "The source refuses 7 rows that the contract accepts, with an error (ValueError in 6, KeyError in 1)" in model
    )
    assert "the graph answers such rows" not in model
    assert "| x: at 0.5 | 0.012 | late | on time |" in model
    assert "by the source itself, in a process of its own, because it has no writer for a lambda" in model


def test_a_source_that_was_not_asked_proves_nothing(trained: dict[str, PackageData]) -> None:
    package = trained["adopted, regression"]
    adoption = package.evaluation.adoption
    assert adoption
    silent = package.evaluation.model_copy(update={"adoption": adoption.model_copy(update={"equality": None})})
    card = documents(replace(package, evaluation=silent))[CARD]
    for title in ("Summary", "Model"):
        assert "whether the model answers as its source does is not known" in section(card, title)
    assert "answers as its source does in" not in card


def test_the_threshold_of_a_source_is_not_called_the_cheapest(package: PackageData, pages: Pages) -> None:
    output, adoption = package.contract.output, package.evaluation.adoption
    if output.kind != "classification" or output.threshold is None:
        return
    answers = section(pages[CARD], "How to read an answer")
    bound = "above" if adoption else "at least"
    assert f"The decision is `{output.positive}` if its probability is {bound} {number(output.threshold)}" in answers
    assert ("threshold is that of the source" in answers) == (adoption is not None)
    decisions = package.evaluation.decisions
    listed = [number(point.threshold) for point in decisions.thresholds] if decisions else []
    assert len(listed) == len(set(listed))


def test_an_interval_of_one_width_is_not_read_as_certainty(package: PackageData, pages: Pages) -> None:
    if package.contract.output.kind != "regression":
        return
    for path in (CARD, GUIDE):
        assert ("The wider the interval" in pages[path]) == (package.evaluation.adoption is None)
        assert ("every row has the same width" in pages[path]) == (package.evaluation.adoption is not None)


def test_the_parts_of_the_table_have_their_uses(package: PackageData, pages: Pages) -> None:
    data, output = section(pages[CARD], "Data"), package.contract.output
    if package.evaluation.adoption is None:
        return
    assert "to fit the baselines" in data and "This table evaluates the model." in data
    assert ("to fix the prediction interval" in data) == (output.kind == "regression")
    assert ("to fix the prediction sets" in data) == (output.kind == "classification" and len(output.labels) > 2)
