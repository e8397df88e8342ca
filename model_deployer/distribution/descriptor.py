"""What an OCI image says of a part of itself: its media type, size and SHA-256."""

import hashlib
import json
from pathlib import Path
from typing import Any

from model_deployer.contract.artifact import sha256

#: The media types of the OCI Image Specification 1.1.
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"

Descriptor = dict[str, Any]


def of_bytes(content: bytes, media_type: str) -> Descriptor:
    """Return the descriptor of a part that is in memory."""
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def of_file(path: Path, media_type: str) -> Descriptor:
    """Return the descriptor of a part that is in a file."""
    return {"mediaType": media_type, "digest": f"sha256:{sha256(path)}", "size": path.stat().st_size}


def to_json(content: dict[str, Any]) -> bytes:
    """Return a manifest or configuration as its bytes: equal content in the same order gives equal bytes."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def digest(content: bytes) -> str:
    """Return the digest of bytes: ``sha256:`` and 64 hexadecimal characters."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
