"""The documents of a package: README, changelog, model card and integration guide, generated from its data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import PackageLoader

from model_deployer.contract import number_format
from model_deployer.handoff.documents import (
    annex_iv,
    captured_traffic,
    evaluation_text,
    field_tables,
    file_tree,
    integration_guide,
    library_guide,
    model_card,
    origin,
    results,
    source_process,
    statements,
)
from model_deployer.handoff.documents.contents import with_contents
from model_deployer.handoff.documents.html_page import page
from model_deployer.monitoring.alerts import AVAILABILITY_OBJECTIVE, alerts
from model_deployer.package import readme_commands
from model_deployer.package.banner import unverified_banner
from model_deployer.package.package_data import PackageData
from model_deployer.package.sizing import sizes
from model_deployer.writing.markdown import Markdown, code, code_block, join_list, json_block, markdown, table
from model_deployer.writing.templates import jinja_environment, render

CARD = "docs/MODEL_CARD.md"
PAGE = "docs/MODEL_CARD.html"
GUIDE = "docs/INTEGRATION_GUIDE.md"
README = "README.md"
CHANGELOG = "CHANGELOG.md"


def write_documents(package: PackageData, folder: Path) -> None:
    """Write the documents of a package into its folder.

    Args:
        package: The data of the package.
        folder: The folder of the package; missing subfolders are created.
    """
    for path, text in documents(package).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def documents(package: PackageData) -> dict[str, str]:
    """Return the documents by path; the same data gives the same text, byte for byte."""
    texts = {path: _render(Path(path).name, package) for path in (README, CARD, GUIDE)}
    texts[CARD] = with_contents(texts[CARD], is_adopted=package.evaluation.adoption is not None)
    texts[CHANGELOG] = changelog(package.manifest.name, package.changes, package.is_verified)
    title = f"{package.manifest.name} {package.manifest.version}"
    return texts | {PAGE: page(title, texts[CARD], package.plots)}


def changelog(name: str, changes: Sequence[Mapping[str, Any]], is_verified: bool = True) -> str:
    """Return the changelog of a model.

    Args:
        name: The name of the model.
        changes: The changes of each version, as :mod:`model_deployer.handoff.changes` returns them.
        is_verified: Whether the package was verified.
    """
    return _render_template(CHANGELOG, name=name, changes=changes, unverified=unverified_banner(is_verified))


def _render(name: str, package: PackageData) -> str:
    return _render_template(
        name,
        package=package,
        alerts=alerts(package),
        sizes=sizes(package.sizing),
        output=package.contract.output,
        availability=AVAILABILITY_OBJECTIVE,
        example=integration_guide.example(package),
        error_example=integration_guide.error_example(package),
        has_times=any(feature.kind == "datetime" for feature in package.contract.features),
        python=package.measured.machine.python.rpartition(".")[0],
        nullable=[code(feature.name) for feature in package.contract.features if feature.nullable],
        unverified=unverified_banner(package.is_verified),
        plot=lambda name, about: _plot(package, name, about),
    )


def _render_template(document: str, /, **values: Any) -> str:
    return render(_environment, f"{document}.j2", **values)


def _plot(package: PackageData, name: str, about: str) -> Markdown:
    return Markdown(f"![{about}](../model/plots/{name}.png)" if name in package.plots else "")


#: Values in a template are escaped, except those that are Markdown already.
_environment = jinja_environment(PackageLoader("model_deployer.handoff.documents"), finalize=markdown)
_environment.globals |= {
    "annex_iv": annex_iv,
    "captured_traffic": captured_traffic,
    "code": code,
    "code_block": code_block,
    "count": number_format.count,
    "evaluation_text": evaluation_text,
    "field_tables": field_tables,
    "file_tree": file_tree,
    "integration_guide": integration_guide,
    "join_list": join_list,
    "library_guide": library_guide,
    "json_block": json_block,
    "model_card": model_card,
    "number": number_format.number,
    "origin": origin,
    "percent": number_format.percent,
    "percentage": number_format.percentage,
    "readme_commands": readme_commands,
    "results": results,
    "source_process": source_process,
    "statements": statements,
    "seconds": number_format.seconds,
    "table": table,
}
