"""The documents of a package: README, changelog, model card and integration guide, each a function of its facts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import PackageLoader

from model_deployer.contract import number_format
from model_deployer.handoff.documents import evaluation_text, field_tables, file_tree, integration_guide, model_card
from model_deployer.handoff.documents.html_page import page
from model_deployer.monitoring.alerts import alerts
from model_deployer.package import readme_commands
from model_deployer.package.banner import unverified_banner
from model_deployer.package.package_data import PackageData
from model_deployer.package.sizing import sizes
from model_deployer.writing.markdown import Markdown, block, code, document, listed, markdown, table
from model_deployer.writing.templates import jinja_environment, render

CARD = "docs/MODEL_CARD.md"
PAGE = "docs/MODEL_CARD.html"
GUIDE = "docs/INTEGRATION_GUIDE.md"
README = "README.md"
CHANGELOG = "CHANGELOG.md"


def write_documents(facts: PackageData, folder: Path) -> None:
    """Write the documents of a package into its folder.

    Args:
        facts: Of the package.
        folder: The package's; folders that a document needs are made.
    """
    for path, text in documents(facts).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def documents(facts: PackageData) -> dict[str, str]:
    """The documents, by their path in the package: the same facts give the same text, byte for byte."""
    written = {path: _render(Path(path).name, facts) for path in (README, CARD, GUIDE)}
    written[CHANGELOG] = changelog(facts.manifest.name, facts.changes, facts.is_verified)
    title = f"{facts.manifest.name} {facts.manifest.version}"
    return written | {PAGE: page(title, written[CARD], facts.plots)}


def changelog(name: str, changes: Sequence[Mapping[str, Any]], is_verified: bool = True) -> str:
    """What changed from version to version of the model ``name``; ``changes`` as :mod:`handoff.changes` finds them."""
    return _filled(CHANGELOG, name=name, changes=changes, unverified=unverified_banner(is_verified))


def _render(name: str, facts: PackageData) -> str:
    return _filled(
        name,
        facts=facts,
        alerts=alerts(facts),
        sizes=sizes(facts.sizing),
        output=facts.contract.output,
        example=integration_guide.example(facts),
        refusal=integration_guide.refusal(facts),
        has_times=any(feature.kind == "datetime" for feature in facts.contract.features),
        python=facts.measured.machine.python.rpartition(".")[0],
        nullable=[code(feature.name) for feature in facts.contract.features if feature.nullable],
        unverified=unverified_banner(facts.is_verified),
        plot=lambda name, about: _plot(facts, name, about),
    )


def _filled(document: str, **values: Any) -> str:
    return render(_environment, f"{document}.j2", **values)


def _plot(facts: PackageData, name: str, about: str) -> Markdown:
    return Markdown(f"![{about}](../model/plots/{name}.png)" if name in facts.plots else "")


#: Whatever a template prints is escaped, unless it is Markdown already.
_environment = jinja_environment(PackageLoader("model_deployer.handoff.documents"), finalize=markdown)
_environment.globals |= {
    "block": block,
    "card": model_card,
    "code": code,
    "count": number_format.count,
    "contents": file_tree,
    "document": document,
    "evaluation": evaluation_text,
    "fields": field_tables,
    "guide": integration_guide,
    "listed": listed,
    "number": number_format.number,
    "percent": number_format.percent,
    "readme": readme_commands,
    "seconds": number_format.seconds,
    "table": table,
    "words": evaluation_text.words,
}
