"""The environment that a source needs: what its files and the texts next to them state."""

from model_deployer.adoption.cell.requirements import requirements
from model_deployer.adoption.source.source import Source

#: Kinds whose files import packages that only the texts next to them name.
_CODE = {"mlflow", "cog", "python"}

#: What a source states the version of, and what is not a package.
_NOT_PACKAGES = {"python", "producer"}


def source_requirements(source: Source) -> list[str]:
    """Return the packages to load a source with.

    The versions in the bytes of its files count. Where they state none, those that a text next to them pins do.
    """
    pins = dict(str(item.value).split("==", 1) for item in source.about("requirement") if "==" in str(item.value))
    versions = {name: text for name, text in source.versions.items() if name not in _NOT_PACKAGES}
    kinds = [file.kind for file in source.files]
    unpinned = set(requirements(kinds, source.libraries, versions))
    versions |= {name: text for name, text in pins.items() if name in unpinned or _CODE & set(kinds)}
    return requirements(kinds, source.libraries, versions)


def source_python(source: Source) -> tuple[int, int] | None:
    """Return the version of Python that a source states."""
    parts = source.versions.get("python", "").split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else None
