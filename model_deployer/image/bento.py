"""The service and a model as a Bento: in BentoML's store, or as the folder bento/ of a handoff package."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import yaml

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.system.command import Completed, last_line, run

#: Where a Bento keeps the exact versions of its packages, and what makes an image of it.
REQUIREMENTS, DOCKERFILE = Path("env/python/requirements.txt"), Path("env/docker/Dockerfile")

#: service.py, configuration.yaml and bentofile.yaml, as they are at the top of a checkout.
BUNDLE = Path(__file__).resolve().parents[1] / "bundle"

#: The parts of this package that a server needs.
_ROOMS = ("contract", "serving", "system", "image")


def build_bento(artifact: Artifact, options: Sequence[str] = ()) -> str:
    """Build the Bento of a model of the store in BentoML's store, and return its tag.

    Args:
        artifact: The model, which the Bento pins.
        options: More options of `bentoml build`.

    Raises:
        EnvironmentFault: BentoML cannot build it.
    """
    completed = _build(artifact, [*options, "--output", "tag"])
    return completed.stdout.strip().splitlines()[-1].removeprefix("__tag__:")


def write_bento(artifact: Artifact, folder: Path) -> None:
    """Build the Bento of a model of the store into ``folder``, the model inside it.

    The same model gives the same files.

    Raises:
        EnvironmentFault: BentoML cannot build it.
    """
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        home = Path(name)
        (home / "models").symlink_to(artifact.path.parent.parent)
        _build(artifact, ["--version", artifact.manifest.version], BENTOML_HOME=str(home))
        (built,) = home.glob("bentos/*/*/bento.yaml")
        shutil.copytree(built.parent, folder)
    model = folder / "models" / artifact.manifest.name / artifact.manifest.version
    shutil.copytree(artifact.path, model)
    (model.parent / "latest").write_text(artifact.manifest.version, encoding="utf-8")
    _date(folder / "bento.yaml", artifact.manifest.created)


def _build(artifact: Artifact, options: Sequence[str], **variables: str) -> Completed:
    command = [sys.executable, "-m", "bentoml", "build", "--arg", f"model={artifact.tag}", *options]
    with _build_context() as context:
        completed = run(command, context, os.environ | {"BENTOML_DO_NOT_TRACK": "1"} | variables)
    if completed.returncode:
        raise EnvironmentFault(f"the Bento of {artifact.tag} cannot be built: {last_line(completed)}")
    return completed


@contextmanager
def _build_context() -> Iterator[Path]:
    """A folder that looks to BentoML like the top of a checkout; it needs none, so a wheel can build Bentos, too."""
    package = BUNDLE.parent
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        context = Path(name)
        shutil.copytree(BUNDLE, context, dirs_exist_ok=True)
        (context / package.name).mkdir()
        shutil.copyfile(package / "__init__.py", context / package.name / "__init__.py")
        for room in _ROOMS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package / room, context / package.name / room, ignore=ignored)
        yield context


def _date(description: Path, created: datetime) -> None:
    """A Bento is as old as its model: what was built twice differs in nothing."""
    bento = yaml.safe_load(description.read_text(encoding="utf-8"))
    text = yaml.safe_dump(bento | {"creation_time": created.isoformat()}, sort_keys=False, allow_unicode=True)
    description.write_text(text, encoding="utf-8")
