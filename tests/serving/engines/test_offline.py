from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from model_deployer.contract.artifact import open_artifact
from model_deployer.serving.engines.offline import OfflineModel, predict
from tests.support import tiny


def test_the_golden_rows_are_answered_as_in_training(tmp_path: Path) -> None:
    tiny.write(tmp_path)
    model = open_artifact(tmp_path)
    golden = list(model.golden())
    answers = predict(model, [case.row for case in golden])
    for case, answer in zip(golden, answers, strict=True):
        assert answer and answer["decision"] == case.prediction["decision"]
        assert answer["probabilities"] == pytest.approx(case.prediction["probabilities"], abs=1e-6)


def test_refused_row_leaves_the_others_in_place(tmp_path: Path) -> None:
    """A refused row has no answer, and the others keep their places."""
    tiny.write(tmp_path)
    near, far = tiny.ROW | {"distance": 1}, tiny.ROW | {"distance": 4999, "origin": "EWR"}
    invalid = [tiny.ROW | {"distance": 5001}, tiny.ROW | {"wings": 2}, {"distance": 5}]
    model = open_artifact(tmp_path)
    rows = [invalid[0], near, invalid[1], far, invalid[2]]
    assert predict(model, rows) == [None, *predict(model, [near]), None, *predict(model, [far]), None]
    assert predict(model, [near]) != predict(model, [far])
    assert predict(model, invalid) == [None] * 3
    assert predict(model, []) == []


def test_row_whose_answer_is_not_a_number_is_refused(tmp_path: Path) -> None:
    """Rows of the same batch are answered."""
    tiny.write(tmp_path, contract=tiny.UNBOUNDED)
    with closing(OfflineModel(open_artifact(tmp_path))) as model:
        answers = model.answer([tiny.UNANSWERED, tiny.ROW, tiny.UNANSWERED, tiny.ROW])
        usual = model.answer([tiny.ROW])
    assert answers.accepted.tolist() == [False, True, False, True]
    assert [problem.code for row in (0, 2) for problem in answers.problems[row]] == ["refused_by_model"] * 2
    assert np.allclose(answers.outputs["probabilities"], usual.outputs["probabilities"])


def test_more_rows_are_answered_than_one_request_may_hold(tmp_path: Path) -> None:
    tiny.write(tmp_path)
    rows = tiny.CONTRACT.limits.rows + 1
    answers = predict(open_artifact(tmp_path), [tiny.ROW] * rows)
    assert answers == [answers[0]] * rows
