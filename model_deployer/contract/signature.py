"""The signature of a model, which proves who made it: a file next to its files, as OpenSSF Model Signing 1.0 defines.

The file is a Sigstore bundle: a DSSE envelope (https://github.com/secure-systems-lab/dsse) around an in-toto statement
that lists every file with its SHA-256, signed with ECDSA and a key on the curve P-256, P-384 or P-521. The library
``model-signing`` writes it, and its command ``model_signing verify key`` checks it. A server must check it without that
library and its forty dependencies, so :func:`verify` reads the envelope itself.
"""

import base64
import json
from pathlib import Path

from model_deployer.contract import signing_keys
from model_deployer.contract.artifact import MANIFEST, Artifact, sha256
from model_deployer.contract.errors import ArtifactError, UsageError

FILE = "model.sig"

#: The type of an in-toto statement in an envelope.
PAYLOAD = "application/vnd.in-toto+json"
_PREDICATE = "https://model_signing/signature/v1.0"


def sign(artifact: Artifact, private_key: Path) -> Path:
    """Sign every file of a model and return the path of the signature. An older signature is replaced.

    Args:
        artifact: The model.
        private_key: A PEM file with an EC key: ``openssl ecparam -name prime256v1 -genkey -noout``.

    Raises:
        UsageError: if the file does not hold such a key.
        ModuleNotFoundError: if the package ``model-signing`` is missing.
    """
    from model_signing import hashing, signing  # noqa: PLC0415 (an extra)

    target = artifact.path / FILE
    unfinished = target.with_suffix(".unfinished")
    all_but_signature = hashing.Config().set_ignored_paths(paths=[target, unfinished])  # type: ignore[no-untyped-call]
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=private_key)  # type: ignore[no-untyped-call]
        signer.set_hashing_config(all_but_signature).sign(artifact.path, unfinished)
    except (ValueError, TypeError, AttributeError):
        raise UsageError(f"{private_key}: expected an EC private key in PEM format without a password") from None
    return unfinished.replace(target)


def verify(artifact: Artifact, public_key: Path) -> None:
    """Check that the owner of a key signed exactly the files of a model.

    Args:
        artifact: The model, whose files were compared with its manifest.
        public_key: A PEM file with the EC public key.

    Raises:
        ArtifactError: if the model is not signed, is not signed with this key, or was changed after signing.
        UsageError: if the file does not hold such a key.
    """
    statement = json.loads(_signed_payload(artifact, public_key))
    resources = statement["predicate"]["resources"]
    digests = [
        resource["digest"]
        for resource in resources
        if resource["name"] == MANIFEST and resource["algorithm"] == "sha256"
    ]
    # The manifest holds the hash of every other file, and these were compared when the model was opened.
    if statement["predicateType"] != _PREDICATE or digests != [sha256(artifact.path / MANIFEST)]:
        raise ArtifactError(
            f"{artifact.tag}: the signature belongs to other files; restore the model, or sign it again"
        )


def _signed_payload(artifact: Artifact, public_key: Path) -> bytes:
    """Return the statement that the owner of the key signed."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (needed by few)

    key = signing_keys.read_public_key(public_key)
    payload_type, payload, signature = _read_envelope(artifact)
    try:
        key.verify(signature, pre_authentication_encoding(payload_type, payload), signing_keys.algorithm(key))
    except InvalidSignature:
        raise ArtifactError(
            f"{artifact.tag} was not signed by the owner of {public_key.name}; do not serve it"
        ) from None
    if payload_type != PAYLOAD:
        raise ArtifactError(f"{artifact.tag}: {FILE} is not the signature of a model; sign the model again")
    return payload


def _read_envelope(artifact: Artifact) -> tuple[str, bytes, bytes]:
    """Return the payload type, the payload and the signature of the envelope."""
    try:
        envelope = json.loads((artifact.path / FILE).read_bytes())["dsseEnvelope"]
        (signature,) = envelope["signatures"]
        return str(envelope["payloadType"]), _decode(envelope["payload"]), _decode(signature["sig"])
    except FileNotFoundError:
        remedy = f"sign it with `deployer sign {artifact.tag} --key KEY`"
        raise ArtifactError(f"{artifact.tag} is not signed, but the server requires a signature; {remedy}") from None
    except (ValueError, KeyError, TypeError):
        raise ArtifactError(f"{artifact.tag}: {FILE} is not a signature; sign the model again") from None


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding, version 1."""
    encoded_type = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(encoded_type), encoded_type, len(payload), payload)
