from collections.abc import Iterator

import pytest

from model_deployer.contract.artifact import Artifact, Golden, open_artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import CheckFailed
from model_deployer.handoff.sample_requests import collect_samples, wrong_requests
from model_deployer.package.samples import answers_match
from tests.support import tiny
from tests.support.processes import Server


def test_a_server_is_asked_for_every_sort_of_answer(server: Server) -> None:
    artifact = open_artifact(server.model)
    samples = collect_samples(server.url, artifact)
    assert [sample.case for sample in samples.golden] == ["example"]
    assert {sample.status for sample in samples.invalid} == {400, 415, 422}
    codes = {error["code"] for sample in samples.invalid for error in sample.answer.get("errors", [])}
    assert codes >= {
        "missing_field", "not_nullable", "unknown_field", "wrong_type", "not_an_integer", "out_of_range",
        "unknown_category", "invalid_datetime", "wrong_length",
    }  # fmt: skip
    assert all("request_id" not in sample.answer for sample in samples.invalid)
    strict = artifact.manifest.model_copy(update={"tolerance": 0.0})
    opposite = _Opposite(artifact.path, strict)
    with pytest.raises(CheckFailed, match="answer to the golden request 'example' differs from the model's"):
        collect_samples(server.url, opposite)


class _Opposite(Artifact):
    """A model that expects the opposite answers."""

    def golden(self) -> Iterator[Golden]:
        for case in super().golden():
            probabilities = {label: 1 - value for label, value in case.prediction["probabilities"].items()}
            yield Golden(case.case, case.row, case.prediction | {"probabilities": probabilities})


def test_a_field_may_be_called_like_the_one_that_no_model_has() -> None:
    feature = tiny.FEATURES[1].model_copy(update={"name": "no_such_field", "example": 1.0})
    contract = Contract(features=(feature,), output=tiny.CONTRACT.output)
    requests = wrong_requests(contract)
    unknown = [request["request"]["rows"][0] for request in requests if "does not have" in request["case"]]
    assert unknown == [{"no_such_field": 1.0, "no_such_field_0": 1}]


def test_answers_are_the_same_within_the_tolerance() -> None:
    assert answers_match({"a": [1.0, "x"]}, {"a": [1.000_001, "x"]}, 0.0)
    assert not answers_match({"a": 1.0}, {"a": 1.1}, 0.01)
    assert not answers_match({"a": 1.0}, {"b": 1.0}, 1.0)
    assert not answers_match([1.0], [1.0, 1.0], 1.0)
    assert not answers_match(1.0, "1.0", 1.0)
    assert answers_match(None, None, 0.0)
