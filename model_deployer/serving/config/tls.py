"""TLS of a server, for HTTP and gRPC: `services.ssl` of the configuration, or the options `--ssl-*` of `bentoml serve`.

BentoML passes these settings to its HTTP server, in each worker. The parent checks them and passes them to gRPC.
"""

import os
import ssl
from pathlib import Path

import msgspec

from model_deployer.contract.errors import UsageError

#: The environment variable that passes the settings from the parent to its workers.
_VARIABLE = "MODEL_DEPLOYER_TLS"

#: BentoML's default, which excludes no cipher that OpenSSL enables.
_DEFAULT_CIPHERS = "TLSv1"

#: The values of ``version`` that accept every version of the protocol that the library considers secure.
_ANY_VERSION = (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS)


class Tls(msgspec.Struct, frozen=True):
    """The TLS settings of a server, under BentoML's names.

    Attributes:
        certfile: The PEM file with the certificate, followed by those of its issuers.
        keyfile: The PEM file with the private key; None if it is in ``certfile``.
        keyfile_password: The password of an encrypted key.
        ca_certs: The PEM file with the issuers of clients' certificates.
        cert_reqs: Whether clients need a certificate: a constant ``CERT_*`` of the module ssl.
        version: A constant ``PROTOCOL_*`` of the module ssl.
        ciphers: The ciphers in OpenSSL's notation.
    """

    certfile: str
    keyfile: str | None = None
    keyfile_password: str | None = None
    ca_certs: str | None = None
    cert_reqs: int = ssl.CERT_NONE
    version: int = ssl.PROTOCOL_TLS_SERVER
    ciphers: str = _DEFAULT_CIPHERS

    def check(self, *, has_grpc: bool) -> None:
        """Check that clients will be able to connect.

        Files with a relative path are not checked: the working folder of the workers is known to them only.

        Args:
            has_grpc: Whether gRPC has to do what the settings require, too.

        Raises:
            UsageError: if a file cannot be used, or a setting cannot be honoured; the message names it.
        """
        if self.cert_reqs == ssl.CERT_REQUIRED and not self.ca_certs:
            raise UsageError(
                "services.ssl.ca_certs: expected a file with the issuers of the clients' certificates, which "
                "`cert_reqs: 2` requires"
            )
        if has_grpc:
            self._check_grpc()
        files = {"certfile": self.certfile, "keyfile": self.keyfile, "ca_certs": self.ca_certs}
        named_files = {name: Path(file) for name, file in files.items() if file}
        if all(file.is_absolute() for file in named_files.values()):
            for name, file in named_files.items():
                _check_readable(name, file)
            self._check_content()

    def _check_grpc(self) -> None:
        problems = {
            "version": (self.version not in _ANY_VERSION, "it accepts TLS 1.2 and 1.3"),
            "ciphers": (self.ciphers != _DEFAULT_CIPHERS, "it has ciphers of its own"),
            "cert_reqs": (self.cert_reqs == ssl.CERT_OPTIONAL, "a client's certificate is required (2) or not (0)"),
        }
        for name, (is_unsupported, reason) in problems.items():
            if is_unsupported:
                raise UsageError(
                    f"services.ssl.{name}: gRPC cannot do this, as {reason}; leave this setting or "
                    "`serving.grpc_port` out"
                )

    def _check_content(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without a password, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(self.certfile, self.keyfile, lambda: self.keyfile_password or "")
        except (ssl.SSLError, ValueError):
            raise UsageError(
                "services.ssl: expected a certificate and its private key as PEM, and in `keyfile_password` the "
                "password of the key if it is encrypted"
            ) from None
        if self.ca_certs:
            try:
                context.load_verify_locations(self.ca_certs)
            except ssl.SSLError:
                raise UsageError("services.ssl.ca_certs: expected certificates as PEM") from None


def pass_to_workers(tls: Tls | None) -> None:
    """Let the processes that this one starts know the settings; None if the server has no TLS."""
    os.environ[_VARIABLE] = msgspec.json.encode(tls).decode()


def of_worker() -> Tls | None:
    """Return the settings of the parent; None if it has passed none."""
    return msgspec.json.decode(os.environ.get(_VARIABLE, "null"), type=Tls | None)


def _check_readable(name: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise UsageError(f"services.ssl.{name}: {file} cannot be read: {error.strerror}") from None
