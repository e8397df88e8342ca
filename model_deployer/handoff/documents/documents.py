"""The documents of a package: README, changelog, model card and integration guide, each a function of its facts."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from model_deployer.handoff.documents import card, contents, evaluation, fields, guide
from model_deployer.handoff.documents.page import page
from model_deployer.monitoring.alerts import alerts
from model_deployer.package import figures, readme
from model_deployer.package.facts import Facts
from model_deployer.package.markdown import Markdown, block, code, document, listed, markdown, table
from model_deployer.package.sizing import sizes

CARD = "docs/MODEL_CARD.md"
PAGE = "docs/MODEL_CARD.html"
GUIDE = "docs/INTEGRATION_GUIDE.md"
README = "README.md"
CHANGELOG = "CHANGELOG.md"

_UNVERIFIED = Markdown(
    "> **UNVERIFIED**: nobody has proved yet that what stands here holds on another machine. "
    "`deployer verify` does so, and takes this line away."
)


def write_documents(facts: Facts, folder: Path) -> None:
    """Write the documents of a package into its folder.

    Args:
        facts: Of the package.
        folder: The package's; folders that a document needs are made.
    """
    for path, text in documents(facts).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def documents(facts: Facts) -> dict[str, str]:
    """The documents, by their path in the package: the same facts give the same text, byte for byte."""
    written = {path: _render(Path(path).name, facts) for path in (README, CARD, GUIDE)}
    written[CHANGELOG] = changelog(facts.manifest.name, facts.changes, facts.is_verified)
    title = f"{facts.manifest.name} {facts.manifest.version}"
    return written | {PAGE: page(title, written[CARD], facts.plots)}


def changelog(name: str, changes: Sequence[Mapping[str, Any]], is_verified: bool = True) -> str:
    """What changed from version to version of the model ``name``; ``changes`` as :mod:`handoff.changes` finds them."""
    return _filled(CHANGELOG, name=name, changes=changes, unverified=verdict(is_verified))


def _render(name: str, facts: Facts) -> str:
    return _filled(
        name,
        facts=facts,
        alerts=alerts(facts),
        sizes=sizes(facts.sizing),
        output=facts.contract.output,
        example=guide.example(facts),
        refusal=guide.refusal(facts),
        has_times=any(feature.kind == "datetime" for feature in facts.contract.features),
        python=facts.measured.machine.python.rpartition(".")[0],
        nullable=[code(feature.name) for feature in facts.contract.features if feature.nullable],
        unverified=verdict(facts.is_verified),
        plot=lambda name, about: _plot(facts, name, about),
    )


def verdict(is_verified: bool) -> Markdown:
    """What the head of a document says of a package that was not verified; nothing of one that was."""
    return Markdown() if is_verified else _UNVERIFIED


def _filled(document: str, **values: Any) -> str:
    text = _environment.get_template(f"{document}.j2").render(**values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _plot(facts: Facts, name: str, about: str) -> Markdown:
    return Markdown(f"![{about}](../model/plots/{name}.png)" if name in facts.plots else "")


#: Whatever a template prints is escaped, unless it is Markdown already.
_environment = Environment(
    loader=PackageLoader("model_deployer.handoff.documents"),
    finalize=markdown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals |= {
    "block": block,
    "card": card,
    "code": code,
    "count": figures.count,
    "contents": contents,
    "document": document,
    "evaluation": evaluation,
    "fields": fields,
    "guide": guide,
    "listed": listed,
    "number": figures.number,
    "percent": figures.percent,
    "readme": readme,
    "seconds": figures.seconds,
    "table": table,
    "words": evaluation.words,
}
