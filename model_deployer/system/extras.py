"""Report a package that is missing because an extra of the project is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from model_deployer.contract.errors import EnvironmentFault


@contextmanager
def packages_of(extra: str) -> Iterator[None]:
    """Within the block, convert the error of a missing package to an error that says how to install it.

    Args:
        extra: The extra of the project that the imports in the block need, such as "train" or "handoff".

    Raises:
        EnvironmentFault: if a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = f"pip install 'model-deployer[{extra}]'"
        raise EnvironmentFault(f"this needs the package '{error.name}': {remedy}") from None
