"""How a server is asked: over a kept connection, with the key in the variable ``API_KEY`` where it wants one."""

import os

import httpx


def auth_header() -> dict[str, str]:
    """The header that carries the key; nothing where there is none."""
    return {"Authorization": f"Bearer {os.environ['API_KEY']}"} if os.environ.get("API_KEY") else {}


def connect(url: str) -> httpx.Client:
    """A client of a server; to be closed."""
    return httpx.Client(base_url=url, headers=auth_header(), timeout=60)
