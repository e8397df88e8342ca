"""A handoff package on disk, with the files that deployment definitions are computed from."""

from pathlib import Path

from model_deployer.contract.artifact import Artifact, write_json
from model_deployer.handoff import specification
from model_deployer.package import package_data
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi
from model_deployer.serving.protocols.registry import PROTOCOLS
from tests.support import tiny
from tests.support.observed import MEASURED


def write(folder: Path) -> Path:
    """Write the data of a package of the tiny model, including its OpenAPI document."""
    artifact = Artifact(folder / "files", tiny.write(folder / "files"))
    package = folder / "package"
    for name in (
        package_data.METADATA,
        package_data.MEASUREMENTS,
        package_data.SAMPLES,
        package_data.CLIENTS,
        package_data.SPECIFICATION,
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
    package_data.write_metadata(artifact, True, package)
    write_json(package / package_data.PARITY, {"formats": []})
    write_json(package / package_data.MEASUREMENTS, MEASURED.model_dump(mode="json"))
    write_json(
        package / package_data.SAMPLES, {"model": {}, "tolerance": 1e-5, "golden": [], "edge": [], "invalid": []}
    )
    (package / package_data.CLIENTS).write_text("[]", encoding="utf-8")
    write_json(package / package_data.CHANGES, {"versions": []})
    predictor = Predictor(artifact, Settings())
    document = openapi.document(artifact, protocols=[protocol(predictor) for protocol in PROTOCOLS.values()])
    specification.write(document, package)
    return package
