"""The compiled form of the protocols is up to date."""

import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

from tests.support.processes import ROOT

FOLDER = ROOT / "model_deployer" / "serving" / "grpc"


def test_make_proto_was_run_after_the_last_change(tmp_path: Path) -> None:
    files = sorted(path.name for path in FOLDER.glob("*.proto"))
    options = [f"-I{FOLDER}", "--include_imports", f"--descriptor_set_out={tmp_path / 'new'}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *files], check=True)
    read = descriptor_pb2.FileDescriptorSet.FromString
    assert read((tmp_path / "new").read_bytes()) == read((FOLDER / "messages.binpb").read_bytes())
