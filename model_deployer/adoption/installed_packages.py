"""The packages of this process's environment that others need."""

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def with_dependencies(names: Iterable[str]) -> Mapping[str, str]:
    """Return the versions of packages and of all that they need, by normalized name and sorted.

    A package that is not installed is left out.

    Args:
        names: The packages to begin with.
    """
    versions: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if name not in versions:
            versions[name] = installed.version
            requirements = map(Requirement, installed.requires or [])
            waiting += [
                each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return dict(sorted(versions.items()))
