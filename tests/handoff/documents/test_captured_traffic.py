"""What the guide and the card say about captured traffic is what the contract says."""

import json
from typing import Any

import pytest

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Categorical, Image, Numeric, Text
from model_deployer.contract.outputs import Classification, Regression, VectorOutput
from model_deployer.handoff.documents import captured_traffic
from model_deployer.handoff.documents.documents import CARD, documents
from model_deployer.package.package_data import PackageData
from tests.support import tiny
from tests.support.packages import package_of

OUTPUT = Classification(target="late", labels=("in_time", "late"), positive="late", threshold=0.5)

FIELDS = (
    Numeric(name="amount", example=1.0),
    Categorical(name="customer", example="c1", capture="hash"),
    Text(name="note", example="fragile"),
    Numeric(name="salary", example=1.0, capture="drop"),
    Image(name="photo", height=8, width=8),
)


def package(output: Any = OUTPUT) -> PackageData:
    """The data of a package without a reference, so that no field has bins."""
    return package_of(Contract(features=FIELDS, output=output), tiny.EVALUATION, name="parcels", version="1.0.0")


def test_each_field_has_its_policy_its_column_and_the_reason() -> None:
    cells = [line.strip("| ").split(" | ") for line in captured_traffic.fields(package()).splitlines()[2:]]
    table = {field: (policy, column, why) for field, policy, column, _, why in cells}
    assert table == {
        "`amount`": ("`keep`", "`input.amount`", "the default"),
        "`customer`": ("`hash`", "`hash.customer`", "the model's owner chose it"),
        "`note`": ("`bin`", "`none`", "the default: a text may contain names and other personal data"),
        "`salary`": ("`drop`", "`none`", "the model's owner chose it"),
        "`photo`": ("`drop`", "`none`", "the default: an image may show a person"),
    }
    assert captured_traffic.columns(package()) == ["input.amount", "hash.customer"]


def test_a_key_is_made_only_if_a_field_is_hashed() -> None:
    assert "DEPLOYER_CAPTURE_KEY_FILE" in captured_traffic.serve(package())
    without = package_of(tiny.CONTRACT, tiny.EVALUATION, name="served", version="1.0.0")
    assert "KEY" not in captured_traffic.serve(without) + captured_traffic.settings(without)


def test_the_card_says_what_is_kept() -> None:
    card = documents(package())[CARD]
    assert "Of `amount`: the value. Of `customer`: a keyed hash" in card
    assert "Of `salary` and `photo`: nothing." in card


@pytest.mark.parametrize(
    ("output", "expected"),
    [(OUTPUT, "late"), (Regression(target="price"), 0.5), (VectorOutput(target="sizes", names=("a",), length=1), None)],
)
def test_the_label_is_one_of_the_model(output: Any, expected: Any) -> None:
    """A label of the model, a number near the answer, or no label of several numbers."""
    data = package(output)
    label = captured_traffic.label(data)
    if expected is None:
        assert label is None
    else:
        assert label is not None
        assert isinstance(label.value, type(expected))
        assert f'"label": {json.dumps(label.value)}' in label.feedback
