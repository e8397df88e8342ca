"""A registry for images: OCI Distribution Specification 1.1, with its fallback for registries without referrers."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from model_deployer.contract.errors import ArtifactError, EnvironmentFault, ModelNotFound
from model_deployer.distribution import descriptor
from model_deployer.distribution.credentials import credentials
from model_deployer.distribution.descriptor import Descriptor
from model_deployer.distribution.image_reference import ImageReference
from model_deployer.distribution.registry_auth import RegistryAuth

#: How long a registry may take to connect, and to send or take the next bytes.
_TIMEOUT = httpx.Timeout(60, connect=10)

#: The largest manifest that is read; registries take up to 4 MiB.
_MAX_MANIFEST_BYTES = 4 * 1024**2

_CHUNK_BYTES = 1024**2

_MANIFESTS = f"{descriptor.INDEX}, {descriptor.MANIFEST}"

#: Is called with the number of bytes that were sent or received.
Advance = Callable[[int], None]


class ImageRegistry:
    """One repository of a registry; a context manager that closes its connections.

    Args:
        reference: The address of an image in the repository.
        plain: Whether the registry is asked without TLS, also if it is on another machine.

    Raises:
        EnvironmentFault: from every method, if the registry cannot be reached or refuses, or its answer is not one of
            a registry.
    """

    def __init__(self, reference: ImageReference, plain: bool = False) -> None:
        self._reference = reference
        scheme = "http" if plain or reference.is_local else "https"
        self._client = httpx.Client(
            base_url=f"{scheme}://{reference.registry}/v2/{reference.repository}/",
            auth=RegistryAuth(credentials(reference.registry)),
            timeout=_TIMEOUT,
            follow_redirects=True,
        )

    def __enter__(self) -> "ImageRegistry":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # Parts

    def has_blob(self, part: Descriptor) -> bool:
        """Return whether the registry has a part."""
        response = self._request("HEAD", f"blobs/{part['digest']}", accepted=(200, 404))
        return response.status_code == httpx.codes.OK

    def put_blob(self, part: Descriptor, content: bytes | Path, advance: Advance = lambda _: None) -> None:
        """Store a part, unless the registry has it.

        Args:
            part: Its descriptor.
            content: Its bytes, or the file with them.
            advance: Is called as the bytes are sent.
        """
        if self.has_blob(part):
            return
        response = self._request("POST", "blobs/uploads/", accepted=(202,))
        location = self._client.base_url.join(response.headers["location"])
        headers = {"content-type": "application/octet-stream", "content-length": str(part["size"])}
        self._request(
            "PUT",
            str(location.copy_merge_params({"digest": part["digest"]})),
            accepted=(201,),
            headers=headers,
            content=_Chunks(content, advance),
        )

    def get_blob(self, part: Descriptor, file: Path, advance: Advance = lambda _: None) -> None:
        """Write a part into a file, and check its size and digest.

        Raises:
            ArtifactError: if the bytes are not those of the descriptor.
        """
        hashed, size = hashlib.sha256(), 0
        with self._streamed(f"blobs/{part['digest']}") as response, file.open("wb") as target:
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                size += len(chunk)
                if size > part["size"]:
                    break
                hashed.update(chunk)
                target.write(chunk)
                advance(len(chunk))
        if size != part["size"] or f"sha256:{hashed.hexdigest()}" != part["digest"]:
            raise ArtifactError(f"{self._reference}: the registry sent other bytes than the image has; pull it again")

    # Manifests

    def put_manifest(self, content: bytes, media_type: str, name: str) -> None:
        """Store a manifest under a tag or its digest."""
        self._request(
            "PUT", f"manifests/{name}", accepted=(201,), headers={"content-type": media_type}, content=content
        )

    def find_manifest(self, name: str) -> bytes | None:
        """Return the manifest with a tag or digest; None if there is none.

        Raises:
            ArtifactError: if ``name`` is a digest, and the manifest has another one.
        """
        response = self._request("GET", f"manifests/{name}", accepted=(200, 404), headers={"accept": _MANIFESTS})
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        content = response.content
        self._parsed(content)
        if ":" in name and descriptor.digest(content) != name:
            raise ArtifactError(f"{self._reference}: the registry sent another manifest than {name}; pull it again")
        return content

    def get_manifest(self, name: str) -> bytes:
        """Return the manifest with a tag or digest.

        Raises:
            ModelNotFound: if there is none.
            ArtifactError: as for :meth:`find_manifest`.
        """
        content = self.find_manifest(name)
        if content is None:
            raise ModelNotFound(f"{self._reference.registry} has no image {self._reference.repository} with {name}")
        return content

    # Referrers

    def attach(self, subject: Descriptor, artifact_type: str, content: bytes, annotations: dict[str, str]) -> None:
        """Store a part that says something about an image, such as its signature, so that others find it.

        Args:
            subject: The descriptor of the image.
            artifact_type: The media type of the part.
            content: The bytes of the part.
            annotations: What distinguishes it from others of its type.
        """
        empty = b"{}"
        part = descriptor.of_bytes(content, artifact_type)
        self.put_blob(part, content)
        self.put_blob(descriptor.of_bytes(empty, descriptor.EMPTY), empty)
        manifest = descriptor.to_json(
            {
                "schemaVersion": 2,
                "mediaType": descriptor.MANIFEST,
                "artifactType": artifact_type,
                "config": descriptor.of_bytes(empty, descriptor.EMPTY),
                "layers": [part],
                "subject": subject,
                "annotations": annotations,
            }
        )
        listed = descriptor.of_bytes(manifest, descriptor.MANIFEST)
        self.put_manifest(manifest, descriptor.MANIFEST, listed["digest"])
        if self._referrers(subject["digest"]) is None:
            self._list_referrer(subject, listed | {"artifactType": artifact_type, "annotations": annotations})

    def attached(self, subject: str, artifact_type: str) -> Iterator[bytes]:
        """Yield the parts of one type that say something about an image.

        Args:
            subject: The digest of the image.
            artifact_type: The media type of the parts.
        """
        listed = self._referrers(subject)
        for referrer in self._tagged_referrers(subject) if listed is None else listed:
            if referrer.get("artifactType") != artifact_type or referrer["size"] > _MAX_MANIFEST_BYTES:
                continue
            for part in self._listed(self.get_manifest(referrer["digest"]), "layers"):
                if part["size"] <= _MAX_MANIFEST_BYTES:
                    yield self._request("GET", f"blobs/{part['digest']}", accepted=(200,)).content

    def _referrers(self, subject: str) -> list[Descriptor] | None:
        """Return what the registry lists for an image; None if it cannot list."""
        response = self._request("GET", f"referrers/{subject}", accepted=(200, 400, 404, 405))
        if response.headers.get("content-type", "").partition(";")[0] != descriptor.INDEX:
            return None
        return self._listed(response.content, "manifests")

    def _list_referrer(self, subject: Descriptor, referrer: Descriptor) -> None:
        others = [each for each in self._tagged_referrers(subject["digest"]) if each["digest"] != referrer["digest"]]
        index = {"schemaVersion": 2, "mediaType": descriptor.INDEX, "manifests": [*others, referrer]}
        self.put_manifest(descriptor.to_json(index), descriptor.INDEX, _referrers_tag(subject["digest"]))

    def _tagged_referrers(self, subject: str) -> list[Descriptor]:
        content = self.find_manifest(_referrers_tag(subject))
        return self._listed(content, "manifests") if content else []

    def _listed(self, manifest: bytes, name: str) -> list[Descriptor]:
        """Return the descriptors in a list of a manifest."""
        try:
            return [
                {**part, "digest": str(part["digest"]), "size": int(part["size"])}
                for part in self._parsed(manifest)[name]
            ]
        except (ValueError, KeyError, TypeError):
            raise self._no_manifest() from None

    def _parsed(self, manifest: bytes) -> dict[str, Any]:
        try:
            content = json.loads(manifest)
        except ValueError:
            content = None
        if not isinstance(content, dict) or content.get("schemaVersion") != 2:
            raise self._no_manifest()
        return content

    def _no_manifest(self) -> EnvironmentFault:
        return EnvironmentFault(
            f"the registry {self._reference.registry} sent something else than the manifest of an OCI image"
        )

    # Requests

    def _request(self, method: str, path: str, accepted: tuple[int, ...], **options: Any) -> httpx.Response:
        with self._failures():
            response = self._client.request(method, path, **options)
        if response.status_code not in accepted:
            raise self._refusal(response)
        return response

    @contextmanager
    def _streamed(self, path: str) -> Iterator[httpx.Response]:
        with self._failures(), self._client.stream("GET", path) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                raise self._refusal(response)
            yield response

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise EnvironmentFault(
                f"the registry {self._reference.registry} does not answer; try again later"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = str(error) or type(error).__name__
            raise EnvironmentFault(f"the registry {self._reference.registry} cannot be used: {reason}") from None

    def _refusal(self, response: httpx.Response) -> EnvironmentFault:
        registry, repository = self._reference.registry, self._reference.repository
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return EnvironmentFault(
                f"the registry {registry} does not allow this for {repository}: log in with `docker login {registry}` "
                f"or `podman login {registry}`, as a user with the right to do it"
            )
        return EnvironmentFault(f"the registry {registry} refused: {response.status_code} {_reason(response)}".strip())


class _Chunks:
    """The bytes of a part, read as they are sent, and again from the beginning if a registry asks for a login."""

    def __init__(self, content: bytes | Path, advance: Advance) -> None:
        self._content, self._advance = content, advance

    def __iter__(self) -> Iterator[bytes]:
        if isinstance(self._content, bytes):
            yield self._content
            return
        with self._content.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
                self._advance(len(chunk))


def _referrers_tag(digest: str) -> str:
    return digest.replace(":", "-")


def _reason(response: httpx.Response) -> str:
    """Return the first message of a registry, at most 200 characters."""
    try:
        return str(response.json()["errors"][0]["message"])[:200]
    except (ValueError, KeyError, IndexError, TypeError):
        return response.reason_phrase
