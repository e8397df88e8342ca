import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.errors import UsageError
from model_deployer.deployment.instance_types import InstanceType, smallest_instance_type
from model_deployer.deployment.workload import label
from tests.support.workloads import UNKNOWN, workload

MACHINES = (InstanceType("small", 1, 2), InstanceType("middle", 2, 4), InstanceType("large", 4, 16))


@settings(deadline=None)
@given(st.text(min_size=1), st.integers(8, 63))
def test_a_label_is_one_of_the_dns(text: str, longest: int) -> None:
    found = label(text, longest)
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", found)
    assert len(found) <= longest


def test_a_label_says_the_name_and_long_ones_are_told_apart() -> None:
    assert label("car_class") == "car-class"
    assert label("4wd") == "m-4wd"
    assert label("a" * 70 + "b") != label("a" * 70 + "c")


def test_the_smallest_machine_that_holds_a_replica() -> None:
    assert smallest_instance_type(MACHINES, workload()).name == "middle"  # 1.04 cores; 512 MiB
    assert smallest_instance_type(MACHINES, workload(UNKNOWN)).name == "small"
    with pytest.raises(UsageError, match=r"2 cores and 0[.]5 GiB, more than small has"):
        smallest_instance_type(MACHINES[:1], workload())
