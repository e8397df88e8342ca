"""The authentication of a registry: with a user and a password, or with the tokens of a token server.

https://distribution.github.io/distribution/spec/auth/token/
"""

from collections.abc import Generator
from urllib.request import parse_http_list, parse_keqv_list

import httpx
from typing_extensions import override

from model_deployer.distribution.credentials import Credentials


class RegistryAuth(httpx.Auth):
    """Answers the challenges of a registry; a token is asked for once for each scope, and again when it has expired.

    Args:
        credentials: The credentials of the registry; None for anonymous tokens.
    """

    requires_response_body = True

    def __init__(self, credentials: Credentials | None) -> None:
        self._basic = httpx.BasicAuth(*credentials) if credentials else None
        self._header: str | None = None

    @override
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._header:
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return
        scheme, _, text = response.headers.get("www-authenticate", "").partition(" ")
        if scheme.lower() == "bearer":
            token = yield self._token_request(text)
            self._header = _bearer(token)
        elif scheme.lower() == "basic" and self._basic:
            self._header = next(self._basic.auth_flow(httpx.Request("GET", request.url))).headers["Authorization"]
        if self._header:
            request.headers["Authorization"] = self._header
            yield request

    def _token_request(self, challenge: str) -> httpx.Request:
        parameters = parse_keqv_list(parse_http_list(challenge))
        realm = parameters.pop("realm", "")
        wanted = {name: value for name, value in parameters.items() if name in ("service", "scope")}
        request = httpx.Request("GET", realm, params=wanted)
        return next(self._basic.auth_flow(request)) if self._basic else request


def _bearer(response: httpx.Response) -> str | None:
    """Return the header with the token of an answer; None if the token server refuses."""
    if response.status_code != httpx.codes.OK:
        return None
    answer = response.json()
    token = answer.get("token") or answer.get("access_token")
    return f"Bearer {token}" if token else None
