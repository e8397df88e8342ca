"""attestation.json: the signature of a package, which proves who wrote it.

It is a DSSE envelope (https://github.com/secure-systems-lab/dsse) around an in-toto statement
(https://in-toto.io/Statement/v1) that lists every file with its SHA-256, and says that the package was verified.
:func:`model_deployer.handoff.standalone.verify.signature` checks it.
"""

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from model_deployer.contract.artifact import sha256, write_json
from model_deployer.contract.signature import PAYLOAD, pre_authentication_encoding
from model_deployer.handoff.standalone.verify import ATTESTATION, SUMS, listed_files

_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"


def write_attestation(folder: Path, key: EllipticCurvePrivateKey, is_verified: bool) -> None:
    """Sign the files of a package, which may not change afterwards.

    Args:
        folder: The folder of the package.
        key: The key of the author.
        is_verified: Whether the package passed its verification.
    """
    payload = json.dumps(_statement(folder, is_verified), sort_keys=True).encode()
    signed = pre_authentication_encoding(PAYLOAD, payload)
    envelope = {
        "payloadType": PAYLOAD,
        "payload": _encode(payload),
        "signatures": [{"sig": _encode(key.sign(signed, ECDSA(SHA256())))}],
    }
    write_json(folder / ATTESTATION, envelope)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _statement(folder: Path, is_verified: bool) -> dict[str, Any]:
    names = [*listed_files(folder), SUMS]
    result = {"result": "PASSED" if is_verified else "WARNED", "configuration": [{"name": "model-deployer"}]}
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256(folder / name)}} for name in names],
        "predicateType": _PREDICATE,
        "predicate": result,
    }
