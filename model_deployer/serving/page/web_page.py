"""The web page at ``/``: its files, and the routes that send them.

The files are the same for every model: the page asks for a key if the service requires one, and reads the model from
``/model`` and ``/docs.json``. Therefore they need no API key. All addresses in them are relative, so that the page
works behind a path prefix.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from typing_extensions import override

from model_deployer.contract.errors import NotFound, RequestError
from model_deployer.contract.metric_catalog import HIGHER_IS_BETTER, LOWER_IS_BETTER, MEANING
from model_deployer.contract.value_warnings import WARNING_CODES
from model_deployer.serving.http.headers import Headers, entity_tag, matches_tag
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi
from model_deployer.serving.protocols.protocol import DOCUMENTATION_PATH, Protocol, Reply, Request, Route, problem_reply

_FOLDER = Path(__file__).parent

_HTML = "index.html"

_MEDIA_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}

_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class PageFile:
    """A file of the page.

    Attributes:
        content: Its bytes.
        media_type: Its media type.
        policy: Its Content-Security-Policy.
    """

    content: bytes
    media_type: bytes
    policy: str

    @cached_property
    def etag(self) -> bytes:
        """The entity tag of the content."""
        return entity_tag(self.content)

    def reply(self, request_headers: Headers) -> Reply:
        """Return the file, or 304 if the client has it already."""
        headers = (
            (b"etag", self.etag),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", self.policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        )
        if matches_tag(request_headers, self.etag):
            return Reply(b"", 304, self.media_type, headers)
        return Reply(self.content, 200, self.media_type, headers)


class WebPage(Protocol):
    """The routes of the page. They are public, since they say nothing about the model."""

    name = "native"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self._files = read_files()

    @property
    @override
    def routes(self) -> Sequence[Route]:
        operations: Mapping[str, Mapping[str, Any]] = {"get": {}}
        return [
            Route(DOCUMENTATION_PATH, self._send_html, operations, is_public=True),
            Route(f"{openapi.PAGE_FOLDER}{{file}}", self._send_file, operations, is_public=True),
        ]

    @override
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        return problem_reply(error, request_id)

    @override
    def schemas(self) -> Mapping[str, Any]:
        return {}

    async def _send_html(self, request: Request) -> Reply:
        return self._files[_HTML].reply(request.headers)

    async def _send_file(self, request: Request) -> Reply:
        file = self._files.get(request.path_parameters["file"])
        if file is None:
            raise NotFound("the page has no such file; the paths are listed in /docs.json")
        return file.reply(request.headers)


def read_files() -> dict[str, PageFile]:
    """Return the files of the page by name."""
    contents = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES}
    contents |= _generated_modules()
    policy = _content_security_policy(contents[_HTML])
    return {
        name: PageFile(content, _MEDIA_TYPES[Path(name).suffix], policy) for name, content in sorted(contents.items())
    }


def _generated_modules() -> dict[str, bytes]:
    """Return the modules of JavaScript with the meaning of metrics and of warnings."""
    catalog = {
        "MEANING": dict(MEANING),
        "HIGHER_IS_BETTER": sorted(HIGHER_IS_BETTER),
        "LOWER_IS_BETTER": sorted(LOWER_IS_BETTER),
    }
    modules: Mapping[str, Mapping[str, Any]] = {
        "metric_catalog.js": catalog,
        "warning_codes.js": {"WARNING_CODES": dict(WARNING_CODES)},
    }
    return {
        name: "".join(f"export const {key} = {json.dumps(value)};\n" for key, value in constants.items()).encode()
        for name, constants in modules.items()
    }


def _content_security_policy(html: bytes) -> str:
    """Return the policy of the page: files of its own server only, the script in the HTML, and text only as text."""
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE_SCRIPT.findall(html)]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    directives = (
        "default-src 'none'",
        f"script-src {scripts}",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return "; ".join(directives)
