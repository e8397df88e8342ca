"""The names of classes: encoders of inputs, which have as many labels, do not count."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import LabelEncoder

from model_deployer.adoption.class_names import class_names
from model_deployer.adoption.source.detect import detect
from tests.support.case_ids import case_id

MODEL = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1])
GENDERS, ANSWERS = (LabelEncoder().fit(labels) for labels in (["Female", "Male"], ["no", "yes"]))

CASES: list[tuple[dict[str, Any], list[str] | None]] = [
    ({"label_encoder": ANSWERS}, ["no", "yes"]),
    ({"label_encoder_gender": GENDERS}, None),
    ({"label_encoder_gender": GENDERS, "target_encoder": ANSWERS}, ["no", "yes"]),
    ({"label_encoder": GENDERS, "target_encoder": ANSWERS}, None),
    ({"classes": {0: "healthy", 1: "sick"}}, ["healthy", "sick"]),
    ({"label_map": {"sick": 1, "healthy": 0}}, ["healthy", "sick"]),
    ({"labels": {0: "a", 1: "b", 2: "c"}}, None),
    ({}, None),
]


@pytest.mark.parametrize(("files", "names"), CASES, ids=case_id)
def test_class_names(files: dict[str, Any], names: list[str] | None, tmp_path: Path) -> None:
    for name, value in ({"model": MODEL} | files).items():
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(value))
    (tmp_path / "app.py").write_text('LABELS = ["left", "right"]\n')
    assert class_names(detect(tmp_path), 2) == names


def test_a_key_of_a_bundle(tmp_path: Path) -> None:
    bundle = {"model": MODEL, "gender_encoder": GENDERS, "labelEncoder": ANSWERS}
    (tmp_path / "all.pkl").write_bytes(pickle.dumps(bundle))
    assert class_names(detect(tmp_path / "all.pkl"), 2) == ["no", "yes"]
