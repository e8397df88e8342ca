"""The query of a request: the part of its URL after the question mark."""

from urllib.parse import parse_qs

from model_deployer.contract.errors import InvalidParameter


def flag(query: bytes, name: str) -> bool:
    """Return the value of a parameter that is ``true`` or ``false``; False without the parameter.

    Raises:
        InvalidParameter: if it has another value, or several.
    """
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(name, ["false"])
    if values not in (["true"], ["false"]):
        raise InvalidParameter(f"{name}: expected `true` or `false`, once")
    return values == ["true"]
