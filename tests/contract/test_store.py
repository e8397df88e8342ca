import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import bentoml
import pytest

from model_deployer.contract import store
from model_deployer.contract.artifact import MANIFEST, MODEL, open_artifact
from model_deployer.contract.errors import AmbiguousModel, ArtifactError, EnvironmentFault, ModelNotFound
from tests.support import tiny
from tests.support.processes import ROOT


def test_a_saved_model_loads_again(home: Path, tmp_path: Path) -> None:
    tag = tiny.save(tmp_path)
    assert tag == "tiny:1.0.0"
    assert store.load(tag).contract == tiny.CONTRACT
    assert bentoml.models.get("tiny:latest").tag.version == "1.0.0"


def test_stored_model_has_the_permissions_of_the_store(home: Path, tmp_path: Path) -> None:
    """A stored model can be read by everyone who can read the store."""
    manifest = tiny.write(tmp_path)
    (tmp_path / MODEL).chmod(0o600)
    tmp_path.chmod(0o700)
    store.save(tmp_path, manifest)
    folder = home / "models/tiny/1.0.0"
    assert folder.stat().st_mode == folder.parent.stat().st_mode
    assert (folder / MODEL).stat().st_mode == (folder / "model.yaml").stat().st_mode


def test_name_means_its_highest_version(home: Path, tmp_path: Path) -> None:
    """A name means its highest version, whichever version was saved last."""
    for version in ("1.9.0", "1.10.0", "1.2.0"):
        tiny.save(tmp_path / version, version=version)
    assert store.resolve("tiny") == "tiny:1.10.0"
    assert store.resolve() == "tiny:1.10.0"
    assert bentoml.models.get("tiny:latest").tag.version == "1.10.0"


def test_the_latest_model_is_the_highest_version(home: Path, tmp_path: Path) -> None:
    assert store.latest("tiny") is None
    for version in ("1.10.0", "1.9.0"):
        tiny.save(tmp_path / version, version=version)
    tiny.save(tmp_path / "other", name="other", version="3.0.0")
    latest = store.latest("tiny")
    assert latest and latest.tag == "tiny:1.10.0"


def test_other_models_of_the_store_are_left_alone(home: Path, tmp_path: Path) -> None:
    with bentoml.models.create("stranger"):
        pass
    tiny.save(tmp_path)
    assert store.names() == ["tiny"]


def test_what_others_left_in_the_store_breaks_nothing(home: Path, tmp_path: Path) -> None:
    """The store holds a version of another form with our label, a model.yaml that is not YAML, and an empty folder."""
    with bentoml.models.create("tiny:final", labels=store.LABEL):
        pass
    for name, text in (("broken", "{{{"), ("empty", ""), ("null", "labels: null")):
        (home / "models" / name / "1.0.0").mkdir(parents=True)
        (home / "models" / name / "1.0.0/model.yaml").write_text(text)
    (home / "models/nothing/1.0.0").mkdir(parents=True)
    assert tiny.save(tmp_path) == "tiny:1.0.0"
    assert store.names() == ["tiny"]
    assert store.resolve() == "tiny:1.0.0"


def test_an_exported_model_is_the_same_after_its_import(home: Path, tmp_path: Path) -> None:
    tag = tiny.save(tmp_path / "files")
    bentoml.models.export_model(tag, str(tmp_path / "tiny.bentomodel"))
    bentoml.models.delete(tag)
    bentoml.models.import_model(str(tmp_path / "tiny.bentomodel"))
    assert store.load(tag).contract == tiny.CONTRACT


def test_an_empty_store_says_what_to_do(home: Path) -> None:
    with pytest.raises(ModelNotFound, match="deployer train"):
        store.resolve()


def test_two_models_have_to_be_told_apart(home: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path / "a", name="a")
    tiny.save(tmp_path / "b", name="b")
    with pytest.raises(AmbiguousModel, match="a, b"):
        store.resolve()


@pytest.mark.parametrize("tag", ["other", "other:1.0.0", "tiny:2.0.0", "tiny:abc", "../tiny"])
def test_an_unknown_tag_is_answered_with_those_there_are(home: Path, tmp_path: Path, tag: str) -> None:
    tiny.save(tmp_path)
    with pytest.raises(ModelNotFound, match=r"tiny|1\.0\.0"):
        store.resolve(tag)


def test_a_version_is_never_overwritten(home: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path / "a")
    with pytest.raises(EnvironmentFault, match=r"models already holds tiny:1\.0\.0"):
        tiny.save(tmp_path / "b")
    assert open_artifact(home / "models/tiny/1.0.0").tag == "tiny:1.0.0"


def test_a_manifest_altered_in_the_store_is_refused(home: Path, tmp_path: Path) -> None:
    tag = tiny.save(tmp_path)
    manifest = home / "models/tiny/1.0.0" / MANIFEST
    manifest.write_text(manifest.read_text().replace("A model for tests.", "Another one."))
    with pytest.raises(ArtifactError, match=f"{MANIFEST} was altered"):
        store.load(tag)


def test_a_model_under_another_tag_is_refused(home: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path)
    (home / "models/tiny/1.0.0").rename(home / "models/tiny/3.0.0")
    with pytest.raises((ArtifactError, ModelNotFound)):
        store.load("tiny:3.0.0")


def test_a_full_disk_leaves_the_store_as_it_was(home: Path, tmp_path: Path) -> None:
    """The size limit of a file (RLIMIT_FSIZE) simulates a full disk: writing fails in the middle of the copy."""
    tiny.save(tmp_path / "a")
    manifest = tiny.write(tmp_path / "b", version="1.1.0")
    (tmp_path / "b" / "large").write_bytes(b"x" * 1_000_000)
    before = sorted(path for path in (home / "models").rglob("*"))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(EnvironmentFault, match="the store is unchanged"):
            store.save(tmp_path / "b", manifest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(path for path in (home / "models").rglob("*")) == before


def test_a_killed_save_leaves_the_store_as_it_was(home: Path, tmp_path: Path) -> None:
    tiny.save(tmp_path / "a")
    before = sorted(path for path in (home / "models").rglob("*"))
    script = f"""
        import os, shutil, signal, sys
        from pathlib import Path
        from tests.support import tiny
        def die(*arguments, **options):
            copy(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        copy, shutil.copytree = shutil.copytree, die
        tiny.save(Path({str(tmp_path / "b")!r}), version="1.1.0")
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=environment, check=False, cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    assert sorted(path for path in (home / "models").rglob("*")) == before
    assert tiny.save(tmp_path / "c", version="1.1.0") == "tiny:1.1.0"
