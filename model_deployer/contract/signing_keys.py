"""The keys of signatures: ECDSA with a key on the curve P-256, P-384 or P-521, in PEM files."""

from pathlib import Path
from typing import TYPE_CHECKING

from model_deployer.contract.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey

# Needed by few, so that the functions import cryptography.


def read_private_key(path: Path) -> "EllipticCurvePrivateKey":
    """Read a key that signs.

    Args:
        path: A PEM file with an EC key that has no password: ``openssl ecparam -name prime256v1 -genkey -noout``.

    Raises:
        UsageError: if the file does not hold such a key.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in _hashes():
        raise UsageError(f"{path}: expected an EC private key (P-256, P-384 or P-521) in PEM format without a password")
    return key


def read_public_key(path: Path) -> "EllipticCurvePublicKey":
    """Read a key that checks signatures.

    Args:
        path: A PEM file with the EC public key.

    Raises:
        UsageError: if the file does not hold such a key.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _hashes():
        raise UsageError(f"{path}: expected an EC public key (P-256, P-384 or P-521) in PEM format")
    return key


def algorithm(key: "EllipticCurvePrivateKey | EllipticCurvePublicKey") -> "ECDSA":
    """Return the signature algorithm of a key: ECDSA with the hash that is as strong as its curve."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415

    return ECDSA(_hashes()[key.curve.name]())


def _hashes() -> dict[str, type]:
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512  # noqa: PLC0415

    return {"secp256r1": SHA256, "secp384r1": SHA384, "secp521r1": SHA512}
