"""The compiled form of the protocol is up to date."""

import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

from tests.support.processes import ROOT

FOLDER = ROOT / "model_deployer" / "serving" / "grpc"


def test_make_proto_was_run_after_the_last_change(tmp_path: Path) -> None:
    compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{FOLDER}", f"--descriptor_set_out={tmp_path / 'new'}"]
    subprocess.run([*compiler, "open_inference.proto"], check=True)
    read = descriptor_pb2.FileDescriptorSet.FromString
    assert read((tmp_path / "new").read_bytes()) == read((FOLDER / "open_inference.binpb").read_bytes())
