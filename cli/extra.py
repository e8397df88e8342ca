"""What the base install lacks, said in a way that helps."""

from collections.abc import Iterator
from contextlib import contextmanager

from contract.errors import EnvironmentFault


@contextmanager
def training_packages() -> Iterator[None]:
    """Import the training package in here.

    Raises:
        EnvironmentFault: A library that it needs is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = "pip install 'model-deployer[train]'"
        raise EnvironmentFault(f"training needs the package '{error.name}', which is missing: {remedy}") from None
