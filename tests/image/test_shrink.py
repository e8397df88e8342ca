"""Compiled modules without their debugging symbols."""

import shutil
import subprocess
import sys
from pathlib import Path

import uvloop

from tests.support.processes import ROOT

SHRINK = ROOT / "model_deployer/image/shrink.py"


def test_a_module_without_its_symbols_is_smaller_and_works(tmp_path: Path) -> None:
    original = Path(uvloop.__file__).parent
    shutil.copytree(original, tmp_path / "uvloop")
    (tmp_path / "uvloop/text.so").write_text("not a module")
    subprocess.run([sys.executable, SHRINK, tmp_path], check=True)
    (module,) = (tmp_path / "uvloop").glob("loop.*.so")
    assert module.stat().st_size < (original / module.name).stat().st_size / 2
    assert (tmp_path / "uvloop/text.so").read_text() == "not a module"
    script = "import asyncio, uvloop; print(uvloop.__file__, uvloop.run(asyncio.sleep(0, 7)))"
    completed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert completed.stdout.split() == [str(tmp_path / "uvloop/__init__.py"), "7"]
