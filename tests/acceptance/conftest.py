from pathlib import Path

import pytest

from tests.acceptance.customers import write_table


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of the customers, as customers.csv."""
    path = tmp_path_factory.mktemp("table") / "customers.csv"
    write_table(path)
    return path
