"""Both JSON documents of an artifact are written as they were read, and an error names the field."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract.artifact import EVALUATION, open_artifact, write_json
from model_deployer.contract.document import JsonDocument
from model_deployer.contract.errors import ArtifactError
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.reference import Reference
from tests.support import tiny
from tests.support.json_documents import json_objects

MODELS: list[type[JsonDocument]] = [Evaluation, Reference]


@pytest.mark.parametrize("model", MODELS)
@given(st.data())
def test_what_is_read_is_written_as_it_was_and_read_again(model: type[JsonDocument], data: st.DataObject) -> None:
    content = data.draw(json_objects(model))
    document = model.model_validate(content)
    text = json.dumps(document.to_json(), allow_nan=False)
    assert text == json.dumps(content)
    assert model.model_validate(json.loads(text)) == document


def test_absent_and_null_fields_stay_as_they_are() -> None:
    """A field that is absent stays absent, and one that is null stays null."""
    bare: dict[str, Any] = {"task": "count", "metrics": {}}
    for content in (bare, bare | {"behaviour": None}):
        evaluation = Evaluation.model_validate(content)
        assert evaluation.behaviour is None
        assert evaluation.to_json() == content


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    evaluation = Evaluation.model_validate({"task": "count", "metrics": {}, "parity": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / EVALUATION, evaluation.to_json())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"task": "clustering"},
            "task: expected 'classification', 'regression', 'count', 'quantile', 'multioutput_regression' or "
            "'embedding'",
        ),
        ({"rows": {"train": 1, "test": 1}}, "rows.validation: the field is missing"),
        ({"metrics": {"model": {"brier": {"value": 1, "low": 0}}}}, "metrics.model.brier.high: the field is missing"),
        ({"metrics": []}, "metrics: expected a valid"),
        ({"slices": [{"slice": "a"}]}, "slices.0.rows: the field is missing"),
        ({"curve": {"points": [], "model": "linear"}}, "curve.loss: the field is missing"),
        ({"curve": {"reason": 5}}, "curve.reason: expected a valid string"),
        ({"curve": "none"}, "curve: expected an object"),
        ({"reliability": {"coverage": "x", "bins": []}}, "reliability.coverage: expected a valid number"),
        ({"reliability": {"share_below": 0.5, "bins": [7]}}, "reliability.bins.0: expected an object"),
    ],
)
def test_an_evaluation_that_does_not_fit_is_refused_by_its_field(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tiny.write(tmp_path, evaluation=tiny.EVALUATION | change)
    model = open_artifact(tmp_path)
    assert model.contract == tiny.CONTRACT
    with pytest.raises(ArtifactError) as caught:
        model.evaluation  # noqa: B018
    assert str(caught.value).startswith(f"{tmp_path / EVALUATION}: {message}")
    assert str(caught.value).endswith("; restore the model from its source, or train it again")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is missing"), (b"{", "is not JSON"), (b"\xff", "is not JSON")]
)
def test_a_file_that_is_not_there_or_not_json_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / EVALUATION).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{EVALUATION} {message}"):
        Evaluation.read(tmp_path / EVALUATION)


def test_a_document_that_is_no_object_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"^m/evaluation\.json: expected an object; train it again$"):
        Evaluation.parse([], "m/evaluation.json", "train it again")
