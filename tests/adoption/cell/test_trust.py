import hashlib
import subprocess
from pathlib import Path

import pytest

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.trust import copy_trusted, digest_of


def make_source(folder: Path) -> Path:
    source = folder / "source"
    (source / "code").mkdir(parents=True)
    (source / "model.pkl").write_bytes(b"model")
    (source / "code" / "train.py").write_text("pass\n")
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "train.pyc").write_bytes(b"x")
    return source


def test_digests_are_those_of_sha256sum(tmp_path: Path) -> None:
    source = make_source(tmp_path)
    assert digest_of(source / "model.pkl") == f"sha256:{hashlib.sha256(b'model').hexdigest()}"
    listed = subprocess.run(["sha256sum", "model.pkl", "code/train.py"], cwd=source, check=True, capture_output=True)
    assert digest_of(source) == f"sha256:{hashlib.sha256(listed.stdout).hexdigest()}"


def test_a_copy_is_made_of_what_is_trusted(tmp_path: Path) -> None:
    source, target = make_source(tmp_path), tmp_path / "target"
    target.mkdir()
    copy = copy_trusted(source, target, digest_of(source))
    assert sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*.*")) == ["code/train.py", "model.pkl"]
    (source / "code" / "train.py").write_text("import os\n")
    with pytest.raises(CellError, match=f"pass --trust {digest_of(source)}"):
        copy_trusted(source, tmp_path / "other", digest_of(copy))
    model = copy_trusted(source / "model.pkl", target, digest_of(source / "model.pkl"))
    assert model.read_bytes() == b"model"
