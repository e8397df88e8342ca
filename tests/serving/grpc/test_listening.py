"""TLS and IPv6 for HTTP and gRPC alike: real servers, and a client of each."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support import certificates, tiny
from tests.support.processes import Server, free_port, run, serve, until

pytestmark = pytest.mark.slow

PASSWORD = "a-password-of-a-key"
SERVING = health_pb2.HealthCheckResponse.SERVING


@contextmanager
def listening(
    folder: Path, services: str, arguments: Sequence[str] = (), tls: ssl.SSLContext | None = None
) -> Iterator[tuple[Server, int]]:
    """Start a server with these settings of BentoML, and yield it with its gRPC port."""
    file, port = folder / "configuration.yaml", free_port()
    file.write_text(f"services: {{metrics: {{enabled: false}}, {services}}}\n")
    variables = {"DEPLOYER_CONFIGURATION": str(file), "DEPLOYER_GRPC_PORT": str(port)}
    home = tiny.home(folder / "home", "1.0.0")
    with serve(arguments, home, folder / "log", variables=variables, tls=tls) as server:
        until(lambda: "gRPC server listening" in server.log.read_text())
        yield server, port


def health(channel: grpc.Channel) -> int:
    """Return the health of the server, or the status code of the error."""
    with channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            return -1
        return int(answer.status)


def secure_channel(port: int, server: Path, client: tuple[Path, Path] | None = None) -> grpc.Channel:
    certificate, key = (client[0].read_bytes(), client[1].read_bytes()) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(server.read_bytes(), key, certificate)
    return grpc.secure_channel(f"127.0.0.1:{port}", credentials)


def test_grpc_has_the_certificate_and_the_encrypted_key_of_the_command_line(tmp_path: Path) -> None:
    certificate, key = certificates.write(tmp_path, password=PASSWORD)
    stranger, _ = certificates.write(tmp_path, "stranger")
    options = ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key), "--ssl-keyfile-password", PASSWORD]
    with listening(tmp_path, "workers: 1", options, certificates.client_context(certificate)) as (server, port):
        assert health(secure_channel(port, certificate)) == SERVING
        assert health(secure_channel(port, stranger)) == -1
        assert health(grpc.insecure_channel(f"127.0.0.1:{port}")) == -1
        assert PASSWORD not in server.log.read_text()


def test_clients_need_a_certificate_for_http_and_grpc(tmp_path: Path) -> None:
    """Mutual TLS; the certificate of the server and its key are in one file."""
    certificate, key = certificates.write(tmp_path)
    client, stranger = certificates.write(tmp_path, "client"), certificates.write(tmp_path, "stranger")
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    services = f"ssl: {{enabled: true, certfile: {both}, ca_certs: {client[0]}, cert_reqs: {int(ssl.CERT_REQUIRED)}}}"
    with listening(tmp_path, services, tls=certificates.client_context(certificate, client)) as (server, port):
        assert health(secure_channel(port, certificate, client)) == SERVING
        for other in (None, stranger):
            assert health(secure_channel(port, certificate, other)) == -1
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{server.url}/livez", verify=certificates.client_context(certificate, other))


def test_a_setting_that_grpc_cannot_honour_ends_the_start(tmp_path: Path) -> None:
    certificate, key = certificates.write(tmp_path)
    file = tmp_path / "configuration.yaml"
    file.write_text(f"services: {{ssl: {{enabled: true, certfile: {certificate}, keyfile: {key}, ciphers: HIGH}}}}\n")
    completed = run(
        "bentoml",
        "serve",
        BENTOML_HOME=str(tiny.home(tmp_path / "home", "1.0.0")),
        DEPLOYER_CONFIGURATION=str(file),
        DEPLOYER_GRPC_PORT=str(free_port()),
    )
    assert completed.returncode == 1
    assert "services.ssl.ciphers: gRPC cannot do this" in completed.stderr
    assert "Traceback" not in completed.stderr


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_http_and_grpc_listen_on_ipv6_and_ipv4(tmp_path: Path) -> None:
    with listening(tmp_path, 'http: {host: "::"}') as (server, port):
        for host in ("127.0.0.1", "[::1]"):
            assert httpx.post(f"http://{host}:{server.port}/predict", json={"rows": [tiny.ROW]}).status_code == 200
            assert health(grpc.insecure_channel(f"{host}:{port}")) == SERVING
