"""Build the Bento of a model: in BentoML's store, or as the folder bento/ of a handoff package."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import yaml

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.contract.features import Image
from model_deployer.system.command import Completed, last_line, run

#: The files of a Bento that pin the exact versions of its packages, and that build its image.
REQUIREMENTS, DOCKERFILE = Path("env/python/requirements.txt"), Path("env/docker/Dockerfile")

#: The packages of a server, in a checkout and in the files that a Bento is built from.
_PACKAGES = Path("requirements/serve.txt")

#: The folder with service.py, configuration.yaml and bentofile.yaml, as at the top of a checkout.
BUNDLE = Path(__file__).resolve().parents[1] / "bundle"

#: The subpackages of model_deployer that a server needs.
_SERVER_PACKAGES = ("contract", "serving", "system", "image", "adoption/cell")

#: Modules next to these folders that they need.
_SERVER_MODULES = ("__init__.py", "adoption/__init__.py", "adoption/interface.py", "adoption/source_files.py")


def build_bento(artifact: Artifact, options: Sequence[str] = ()) -> str:
    """Build the Bento of a model in BentoML's store and return the Bento's tag.

    Args:
        artifact: A model of the store; the Bento pins its version.
        options: More options of `bentoml build`.

    Raises:
        EnvironmentFault: If BentoML cannot build it.
    """
    completed = _build(artifact, [*options, "--output", "tag"])
    return completed.stdout.strip().splitlines()[-1].removeprefix("__tag__:")


def write_bento(artifact: Artifact, folder: Path) -> None:
    """Build the Bento of a model into ``folder``, including the model itself.

    The same model gives the same files.

    Args:
        artifact: A model of the store.
        folder: The new folder of the Bento; it must not exist.

    Raises:
        EnvironmentFault: If BentoML cannot build it.
    """
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        home = Path(name)
        (home / "models").symlink_to(artifact.path.parent.parent)
        _build(artifact, ["--version", artifact.manifest.version], BENTOML_HOME=str(home))
        (description,) = home.glob("bentos/*/*/bento.yaml")
        shutil.copytree(description.parent, folder)
    model = folder / "models" / artifact.manifest.name / artifact.manifest.version
    shutil.copytree(artifact.path, model)
    (model.parent / "latest").write_text(artifact.manifest.version, encoding="utf-8")
    _set_creation_time(folder / "bento.yaml", artifact.manifest.created)


def _build(artifact: Artifact, options: Sequence[str], **variables: str) -> Completed:
    command = [sys.executable, "-m", "bentoml", "build", "--arg", f"model={artifact.tag}", *options]
    with _build_context() as context:
        if any(isinstance(feature, Image) for feature in artifact.contract.features):
            with (context / _PACKAGES).open("a", encoding="utf-8") as packages:
                packages.write(f"pillow=={version('pillow')}\n")
        completed = run(command, context, os.environ | {"BENTOML_DO_NOT_TRACK": "1"} | variables)
    if completed.returncode:
        raise EnvironmentFault(f"BentoML could not build the Bento of {artifact.tag}: {last_line(completed)}")
    return completed


def server_files() -> dict[str, Path]:
    """Return the files of the project that a server needs, by their paths in a Bento's ``src``."""
    package = BUNDLE.parent
    folders = [(BUNDLE, ""), *((package / part, f"{package.name}/{part}/") for part in _SERVER_PACKAGES)]
    files = {f"{package.name}/{module}": package / module for module in _SERVER_MODULES}
    for folder, prefix in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[prefix + path.relative_to(folder).as_posix()] = path
    return files


@contextmanager
def _build_context() -> Iterator[Path]:
    """Yield a folder with the layout of a checkout, so that an installed wheel can build Bentos, too."""
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        for path, source in server_files().items():
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, Path(name) / path)
        yield Path(name)


def _set_creation_time(description: Path, created: datetime) -> None:
    """Date a Bento like its model, so that two builds of the same model are equal."""
    bento = yaml.safe_load(description.read_text(encoding="utf-8"))
    text = yaml.safe_dump(bento | {"creation_time": created.isoformat()}, sort_keys=False, allow_unicode=True)
    description.write_text(text, encoding="utf-8")
