"""The signature of an image: a Sigstore bundle next to it in the registry, as cosign 3 writes and finds it.

The bundle is a DSSE envelope around an in-toto statement that names the digest of the image:
https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md. No transparency log is asked.
"""

import base64
import hashlib
import json
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from model_deployer.contract.signature import PAYLOAD, pre_authentication_encoding
from model_deployer.contract.signing_keys import algorithm

#: The media type of a signature.
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"

_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://sigstore.dev/cosign/sign/v1"

#: What distinguishes a signature from other bundles of an image.
ANNOTATIONS = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": _PREDICATE}


def sign(digest: str, key: EllipticCurvePrivateKey) -> bytes:
    """Return the signature of an image: a bundle.

    Args:
        digest: The digest of the image.
        key: The key that signs.
    """
    subject = {"digest": {"sha256": digest.removeprefix("sha256:")}}
    statement = {"_type": _STATEMENT, "subject": [subject], "predicateType": _PREDICATE, "predicate": {}}
    payload = json.dumps(statement, separators=(",", ":")).encode()
    signature = key.sign(pre_authentication_encoding(PAYLOAD, payload), algorithm(key))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bundle = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": _encode(hashlib.sha256(public).digest())}},
        "dsseEnvelope": {
            "payload": _encode(payload),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": _encode(signature)}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def is_signed(bundles: Iterable[bytes], digest: str, key: EllipticCurvePublicKey) -> bool:
    """Return whether the owner of a key signed an image.

    Args:
        bundles: The bundles of the image, by anybody.
        digest: Its digest.
        key: The public key.
    """
    return any(_signed_digest(bundle, key) == digest for bundle in bundles)


def _signed_digest(bundle: bytes, key: EllipticCurvePublicKey) -> str | None:
    """Return the digest of the image that the owner of the key signed; None for any other bundle."""
    try:
        envelope = json.loads(bundle)["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        signed = pre_authentication_encoding(envelope["payloadType"], payload)
        key.verify(base64.b64decode(signature["sig"], validate=True), signed, algorithm(key))
        statement = json.loads(payload)
        (subject,) = statement["subject"]
        return f"sha256:{subject['digest']['sha256']}" if statement["predicateType"] == _PREDICATE else None
    except (ValueError, KeyError, TypeError, AttributeError, InvalidSignature):
        return None


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()
