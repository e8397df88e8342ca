"""The candidate gets the rows that the model got: every kind of field, and missing values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_deployer.contract.artifact import Artifact, open_artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Feature, NumberSequence, Numeric, Vector
from model_deployer.contract.outputs import Output
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.rows.columns import ColumnBuilder, Columns
from model_deployer.serving.rows.validation import Validator
from model_deployer.serving.shadow.shadow_columns import message_columns
from model_deployer.serving.shadow.shadow_model import ACCEPTED, ShadowModel
from tests.support import tensor_models, tiny

LISTS: tuple[Feature, ...] = (
    Vector(name="embedding", length=3, required=False, missing="impute", example=[1.0, 2.0, 3.0]),
    NumberSequence(name="tokens", longest=4, required=False, missing="impute", example=[1.0, 2.0]),
)

WITH_LISTS = tiny.CONTRACT.model_copy(update={"features": (*tiny.FEATURES, *LISTS)})

ROWS: list[dict[str, Any]] = [
    tiny.ROW | {"embedding": [3e8, 1e8, -2e8], "tokens": [5e8]},
    tiny.ROW | {"temp": None, "holiday": True, "booked": None, "tokens": [1e8, 2e8, 3e8]},
    {name: value for name, value in tiny.ROW.items() if name not in ("carrier", "remark")} | {"embedding": [0, 0, 1e9]},
]


def write(folder: Path, contract: Contract, **options: Any) -> Artifact:
    tiny.write(folder, contract=contract, golden=False, **options)
    (folder / "golden.jsonl").write_text("")
    return open_artifact(folder)


def columns(model: Artifact) -> Columns:
    return ColumnBuilder(model.contract.features)(Validator(model.contract).check(ROWS))


@pytest.mark.parametrize("output", [tiny.CONTRACT.output, tiny.OF_A_NUMBER.output], ids=lambda output: output.kind)
def test_the_candidate_gets_the_rows_of_the_model(tmp_path: Path, output: Output) -> None:
    contract = WITH_LISTS.model_copy(update={"output": output})
    model = write(tmp_path / "model", contract)
    inputs = columns(model)
    expected = contract.output.columns(OnnxEngine(model.model, contract.output).run(inputs))
    answer = ShadowModel(model, ignores_unknown=False).answer(str(model.path), message_columns(inputs))
    assert answer.pop(ACCEPTED).all()
    assert answer.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(answer[name], np.asarray(values, object if name == "decision" else None))


def test_the_contract_of_the_candidate_refuses_rows(tmp_path: Path) -> None:
    model = write(tmp_path / "model", WITH_LISTS)
    warm = Numeric(name="temp", minimum=-20, maximum=110, example=51.1)
    features = [warm if feature.name == "temp" else feature for feature in WITH_LISTS.features]
    candidate = write(tmp_path / "candidate", WITH_LISTS.model_copy(update={"features": tuple(features)}))
    answer = ShadowModel(candidate, ignores_unknown=False).answer(str(model.path), message_columns(columns(model)))
    assert answer[ACCEPTED].tolist() == [True, False, True]
    assert len(answer["decision"]) == 2


def test_tensors_reach_the_candidate(tmp_path: Path) -> None:
    contract = tensor_models.WITH_TENSORS
    tensor_models.write_tensors(tmp_path / "model")
    model = open_artifact(tmp_path / "model")
    rows = tensor_models.tensor_rows(contract, 12)
    inputs = ColumnBuilder(contract.features)(Validator(contract).check(rows))
    answer = ShadowModel(model, ignores_unknown=False).answer(str(model.path), message_columns(inputs))
    expected = tensor_models.tensor_answers(model.path, contract, rows)
    assert answer[ACCEPTED].all()
    for index, label in enumerate(tensor_models.LABELS):
        np.testing.assert_array_equal(answer[f"probabilities.{label}"], expected[:, index])


def test_unknown_fields_are_refused_or_left_out_as_the_server_does(tmp_path: Path) -> None:
    model, candidate = write(tmp_path / "model", WITH_LISTS), write(tmp_path / "candidate", tiny.CONTRACT)
    sent = message_columns(columns(model))
    for ignores_unknown in (False, True):
        answer = ShadowModel(candidate, ignores_unknown).answer(str(model.path), sent)
        assert answer[ACCEPTED].tolist() == [ignores_unknown] * len(ROWS)
