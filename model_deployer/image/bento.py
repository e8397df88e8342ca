"""bento/: the service and the model as one Bento, which `bentoml serve "$PWD/bento"` runs as it lies there."""

import os
import shutil
import sys
import tempfile
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import yaml

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.system.command import last_line, run

#: Where a Bento keeps the exact versions of its packages, and what makes an image of it.
REQUIREMENTS, DOCKERFILE = Path("env/python/requirements.txt"), Path("env/docker/Dockerfile")


def write_bento(artifact: Artifact, folder: Path) -> None:
    """Build the Bento of a model of the store into ``folder``, the model inside it.

    The same model gives the same files.

    Raises:
        EnvironmentFault: The service's source is not at hand, or BentoML cannot build it.
    """
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        home = Path(name)
        (home / "models").symlink_to(artifact.path.parent.parent)
        (built,) = _build(artifact, home).glob("bentos/*/*/bento.yaml")
        shutil.copytree(built.parent, folder)
    model = folder / "models" / artifact.manifest.name / artifact.manifest.version
    shutil.copytree(artifact.path, model)
    (model.parent / "latest").write_text(artifact.manifest.version, encoding="utf-8")
    _date(folder / "bento.yaml", artifact.manifest.created)


def _build(artifact: Artifact, home: Path) -> Path:
    named = ["--arg", f"model={artifact.tag}", "--version", artifact.manifest.version]
    command = [sys.executable, "-m", "bentoml", "build", *named, "--output", "tag"]
    environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "1"}
    done = run(command, _source(), environment)
    if done.returncode:
        raise EnvironmentFault(f"the Bento of {artifact.tag} cannot be built: {last_line(done)}")
    return home


def _source() -> Path:
    """The folder of service.py and bentofile.yaml."""
    found = find_spec("service")
    folder = Path(found.origin).parent if found and found.origin else Path()
    if not (folder / "bentofile.yaml").is_file():
        raise EnvironmentFault(
            "the source of the service is not installed with the package: "
            "install model-deployer from a checkout, with `pip install -e .`"
        )
    return folder


def _date(description: Path, created: datetime) -> None:
    """A Bento is as old as its model: what was built twice differs in nothing."""
    bento = yaml.safe_load(description.read_text(encoding="utf-8"))
    text = yaml.safe_dump(bento | {"creation_time": created.isoformat()}, sort_keys=False, allow_unicode=True)
    description.write_text(text, encoding="utf-8")
