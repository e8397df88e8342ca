"""A map from Annex IV of the EU AI Act (technical documentation) to the files and sections of a package."""

from collections.abc import Iterator
from typing import NamedTuple

from model_deployer.contract.evaluation import MODEL
from model_deployer.handoff.documents.statements import statement
from model_deployer.package.package_data import SOURCE_REQUIREMENTS, PackageData
from model_deployer.writing.markdown import Markdown, table

#: What is written for an item that the package has nothing about.
PROVIDER = "the provider has to write this"


class _Item(NamedTuple):
    """An item of the annex.

    Attributes:
        number: Its number in the annex.
        subject: What it asks for, in short.
        answers: Where the package has it, or an empty text.
        missing: What the provider has to add; empty if nothing is known to be missing.
    """

    number: str
    subject: str
    answers: str
    missing: str = ""


#: Sections of other documents that answer an item.
_GUIDE = "[integration guide](INTEGRATION_GUIDE.md)"
_CHANGELOG = "[CHANGELOG.md](../CHANGELOG.md)"


def annex_iv(package: PackageData) -> Markdown:
    """Return a table of the items of the annex, with their places in the package, or what the provider has to write."""
    items = (*_general(package), *_development(package), *_others(package))
    rows = [
        [item.number, item.subject, Markdown("; ".join(part for part in (item.answers, item.missing) if part))]
        for item in items
    ]
    return table(["Item", "Subject", "Where it is"], rows)


def _general(package: PackageData) -> Iterator[_Item]:
    formats = "[formats](#formats), " if package.formats else ""
    purpose = _joined(package, ("intended_users",), "the top of this page")
    yield _Item("1 (a)", "intended purpose, provider, version", purpose)
    yield _Item("1 (b)", "interaction with other systems", _GUIDE)
    names = ["requirements.txt", *([SOURCE_REQUIREMENTS] if package.runner else [])]
    software = ", ".join(f"[{name}](../{name})" for name in names)
    yield _Item("1 (c)", "versions of software", f"{software}, {_CHANGELOG}")
    yield _Item("1 (d)", "forms in which it is placed on the market", f"{formats}Dockerfile, deploy/")
    yield _Item("1 (e)", "hardware", "[latency and resources](INTEGRATION_GUIDE.md#latency-and-resources)")
    yield _Item("1 (f)", "photographs of a product", "", f"not applicable to software alone, else {PROVIDER}")
    yield _Item("1 (g)", "user interface", "[endpoints](INTEGRATION_GUIDE.md#endpoints)")
    yield _Item("1 (h)", "instructions for use", _GUIDE)


def _development(package: PackageData) -> Iterator[_Item]:
    evaluated = "[data](#data) of the evaluation" if package.evaluation.adoption else "[data](#data)"
    data = _joined(package, ("source", "collection", "preprocessing"), evaluated)
    oversight = ("[use](#use)", "") if statement(package, "oversight") else ("", PROVIDER)
    unexamined = "" if statement(package, "fairness") else f"the assessment of discrimination: {PROVIDER}"
    security = "[API keys](INTEGRATION_GUIDE.md#api-keys), [sbom.cdx.json](../sbom.cdx.json)"
    methods = "[model](#model), [reproduction](#reproduction)"
    yield _Item("2 (a)", "methods of development, third-party tools", methods, _elsewhere(package, "methods"))
    choices = _elsewhere(package, "choices")
    yield _Item(
        "2 (b)", "design, key choices, what is optimised", "[model](#model), [assumptions](#assumptions)", choices
    )
    yield _Item("2 (c)", "architecture and computing resources", "[model](#model)", _energy(package))
    yield _Item("2 (d)", "data: origin, collection, cleaning", data, _elsewhere(package, "data"))
    yield _Item("2 (e)", "human oversight measures", *oversight)
    yield _Item("2 (f)", "planned changes", "[versions and rollback](INTEGRATION_GUIDE.md#versions-and-rollback)")
    yield _Item("2 (g)", "tests: data, metrics, discriminatory impact", _tests(package), unexamined)
    yield _Item("2 (h)", "cybersecurity", security, f"the rest: {PROVIDER}")


def _others(package: PackageData) -> Iterator[_Item]:
    monitoring = "[alerts](INTEGRATION_GUIDE.md#alerts), [when to retrain](INTEGRATION_GUIDE.md#when-to-retrain)"
    risks = "" if statement(package, "misuse") else f"foreseeable misuse and risks to rights: {PROVIDER}"
    yield _Item("3", "capabilities, limits, quality by group", f"{_tests(package)}, [limits](#limits)", risks)
    yield _Item("4", "why these metrics are appropriate", "", PROVIDER)
    yield _Item("5", "risk management system (Article 9)", "", PROVIDER)
    yield _Item("6", "changes over the lifecycle", _CHANGELOG)
    yield _Item("7", "harmonised standards applied", "", PROVIDER)
    yield _Item("8", "EU declaration of conformity", "", PROVIDER)
    yield _Item("9", "monitoring after release", monitoring, f"the plan (Article 72): {PROVIDER}")


def _joined(package: PackageData, names: tuple[str, ...], place: str) -> str:
    missing = [name.replace("_", " ") for name in names if not statement(package, name)]
    return f"{place}; not said: {', '.join(missing)}: {PROVIDER}" if missing else place


def _energy(package: PackageData) -> str:
    return "" if statement(package, "energy") else f"computing resources and energy of the training: {PROVIDER}"


def _elsewhere(package: PackageData, subject: str) -> str:
    """Return that the provider has to write about the training of the source; empty for a model trained here."""
    return f"the {subject} of the training of the source: {PROVIDER}" if package.evaluation.adoption else ""


def _tests(package: PackageData) -> str:
    evaluation = package.evaluation
    places = [
        "[results](#results)" if evaluation.metrics_of(MODEL) else "",
        "[slices](#slices)" if evaluation.slices is not None else "",
        "[fairness](#fairness)",
    ]
    return ", ".join(place for place in places if place)
