"""Who made a model: a signature beside its files, in the form of OpenSSF Model Signing 1.0.

The file is a Sigstore bundle: a DSSE envelope (https://github.com/secure-systems-lab/dsse) around an in-toto statement
that lists every file with its SHA-256, signed by ECDSA with a key of the curve P-256, P-384 or P-521. It is written by
the library ``model-signing``, whose command ``model_signing verify key`` checks it, too. A server has to check it
without that library and the forty packages it brings, so :func:`verify` reads the envelope itself.
"""

import base64
import json
from pathlib import Path
from typing import Any

from model_deployer.contract.artifact import MANIFEST, Artifact, sha256
from model_deployer.contract.errors import ArtifactError, UsageError

FILE = "model.sig"

_PAYLOAD = "application/vnd.in-toto+json"
_PREDICATE = "https://model_signing/signature/v1.0"


def sign(artifact: Artifact, private_key: Path) -> Path:
    """Sign every file of a model, and return the path of the signature; an older one is replaced.

    Args:
        artifact: The model.
        private_key: A PEM file with an EC key: ``openssl ecparam -name prime256v1 -genkey -noout``.

    Raises:
        UsageError: There is no such key in the file.
        ModuleNotFoundError: The package ``model-signing`` is missing.
    """
    from model_signing import hashing, signing  # noqa: PLC0415 (an extra)

    target = artifact.path / FILE
    unfinished = target.with_suffix(".unfinished")
    others = hashing.Config().set_ignored_paths(paths=[target, unfinished])  # type: ignore[no-untyped-call]
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=private_key)  # type: ignore[no-untyped-call]
        signer.set_hashing_config(others).sign(artifact.path, unfinished)
    except (ValueError, TypeError, AttributeError):
        raise UsageError(f"{private_key}: expected an EC private key in PEM, without a password") from None
    return unfinished.replace(target)


def verify(artifact: Artifact, public_key: Path) -> None:
    """Check that a model is as the owner of the key signed it.

    Raises:
        ArtifactError: The model is not signed, or not with this key, or it is another one than was signed.
        UsageError: There is no such key in the file.
    """
    statement = json.loads(_signed(artifact, public_key))
    resources = statement["predicate"]["resources"]
    digests = [each["digest"] for each in resources if each["name"] == MANIFEST and each["algorithm"] == "sha256"]
    # The manifest holds the hash of every other file, and these were compared when the model was opened.
    if statement["predicateType"] != _PREDICATE or digests != [sha256(artifact.path / MANIFEST)]:
        raise ArtifactError(f"{artifact.tag}: the signature is that of other files; restore the model, or sign it anew")


def _signed(artifact: Artifact, public_key: Path) -> bytes:
    """The statement that the owner of the key signed."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (needed by few)
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415

    key, algorithm = _key(public_key)
    kind, payload, signature = _envelope(artifact)
    try:
        key.verify(signature, _encoded(kind, payload), ECDSA(algorithm))
    except InvalidSignature:
        raise ArtifactError(
            f"{artifact.tag} was not signed by the owner of {public_key.name}; do not serve it"
        ) from None
    if kind != _PAYLOAD:
        raise ArtifactError(f"{artifact.tag}: {FILE} signs something else than a model; sign the model anew")
    return payload


def _key(public_key: Path) -> tuple[Any, Any]:
    """The key, and the hash that goes with its curve."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    algorithms: dict[str, Any] = {"secp256r1": SHA256, "secp384r1": SHA384, "secp521r1": SHA512}
    try:
        key = load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in algorithms:
        raise UsageError(f"{public_key}: expected an EC public key (P-256, P-384 or P-521) in PEM")
    return key, algorithms[key.curve.name]()


def _envelope(artifact: Artifact) -> tuple[str, bytes, bytes]:
    """Type, content and signature of the envelope."""
    try:
        envelope = json.loads((artifact.path / FILE).read_bytes())["dsseEnvelope"]
        (given,) = envelope["signatures"]
        return str(envelope["payloadType"]), _binary(envelope["payload"]), _binary(given["sig"])
    except FileNotFoundError:
        remedy = f"sign it with `deployer sign {artifact.tag} --key KEY`"
        raise ArtifactError(f"{artifact.tag} is not signed, and the server is to check signatures; {remedy}") from None
    except (ValueError, KeyError, TypeError):
        raise ArtifactError(f"{artifact.tag}: {FILE} is no signature; sign the model anew") from None


def _binary(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _encoded(kind: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding, version 1."""
    return b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)
