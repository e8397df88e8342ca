import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.errors import UsageError
from model_deployer.deployment.instance_types import InstanceType, smallest_instance_type
from model_deployer.deployment.workload import dns_label
from tests.support.workloads import UNKNOWN, workload

INSTANCE_TYPES = (InstanceType("small", 1, 2), InstanceType("middle", 2, 4), InstanceType("large", 4, 16))


@given(st.text(min_size=1), st.integers(8, 63))
def test_a_label_is_one_of_the_dns(text: str, max_length: int) -> None:
    result = dns_label(text, max_length)
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", result)
    assert len(result) <= max_length


def test_a_label_says_the_name_and_long_ones_are_told_apart() -> None:
    assert dns_label("car_class") == "car-class"
    assert dns_label("4wd") == "m-4wd"
    assert dns_label("a" * 70 + "b") != dns_label("a" * 70 + "c")


def test_the_smallest_machine_that_holds_a_replica() -> None:
    assert smallest_instance_type(INSTANCE_TYPES, workload()).name == "middle"  # 1.04 cores; 384 MiB
    assert smallest_instance_type(INSTANCE_TYPES, workload(UNKNOWN)).name == "small"
    with pytest.raises(UsageError, match=r"2 cores and 0[.]375 GiB, more than small has"):
        smallest_instance_type(INSTANCE_TYPES[:1], workload())
