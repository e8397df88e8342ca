"""Models go to real registries and come back."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from model_deployer.contract import signature, store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import ArtifactError, CheckFailed, EnvironmentFault, ModelNotFound
from model_deployer.distribution import descriptor, image_signature
from model_deployer.distribution.image_reference import ImageReference
from model_deployer.distribution.image_registry import ImageRegistry
from model_deployer.distribution.pull import pull
from model_deployer.distribution.push import push
from model_deployer.package.model_sbom import MEDIA_TYPE
from tests.distribution.registries import login, password_section, registry, token_section
from tests.support import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def artifact(home: Path, tmp_path: Path) -> Artifact:
    return store.load(tiny.save(tmp_path / "files"))


@pytest.fixture
def address(host: str, request: pytest.FixtureRequest) -> str:
    """The address of a repository that no other test uses."""
    return f"oci://{host}/models/{request.node.name.split('[')[0]}"


def pushed(artifact: Artifact, address: str, key: ec.EllipticCurvePrivateKey | None = None) -> ImageReference:
    reference = ImageReference.parse(address)
    with ImageRegistry(reference) as images:
        return push(artifact, reference, images, key)


def pulled(address: str | ImageReference, key: ec.EllipticCurvePublicKey | None = None) -> str:
    reference = ImageReference.parse(str(address))
    with ImageRegistry(reference) as images:
        return pull(reference, images, key)


def forget(artifact: Artifact, tmp_path: Path) -> None:
    """Move a model out of the store."""
    artifact.path.rename(tmp_path / "moved")


def test_a_model_comes_back_as_it_was(artifact: Artifact, address: str, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = tmp_path / "key.pem"
    pem.write_bytes(_pem(key))
    signature.sign(artifact, pem)
    reference = pushed(artifact, address)
    forget(artifact, tmp_path)
    for source in (reference, f"{address}:1.0.0"):
        assert pulled(source) == "tiny:1.0.0"
    back = store.load("tiny:1.0.0")
    assert back.manifest == artifact.manifest
    assert (back.path / signature.FILE).read_bytes() == (tmp_path / "moved" / signature.FILE).read_bytes()


def test_a_second_push_sends_no_part_and_changes_nothing(
    artifact: Artifact, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    first = pushed(artifact, address, key)
    methods: list[str] = []
    send = httpx.Client.request

    def counted(client: httpx.Client, method: str, *arguments: Any, **options: Any) -> httpx.Response:
        methods.append(method)
        return send(client, method, *arguments, **options)

    monkeypatch.setattr(httpx.Client, "request", counted)
    assert pushed(artifact, address, key) == first
    assert "HEAD" in methods
    assert "POST" not in methods  # each upload begins with one
    with ImageRegistry(first) as images:
        assert first.digest
        assert len(list(images.attached(first.digest, image_signature.BUNDLE))) == 1
        assert len(list(images.attached(first.digest, MEDIA_TYPE))) == 1


def test_a_version_in_the_registry_never_changes(artifact: Artifact, address: str, tmp_path: Path) -> None:
    first = pushed(artifact, address)
    other = store.load(tiny.save(tmp_path / "other", "tiny", "1.0.1"))
    with pytest.raises(CheckFailed, match="a version never changes"):
        pushed(other, f"{address}:1.0.0")
    with ImageRegistry(first) as images:
        assert descriptor.digest(images.get_manifest("1.0.0")) == first.digest
    assert pushed(other, address) != first


def test_a_version_in_the_store_never_changes(artifact: Artifact, address: str, tmp_path: Path) -> None:
    reference = pushed(artifact, address)
    forget(artifact, tmp_path)
    tiny.save(tmp_path / "other", opposite=True)
    with pytest.raises(CheckFailed, match=r"the store has another model tiny:1\.0\.0"):
        pulled(reference)


def test_only_the_owner_of_the_key_has_signed(artifact: Artifact, address: str, tmp_path: Path) -> None:
    key, other = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    reference = pushed(artifact, address)
    forget(artifact, tmp_path)
    with pytest.raises(ArtifactError, match="has not signed"):
        pulled(reference, key.public_key())
    (tmp_path / "moved").rename(artifact.path)
    assert pushed(artifact, address, key) == reference
    forget(artifact, tmp_path)
    with pytest.raises(ArtifactError, match="has not signed"):
        pulled(reference, other.public_key())
    assert pulled(f"{address}:1.0.0", key.public_key()) == "tiny:1.0.0"


def test_the_signature_of_another_image_does_not_count(artifact: Artifact, address: str, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    reference = pushed(artifact, address)
    with ImageRegistry(reference) as images:
        index = images.get_manifest("1.0.0")
        bundle = image_signature.sign("sha256:" + 64 * "0", key)
        for content in (bundle, b"{}", b"no JSON"):
            images.attach(descriptor.of_bytes(index, descriptor.INDEX), image_signature.BUNDLE, content, {})
    forget(artifact, tmp_path)
    with pytest.raises(ArtifactError, match="has not signed"):
        pulled(reference, key.public_key())


def test_the_bill_of_materials_names_each_file(artifact: Artifact, address: str) -> None:
    reference = pushed(artifact, address)
    with ImageRegistry(reference) as images:
        assert reference.digest
        (document,) = map(json.loads, images.attached(reference.digest, MEDIA_TYPE))
    assert {each["name"] for each in document["metadata"]["component"]["components"]} == set(artifact.manifest.files)


def test_other_images_are_refused(host: str, address: str, home: Path) -> None:
    reference = ImageReference.parse(address)
    with ImageRegistry(reference) as images:
        images.put_blob(descriptor.of_bytes(b"{}", descriptor.CONFIG), b"{}")
        images.put_blob(descriptor.of_bytes(b"x", "application/x"), b"x")
        for tag, layer in (("other", "application/x"), ("broken", descriptor.LAYER)):
            manifest = {
                "schemaVersion": 2,
                "mediaType": descriptor.MANIFEST,
                "config": descriptor.of_bytes(b"{}", descriptor.CONFIG),
                "layers": [descriptor.of_bytes(b"x", layer)],
            }
            images.put_manifest(json.dumps(manifest).encode(), descriptor.MANIFEST, tag)
            with pytest.raises(ArtifactError, match="is not the image of a model"):
                pulled(f"{address}:{tag}")
    with pytest.raises(ModelNotFound, match="has no image"):
        pulled(f"{address}:missing")
    assert store.names() == []


def test_a_registry_that_sends_other_bytes_is_found_out(
    tmp_path_factory: pytest.TempPathFactory, artifact: Artifact, tmp_path: Path
) -> None:
    folder = tmp_path_factory.mktemp("registry")
    with registry(folder) as host:
        reference = pushed(artifact, f"oci://{host}/models/altered")
        largest = max((folder / "data").rglob("data"), key=lambda file: file.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[-2000] ^= 1
        largest.write_bytes(content)
        forget(artifact, tmp_path)
        with pytest.raises(ArtifactError, match="sent other bytes"):
            pulled(reference)
    assert store.names() == []


@pytest.mark.parametrize("kind", ["password", "token"])
def test_a_login_is_used(
    tmp_path_factory: pytest.TempPathFactory,
    artifact: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    folder = tmp_path_factory.mktemp("registry")
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with token_section(folder) as tokens:
        auth = tokens if kind == "token" else password_section(folder)
        with registry(folder, auth) as host:
            address = f"oci://{host}/models/secret"
            with pytest.raises(EnvironmentFault, match=f"log in with `docker login {host}`"):
                pushed(artifact, address)
            login(tmp_path / "docker", host)
            reference = pushed(artifact, address)
            forget(artifact, tmp_path)
            assert pulled(reference) == "tiny:1.0.0"


def test_a_registry_that_is_down_is_named(artifact: Artifact) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(EnvironmentFault, match=f"the registry {host} cannot be used"):
        pushed(artifact, f"oci://{host}/churn")


def test_a_registry_that_hangs_is_given_up(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_deployer.distribution.image_registry._TIMEOUT", httpx.Timeout(0.5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(EnvironmentFault, match=f"the registry {host} does not answer"):
            pushed(artifact, f"oci://{host}/churn")


def test_what_is_no_registry_is_named(artifact: Artifact) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=_answer_nonsense, args=[server], daemon=True).start()
        with pytest.raises(EnvironmentFault, match=f"the registry {host} "):
            pushed(artifact, f"oci://{host}/churn")


def _answer_nonsense(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<p/>\n")


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
