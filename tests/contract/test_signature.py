import base64
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from model_deployer.contract import signature
from model_deployer.contract.artifact import MANIFEST, Artifact, open_artifact, seal
from model_deployer.contract.errors import ArtifactError, UsageError
from tests.support import tiny
from tests.support.processes import run, serve

CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def key_pair(folder: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> tuple[Path, Path]:
    """Write a private and a public key as openssl does."""
    private, public = folder / "key.pem", folder / "key.pub"
    plain = serialization.NoEncryption()
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return key_pair(tmp_path, ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    tiny.write(tmp_path / "files", "signed")
    return open_artifact(tmp_path / "files")


@pytest.mark.parametrize("curve", CURVES)
def test_what_the_library_signs_is_verified_here_and_there(model: Artifact, tmp_path: Path, curve: str) -> None:
    private, public = key_pair(tmp_path, ec.generate_private_key(CURVES[curve]))
    signed = signature.sign(model, private)
    signature.verify(model, public)
    command = ["-m", "model_signing", "verify", "key", str(model.path), "--signature", str(signed), "--public_key"]
    completed = subprocess.run([sys.executable, *command, str(public)], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr


def test_signing_again_changes_the_key(model: Artifact, keys: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other, _ = key_pair(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    signature.sign(model, other)
    with pytest.raises(ArtifactError, match="was not signed by the owner"):
        signature.verify(model, keys[1])
    signature.sign(model, keys[0])
    signature.verify(model, keys[1])


def test_a_model_without_a_signature_is_refused(model: Artifact, keys: tuple[Path, Path]) -> None:
    with pytest.raises(ArtifactError, match=r"deployer sign signed:1\.0\.0"):
        signature.verify(model, keys[1])


def test_a_model_that_was_changed_and_sealed_again_is_refused(model: Artifact, keys: tuple[Path, Path]) -> None:
    """An attacker who can write the files can also write their hashes, but cannot create the signature."""
    signature.sign(model, keys[0])
    (model.path / "golden.jsonl").write_text("")
    (model.path / MANIFEST).unlink()
    seal(model.path, model.manifest)
    with pytest.raises(ArtifactError, match="the signature belongs to other files"):
        signature.verify(open_artifact(model.path), keys[1])


@pytest.mark.parametrize("part", ["payload", "signature", "type"])
def test_a_signature_that_was_changed_is_refused(model: Artifact, keys: tuple[Path, Path], part: str) -> None:
    file = signature.sign(model, keys[0])
    bundle = json.loads(file.read_text())
    envelope = bundle["dsseEnvelope"]
    if part == "payload":
        statement = base64.b64decode(envelope["payload"]).replace(b"model.onnx", b"model.xnno")
        envelope["payload"] = base64.b64encode(statement).decode()
    elif part == "signature":
        envelope["signatures"][0]["sig"] = base64.b64encode(b"0" * 70).decode()
    else:
        envelope["payloadType"] = "text/plain"
    file.write_text(json.dumps(bundle))
    with pytest.raises(ArtifactError, match="was not signed by the owner"):
        signature.verify(model, keys[1])


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"dsseEnvelope": {"signatures": []}}', '{"dsseEnvelope": 1}'])
def test_what_is_no_signature_is_refused(model: Artifact, keys: tuple[Path, Path], content: str) -> None:
    (model.path / signature.FILE).write_text(content)
    with pytest.raises(ArtifactError, match=r"model\.sig is not a signature"):
        signature.verify(model, keys[1])


def test_another_kind_of_key_is_refused(model: Artifact, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, rsa.generate_private_key(65537, 2048))
    with pytest.raises(UsageError, match="expected an EC private key"):
        signature.sign(model, private)
    with pytest.raises(UsageError, match="expected an EC public key"):
        signature.verify(model, public)
    with pytest.raises(UsageError, match="expected an EC public key"):
        signature.verify(model, tmp_path / "nothing")
    assert not (model.path / signature.FILE).exists()
    assert not list(model.path.glob("*.unfinished"))


@pytest.mark.slow
def test_a_server_with_a_public_key_serves_what_was_signed_alone(keys: tuple[Path, Path], tmp_path: Path) -> None:
    home, (private, public) = tiny.home(tmp_path / "home", "1.0.0"), keys
    refused = run("bentoml", "serve", BENTOML_HOME=str(home), DEPLOYER_PUBLIC_KEY_FILE=str(public))
    assert refused.returncode == 1
    assert "served:1.0.0 is not signed" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert run("deployer", "sign", "served", "--key", str(private), BENTOML_HOME=str(home)).returncode == 0
    with serve([], home, tmp_path / "log", variables={"DEPLOYER_PUBLIC_KEY_FILE": str(public)}) as server:
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code == 200


@pytest.mark.slow
def test_a_key_that_is_not_there_is_said(tmp_path: Path) -> None:
    home = tiny.home(tmp_path / "home", "1.0.0")
    completed = run("deployer", "sign", "--key", str(tmp_path / "absent"), BENTOML_HOME=str(home))
    assert completed.returncode == 3
    assert "absent: No such file" in completed.stderr
