"""What the owner of a model says about it in model.yaml, and what was not said."""

from model_deployer.contract.card import CardStatements
from model_deployer.contract.evaluation import SliceResult
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_list, markdown, table

#: The statements of each section of the card, with their names for people.
USE = {
    "intended_users": "Intended users",
    "out_of_scope": "Not meant for",
    "oversight": "Human oversight",
    "misuse": "Foreseeable misuse",
    "current_practice": "Practice today",
    "approval": "Approval",
}
DATA = {
    "source": "Source",
    "collection": "Collection",
    "period": "Period",
    "personal_data": "Personal data",
    "preprocessing": "Preparation before training",
}
LIFE = {
    "review": "Review and retraining",
    "retention": "Retention of requests and logs",
    "deprecation": "End of a version",
    "energy": "Energy of the training",
    "citation": "How to cite",
}


def statements(package: PackageData, section: dict[str, str]) -> Markdown:
    """Return a table of the statements of a section that model.yaml makes; empty if it makes none."""
    values = {name: value for name in section if (value := statement(package, name))}
    return table(["Subject", "What the owner says"], [[section[name], value] for name, value in values.items()])


def not_said(package: PackageData, section: dict[str, str]) -> Markdown:
    """Return a sentence that names the statements of a section that model.yaml does not make."""
    missing = [about.lower() for name, about in section.items() if not statement(package, name)]
    if not missing:
        return Markdown()
    return Markdown(f"Not said in `model.yaml` (`card`): {join_list(missing)}.")


def statement(package: PackageData, name: str) -> str:
    """Return a statement, or an empty text if it was not made.

    Args:
        package: The data of the package.
        name: The name of an attribute of :class:`contract.card.CardStatements`.
    """
    assert name in CardStatements.model_fields
    value = getattr(package.manifest.card, name)
    return str(value).strip() if value else ""


def fairness(package: PackageData) -> Markdown:
    """Return sentences on the groups of rows that were examined for fairness: the slices that model.yaml names."""
    named = [part for part in package.evaluation.slices or () if part.named]
    view = statement(package, "fairness")
    parts = [markdown(view)] if view else []
    if named:
        columns = join_list([code(column) for column in dict.fromkeys(_column(part) for part in named)])
        parts.append(
            Markdown(
                f"The model was evaluated by the values of {columns}, which `model.yaml` names: see "
                "[slices](#slices). No other group was examined on purpose."
            )
        )
    else:
        parts.append(Markdown("No group was examined: `model.yaml` names no columns under `slices`."))
    return Markdown(" ".join(parts))


def _column(part: SliceResult) -> str:
    """Return the column of the condition of a slice: ``origin`` of ``origin = JFK``, ``x`` of ``x from 0 to 5``."""
    for mark in (" = ", " from ", " missing", " present"):
        if mark in part.slice:
            return part.slice.split(mark, 1)[0]
    return part.slice
