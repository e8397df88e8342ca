"""A handoff package on disk, as far as definitions are made of it."""

from pathlib import Path

import yaml

from model_deployer.contract.artifact import Artifact, write_json
from model_deployer.package import facts
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi
from model_deployer.serving.protocols.registry import PROTOCOLS
from tests.support import tiny
from tests.support.observed import MEASURED


def write(folder: Path) -> Path:
    """Write the facts of a package of the tiny model, its OpenAPI document among them."""
    artifact = Artifact(folder / "files", tiny.write(folder / "files"))
    package = folder / "package"
    for name in (facts.METADATA, facts.MEASUREMENTS, facts.SAMPLES, facts.CLIENTS, facts.SPECIFICATION):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
    facts.write_metadata(artifact, True, package)
    write_json(package / facts.PARITY, {"formats": []})
    write_json(package / facts.MEASUREMENTS, MEASURED.model_dump(mode="json"))
    write_json(package / facts.SAMPLES, {"model": {}, "tolerance": 1e-5, "golden": [], "edge": [], "invalid": []})
    (package / facts.CLIENTS).write_text("[]", encoding="utf-8")
    write_json(package / facts.CHANGES, {"versions": []})
    predictor = Predictor(artifact, Settings())
    document = openapi.document(artifact, protocols=[protocol(predictor) for protocol in PROTOCOLS.values()])
    (package / facts.SPECIFICATION).write_text(yaml.safe_dump(document), encoding="utf-8")
    return package
