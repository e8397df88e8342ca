"""Models in the BentoML model store: each has a tag ``name:version``, never changes, and is complete or absent."""

import errno
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bentoml
import yaml
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore

from model_deployer.contract import ledger
from model_deployer.contract.artifact import MANIFEST, Artifact, Manifest, open_artifact, sha256
from model_deployer.contract.errors import AmbiguousModel, ArtifactError, EnvironmentFault, ModelNotFound
from model_deployer.contract.versions import Version

#: The label of this project's models, which distinguishes them from other models in the same store.
LABEL = {"made-by": "model-deployer"}


def versions(name: str) -> list[Version]:
    """Return the versions of model ``name``, the lowest first; empty if the store does not hold this model."""
    return sorted(version for model, version in _stored_versions() if model == name)


def names() -> list[str]:
    """Return the names of the models in the store, sorted."""
    return sorted({model for model, _ in _stored_versions()})


def resolve(tag: str | None = None) -> str:
    """Return the exact tag ``name:version`` of a model.

    Args:
        tag: ``name:version``; ``name@alias``; ``name`` or ``name:latest`` for its highest version; or None for the
            highest version of the only model in the store.

    Raises:
        ModelNotFound: if the store does not hold the model, or the model does not have the alias; the message lists
            the models, versions and aliases that there are.
        AmbiguousModel: if ``tag`` is None and the store holds several models.
        ArtifactError: if the ledger with the aliases was altered.
    """
    name, at, alias = (tag or _only_name()).partition("@")
    version = ""
    if not at:
        name, _, version = name.partition(":")
    stored_versions = versions(name)
    if not stored_versions:
        known = ", ".join(names())
        contents = f"it holds {known}" if known else "it is empty; train a model with `deployer train model.yaml`"
        raise ModelNotFound(f"the store does not hold a model '{name}'; {contents}")
    if at:
        return _resolve_alias(name, alias, stored_versions)
    if not version or version == "latest":
        return f"{name}:{stored_versions[-1]}"
    if version not in map(str, stored_versions):
        known = ", ".join(map(str, stored_versions))
        raise ModelNotFound(f"the store does not hold version '{version}' of '{name}'; it holds {known}")
    return f"{name}:{version}"


def load(tag: str | None = None) -> Artifact:
    """Open a model of the store and verify all its files.

    Args:
        tag: As for :func:`resolve`.

    Raises:
        ModelNotFound, AmbiguousModel: as :func:`resolve`.
        ArtifactError: as :func:`resolve`; if a file is missing or altered, or if the folder holds a model with a
            different tag.
    """
    exact = resolve(tag)
    model = bentoml.models.get(exact)
    folder = Path(model.path)
    if (folder / MANIFEST).exists() and sha256(folder / MANIFEST) != model.info.metadata.get("manifest_sha256"):
        raise ArtifactError(f"{folder}: {MANIFEST} was altered after training; restore the model, or train it again")
    artifact = open_artifact(folder)
    if artifact.tag != exact:
        raise ArtifactError(f"{folder} holds {artifact.tag} instead of {exact}; restore the model from its source")
    return artifact


def latest(name: str) -> Artifact | None:
    """Return the highest version of model ``name``, or None if the store does not hold this model.

    Raises:
        ArtifactError: as :func:`load`.
    """
    return load(name) if versions(name) else None


def save(folder: Path, manifest: Manifest) -> str:
    """Copy a sealed folder into the store and return its tag.

    The copy is written next to the store and then renamed into it (rename is atomic, POSIX.1-2017), so that a full disk
    or a killed process does not change the store.

    Args:
        folder: The model's files, with a manifest from :func:`contract.artifact.seal`.
        manifest: The content of this manifest.

    Raises:
        EnvironmentFault: if the disk is full, or if the store already holds this version.
    """
    tag = f"{manifest.name}:{manifest.version}"
    store = _store_path()
    try:
        with _staging(store) as staging:
            metadata = {"manifest_sha256": sha256(folder / MANIFEST), "format": manifest.format}
            with bentoml.models.create(tag, labels=LABEL, metadata=metadata, _model_store=ModelStore(staging)) as model:
                shutil.copytree(folder, model.path, dirs_exist_ok=True, copy_function=shutil.copyfile)
            model_folder = store / manifest.name
            model_folder.mkdir(parents=True, exist_ok=True)
            staged = staging / manifest.name / manifest.version
            # A temporary folder is readable by its owner only; servers must be able to read the store.
            staged.chmod(model_folder.stat().st_mode)
            staged.rename(model_folder / manifest.version)
            _point_latest(model_folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise EnvironmentFault(
                f"{store} already holds {tag}, and a version never changes; train again to save the next version"
            ) from None
        reason = error.strerror or "not every file could be written"
        raise EnvironmentFault(f"cannot save {tag} in {store}: {reason}; the store is unchanged") from None
    return tag


def remember_source(tag: str, spec: Path) -> None:
    """Store the path of the model.yaml of a model, in a file next to the store that is not part of the model."""
    file = _source_file(tag)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(str(spec.absolute()), encoding="utf-8")


def source(tag: str) -> Path | None:
    """Return the path of the model.yaml that a model was trained from on this machine, or None if it is not known."""
    file = _source_file(tag)
    return Path(file.read_text(encoding="utf-8")) if file.is_file() else None


def trials_folder() -> Path:
    """Return the folder of the trials of candidates, next to the store; it may not exist yet."""
    return _store_path().parent / "model-deployer-trials"


def aliases(name: str) -> dict[str, str]:
    """Return the version that each alias of a model names, which the store may not hold any more.

    Raises:
        ArtifactError: if the ledger of the model was altered.
    """
    return ledger.aliases(ledger.read(ledger_file(name)))


def ledger_file(name: str) -> Path:
    """Return the file with the aliases of a model and their history, next to the store; it may not exist yet."""
    return _store_path().parent / "model-deployer-aliases" / f"{name}.jsonl"


def _resolve_alias(name: str, alias: str, stored_versions: Sequence[Version]) -> str:
    known_aliases, versions_text = aliases(name), ", ".join(map(str, stored_versions))
    version = known_aliases.get(alias)
    if version is None:
        listed = ", ".join(f"{known} ({named})" for known, named in sorted(known_aliases.items()))
        raise ModelNotFound(
            f"'{name}' has no alias '{alias}'; it has the aliases {listed} and the versions {versions_text}"
            if listed
            else f"'{name}' has no aliases yet, but the versions {versions_text}; "
            f"`deployer promote {name}:{stored_versions[-1]}` makes that version its champion"
        )
    if version not in map(str, stored_versions):
        raise ModelNotFound(
            f"{name}@{alias} is version {version}, which the store does not hold any more; it holds {versions_text}; "
            f"restore that version, or set the alias to another one with `deployer promote` or `deployer rollback`"
        )
    return f"{name}:{version}"


def _source_file(tag: str) -> Path:
    return _store_path().parent / "model-deployer-sources" / tag.replace(":", "-")


def _point_latest(model_folder: Path) -> None:
    """Point BentoML's tag `latest`, a file, to the highest version; BentoML itself points it to the last saved one."""
    highest = max(versions(model_folder.name))
    pointer = model_folder / f".latest-{uuid.uuid4().hex}"
    pointer.write_text(str(highest))
    pointer.replace(model_folder / "latest")


@contextmanager
def _staging(store: Path) -> Iterator[Path]:
    """Create a temporary folder on the store's file system; remove folders of killed saves after a day."""
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


def _stored_versions() -> Iterator[tuple[str, Version]]:
    """Yield name and version of this project's models.

    `bentoml.models.list` is not used, since it fails if any model in the store is broken.
    """
    for info in _store_path().glob("*/*/model.yaml"):
        try:
            labels = yaml.safe_load(info.read_bytes())["labels"] or {}
            version = Version.parse(info.parent.name)
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            continue
        if LABEL.items() <= labels.items():
            yield info.parent.parent.name, version


def _only_name() -> str:
    model_names = names()
    if not model_names:
        raise ModelNotFound("the model store is empty; train a model with `deployer train model.yaml` first")
    if len(model_names) > 1:
        raise AmbiguousModel(
            f"the store holds several models ({', '.join(model_names)}); name one of them, as name or name:version"
        )
    return model_names[0]
