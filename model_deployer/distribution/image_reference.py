"""The address of an image in a registry: ``oci://registry.example.com/models/churn:1.0.0``."""

import re
from dataclasses import dataclass, replace

from model_deployer.contract.errors import UsageError

#: The beginning of an address.
SCHEME = "oci://"

# The grammar of the OCI Distribution Specification 1.1, "Pull".
_REPOSITORY = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_ADDRESS = re.compile(
    rf"oci://(?P<registry>[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?)/(?P<repository>{_REPOSITORY})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class ImageReference:
    """The address of an image.

    Attributes:
        registry: The host of the registry, with a port if it has one.
        repository: The name of the image in the registry.
        tag: Its tag; None if the address has none.
        digest: The SHA-256 of its manifest, as ``sha256:…``; None if the address has none.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ImageReference":
        """Return the address in a text.

        Raises:
            UsageError: if the text is not an address of an image.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise UsageError(
                f"expected the address of an image, such as {SCHEME}registry.example.com/models/churn:1.0.0, with a "
                "repository in small letters; a digest is written as @sha256: and 64 characters"
            )
        return cls(**match.groupdict())

    @property
    def is_local(self) -> bool:
        """Whether the registry is on this machine: it is then asked without TLS, as by docker."""
        return self.registry.removesuffix(self._port) in _LOCAL_HOSTS

    @property
    def _port(self) -> str:
        match = re.search(r":[0-9]+$", self.registry)
        return match.group() if match else ""

    def at(self, digest: str) -> "ImageReference":
        """Return the address of the image with this digest, without a tag."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag, digest = (f":{self.tag}" if self.tag else ""), (f"@{self.digest}" if self.digest else "")
        return f"{SCHEME}{self.registry}/{self.repository}{tag}{digest}"
