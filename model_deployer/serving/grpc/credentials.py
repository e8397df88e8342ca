"""The certificate and key of the server, in the form that gRPC takes."""

import ssl
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from model_deployer.serving.config.tls import Tls


def server_credentials(tls: Tls) -> Any:
    """Return gRPC's credentials of a server with the same certificate, key and clients as over HTTP."""
    pair = (_private_key(tls), Path(tls.certfile).read_bytes())
    if tls.cert_reqs != ssl.CERT_REQUIRED or not tls.ca_certs:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], Path(tls.ca_certs).read_bytes(), require_client_auth=True)


def _private_key(tls: Tls) -> bytes:
    """Return the private key as PEM without encryption, as gRPC takes no password."""
    pem = Path(tls.keyfile or tls.certfile).read_bytes()
    if b"ENCRYPTED" not in pem:
        return pem
    key = load_pem_private_key(pem, (tls.keyfile_password or "").encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
