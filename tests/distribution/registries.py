"""Real registries on this machine, open, with a password or with tokens: Debian's package docker-registry."""

import base64
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from typing_extensions import override

from tests.support.processes import free_port, until

USER, PASSWORD = "ann", "open sesame"

#: The line of htpasswd for both, with bcrypt.
_HTPASSWD = "ann:$2b$04$KIaN9DvnbMScgfHaD13K3eMKyxz0A8EO50M.zKshoFmAaAwkmLEaW\n"

_ISSUER, _SERVICE = "tests", "registry"


@contextmanager
def registry(folder: Path, auth: dict[str, Any] | None = None) -> Iterator[str]:
    """Start a registry with a store in a folder, and yield its host and port.

    Args:
        folder: An empty folder.
        auth: The section ``auth`` of its configuration; None for a registry without a login.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("the registry is Debian's package docker-registry")
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config | ({"auth": auth} if auth else {})))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        until(lambda: _answers(host))
        yield host
    finally:
        process.kill()
        process.wait()


def _answers(host: str) -> bool:
    try:
        return httpx.get(f"http://{host}/v2/").status_code in (200, 401)
    except httpx.TransportError:
        return False


def password_section(folder: Path) -> dict[str, Any]:
    """Return the section of a registry that wants a password."""
    (folder / "htpasswd").write_text(_HTPASSWD)
    return {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}


@contextmanager
def token_section(folder: Path, readers: bool = True) -> Iterator[dict[str, Any]]:
    """Start a token server, and yield the section of a registry that trusts its tokens.

    Args:
        folder: A folder for the certificate.
        readers: Whether everybody may pull.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key)
    (folder / "issuer.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    handler = _token_handler(key, certificate, readers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            "token": {
                "realm": f"http://127.0.0.1:{server.server_port}/token",
                "service": _SERVICE,
                "issuer": _ISSUER,
                "rootcertbundle": str(folder / "issuer.pem"),
            }
        }
    finally:
        server.shutdown()
        server.server_close()


def login(folder: Path, host: str) -> None:
    """Write what `docker login` writes: the credentials of a registry, in a folder for ``DOCKER_CONFIG``."""
    folder.mkdir(exist_ok=True)
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": encoded}}}))


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _ISSUER)])
    now = datetime.now(UTC)
    day = timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    return builder.serial_number(1).not_valid_before(now - day).not_valid_after(now + day).sign(key, SHA256())


def _token_handler(
    key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, readers: bool
) -> type[BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]

    class TokenServer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            is_known = self.headers.get("Authorization") == expected
            allowed = {"pull", "push"} if is_known else {"pull"} if readers else set()
            now = int(time.time())
            claims = {
                "iss": _ISSUER, "aud": query["service"][0], "sub": USER, "exp": now + 60, "nbf": now - 60, "iat": now,
                "jti": "1", "access": [_access(scope, allowed) for scope in query.get("scope", [])],
            }  # fmt: skip
            body = json.dumps({"token": jwt.encode(claims, key, "ES256", headers={"x5c": chain})}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return TokenServer


def _access(scope: str, allowed: set[str]) -> dict[str, Any]:
    kind, name, actions = scope.split(":")
    return {"type": kind, "name": name, "actions": [action for action in actions.split(",") if action in allowed]}
