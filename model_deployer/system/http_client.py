"""A client of a server: one connection for many requests, with the API key in the variable ``API_KEY`` if it is set."""

import os

import httpx


def auth_header() -> dict[str, str]:
    """Return the header that carries the API key; an empty dictionary if ``API_KEY`` is not set."""
    return {"Authorization": f"Bearer {os.environ['API_KEY']}"} if os.environ.get("API_KEY") else {}


def connect(url: str) -> httpx.Client:
    """Return a client of the server at ``url``; the caller closes it."""
    return httpx.Client(base_url=url, headers=auth_header(), timeout=60)
