"""Models in the BentoML model store: ``name:version``, immutable, and complete or absent."""

import errno
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bentoml
import yaml
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore

from model_deployer.contract.artifact import MANIFEST, Artifact, Manifest, open_artifact, sha256
from model_deployer.contract.errors import AmbiguousModel, ArtifactError, EnvironmentFault, ModelNotFound
from model_deployer.contract.versions import Version

#: The label that tells our models from others in the same store.
LABEL = {"made-by": "model-deployer"}


def versions(name: str) -> list[Version]:
    """The versions of model ``name``, the lowest first; empty where there is none."""
    return sorted(version for model, version in _ours() if model == name)


def names() -> list[str]:
    """The names of the models in the store, sorted."""
    return sorted({model for model, _ in _ours()})


def resolve(tag: str | None = None) -> str:
    """The exact ``name:version`` meant by ``name:version``, ``name``, or nothing at all.

    A name means its highest semantic version; nothing means the one model that the store holds.

    Raises:
        ModelNotFound: No such model; the message lists those there are.
        AmbiguousModel: Nothing was named and there are several models.
    """
    name, _, version = (tag or _only_name()).partition(":")
    there = versions(name)
    if not there:
        known = ", ".join(names()) or "nothing yet: train a model with `deployer train model.yaml`"
        raise ModelNotFound(f"no model '{name}' in the store, which holds {known}")
    if not version or version == "latest":
        return f"{name}:{there[-1]}"
    if version not in map(str, there):
        raise ModelNotFound(f"no version '{version}' of '{name}'; there is {', '.join(map(str, there))}")
    return f"{name}:{version}"


def load(tag: str | None = None) -> Artifact:
    """Open a model of the store after verifying every file of it.

    Raises:
        ModelNotFound, AmbiguousModel: As :func:`resolve`.
        ArtifactError: A file is missing or altered, or the folder holds another model than its tag says.
    """
    exact = resolve(tag)
    model = bentoml.models.get(exact)
    folder = Path(model.path)
    if (folder / MANIFEST).exists() and sha256(folder / MANIFEST) != model.info.metadata.get("manifest_sha256"):
        raise ArtifactError(f"{folder}: {MANIFEST} was altered after training; restore the model, or train it again")
    artifact = open_artifact(folder)
    if artifact.tag != exact:
        raise ArtifactError(f"{folder} holds {artifact.tag}, not {exact}; restore the model from its source")
    return artifact


def latest(name: str) -> Artifact | None:
    """The highest version of ``name``; None where there is no such model.

    Raises:
        ArtifactError: As :func:`load`.
    """
    return load(name) if versions(name) else None


def save(folder: Path, manifest: Manifest) -> str:
    """Put a sealed folder into the store and return its tag.

    The copy is made beside the store and renamed into it (rename is atomic, POSIX.1-2017), so that a full disk or a
    killed process leaves the store as it was.

    Raises:
        EnvironmentFault: No room on the disk, or the version was taken in the meantime.
    """
    tag = f"{manifest.name}:{manifest.version}"
    store = _store_path()
    try:
        with _staging(store) as staging:
            metadata = {"manifest_sha256": sha256(folder / MANIFEST), "format": manifest.format}
            with bentoml.models.create(tag, labels=LABEL, metadata=metadata, _model_store=ModelStore(staging)) as model:
                shutil.copytree(folder, model.path, dirs_exist_ok=True, copy_function=shutil.copyfile)
            home = store / manifest.name
            home.mkdir(parents=True, exist_ok=True)
            staged = staging / manifest.name / manifest.version
            staged.chmod(home.stat().st_mode)  # a temporary folder is its owner's alone; a store is read by servers too
            staged.rename(home / manifest.version)
            _point_latest(home)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise EnvironmentFault(
                f"{tag} is in {store} already and never changes; train again, and the next version is saved"
            ) from None
        reason = error.strerror or "not every file could be written"
        raise EnvironmentFault(f"cannot save {tag} in {store}: {reason}; the store is as it was") from None
    return tag


def remember_source(tag: str, spec: Path) -> None:
    """Keep where the model.yaml of a model lies on this machine: a note beside the store, and no part of the model."""
    note = _source_note(tag)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(str(spec.absolute()), encoding="utf-8")


def source(tag: str) -> Path | None:
    """Where the model.yaml of a model lay when it was trained on this machine; None where nothing is known of it."""
    note = _source_note(tag)
    return Path(note.read_text(encoding="utf-8")) if note.is_file() else None


def _source_note(tag: str) -> Path:
    return _store_path().parent / "model-deployer-sources" / tag.replace(":", "-")


def _point_latest(home: Path) -> None:
    """BentoML keeps the tag `latest` in a file; for us it is the highest version, not the last one saved."""
    highest = max(versions(home.name))
    pointer = home / f".latest-{uuid.uuid4().hex}"
    pointer.write_text(str(highest))
    pointer.replace(home / "latest")


@contextmanager
def _staging(store: Path) -> Iterator[Path]:
    """A folder on the store's file system; what a killed save left there a day or more ago is removed."""
    root = store.parent / "model-deployer-staging"
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.iterdir():
        if leftover.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(leftover, ignore_errors=True)
    folder = root / uuid.uuid4().hex
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _store_path() -> Path:
    return Path(BentoMLContainer.model_store.get()._path)


def _ours() -> Iterator[tuple[str, Version]]:
    """Names and versions of our models; `bentoml.models.list` fails as a whole on one broken model of somebody else."""
    for info in _store_path().glob("*/*/model.yaml"):
        try:
            labels = yaml.safe_load(info.read_bytes())["labels"] or {}
            version = Version.parse(info.parent.name)
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            continue
        if LABEL.items() <= labels.items():
            yield info.parent.parent.name, version


def _only_name() -> str:
    there = names()
    if not there:
        raise ModelNotFound("the model store is empty; train a model with `deployer train model.yaml` first")
    if len(there) > 1:
        raise AmbiguousModel(
            f"the store holds several models ({', '.join(there)}): name one of them, as name or name:version"
        )
    return there[0]
