"""The OpenAPI document in two parts: the model's own API, and the routes for clients of other servers."""

from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from model_deployer.contract.artifact import Artifact
from model_deployer.handoff.api_parts import split
from model_deployer.package.package_data import OTHER_SPECIFICATION, OWN_ENDPOINTS, SPECIFICATION, read_package_data
from model_deployer.serving.protocols import openapi
from tests.support import tiny, written_package


def endpoints(document: dict[str, dict[str, dict[str, object]]]) -> set[str]:
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_package.write(tmp_path_factory.mktemp("package"))


def test_parts_are_valid_and_complete(package: Path) -> None:
    own, other = (yaml.safe_load((package / name).read_text()) for name in (SPECIFICATION, OTHER_SPECIFICATION))
    assert endpoints(own) == OWN_ENDPOINTS | {"OPTIONS /"}  # of TorchServe, on the path of the web page
    assert "POST /invocations" in endpoints(other)
    assert not own["paths"].keys() & other["paths"].keys()
    for document in (own, other):
        assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert not [name for name in own["components"]["schemas"] if name.startswith(("OpenInference", "TensorFlow"))]
    assert (package / SPECIFICATION).stat().st_size < (package / OTHER_SPECIFICATION).stat().st_size / 2
    assert {f"{method} {path}" for method, path, _ in read_package_data(package).endpoints} == (
        endpoints(own) | endpoints(other)
    )


def test_a_service_without_other_protocols_has_one_part(tmp_path: Path) -> None:
    document = openapi.document(Artifact(tmp_path, tiny.write(tmp_path)))
    assert list(split(document)) == [SPECIFICATION]


def test_parts_do_not_use_references_of_yaml(package: Path) -> None:
    for name in (SPECIFICATION, OTHER_SPECIFICATION):
        assert "&id001" not in (package / name).read_text()
