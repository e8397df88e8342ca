"""What the base install lacks, said in a way that helps."""

from collections.abc import Iterator
from contextlib import contextmanager

from model_deployer.contract.errors import EnvironmentFault


@contextmanager
def packages_of(extra: str) -> Iterator[None]:
    """Import in here what needs an extra of the project: "train", "handoff" or "signing".

    Raises:
        EnvironmentFault: A library that it needs is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = f"pip install 'model-deployer[{extra}]'"
        raise EnvironmentFault(f"this needs the package '{error.name}', which is missing: {remedy}") from None
