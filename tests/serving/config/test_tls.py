"""The TLS settings: which of them end the start, and why."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from model_deployer.contract.errors import UsageError
from model_deployer.serving.config.tls import Tls
from tests.support import certificates

PASSWORD = "a-password-of-a-key"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """The settings of a server with a certificate and an encrypted key."""
    certificate, key = certificates.write(tmp_path, password=PASSWORD)
    return {"certfile": str(certificate), "keyfile": str(key), "keyfile_password": PASSWORD}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"version": ssl.PROTOCOL_TLS},
        {"ca_certs": "certfile"},
        {"ca_certs": "certfile", "cert_reqs": ssl.CERT_REQUIRED},
    ],
)
def test_settings_that_http_and_grpc_honour(files: dict[str, Any], settings: dict[str, Any]) -> None:
    values = {name: files.get(value, value) for name, value in settings.items()}
    Tls(**files | values).check(has_grpc=True)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"version": 5}, "services.ssl.version: gRPC cannot do this, as it accepts TLS 1.2 and 1.3"),
        ({"ciphers": "HIGH"}, "services.ssl.ciphers: gRPC cannot do this, as it has ciphers of its own"),
        ({"cert_reqs": ssl.CERT_OPTIONAL}, "services.ssl.cert_reqs: gRPC cannot do this"),
    ],
)
def test_a_setting_that_grpc_cannot_honour_is_named(
    files: dict[str, Any], settings: dict[str, Any], problem: str
) -> None:
    tls = Tls(**files | settings)
    tls.check(has_grpc=False)
    with pytest.raises(UsageError, match=problem):
        tls.check(has_grpc=True)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"certfile": "/absent"}, "services.ssl.certfile: /absent cannot be read: No such file"),
        ({"keyfile": "/absent"}, "services.ssl.keyfile: /absent cannot be read"),
        ({"ca_certs": "/absent"}, "services.ssl.ca_certs: /absent cannot be read"),
        ({"ca_certs": "keyfile"}, "services.ssl.ca_certs: expected certificates as PEM"),
        ({"keyfile": "certfile"}, "services.ssl: expected a certificate and its private key as PEM"),
        ({"keyfile_password": None}, "the password of the key if it is encrypted"),
        ({"keyfile_password": "another"}, "the password of the key if it is encrypted"),
        ({"cert_reqs": ssl.CERT_REQUIRED}, "services.ssl.ca_certs: expected a file with the issuers"),
    ],
)
def test_files_that_cannot_be_used_end_the_start(files: dict[str, Any], settings: dict[str, Any], problem: str) -> None:
    values = {name: files.get(value, value) if isinstance(value, str) else value for name, value in settings.items()}
    with pytest.raises(UsageError, match=problem) as raised:
        Tls(**files | values).check(has_grpc=False)
    assert PASSWORD not in str(raised.value)


def test_a_relative_path_is_left_to_the_workers(files: dict[str, Any]) -> None:
    """It is relative to their working folder, which the parent does not know."""
    Tls(**files | {"certfile": "absent.crt"}).check(has_grpc=True)
