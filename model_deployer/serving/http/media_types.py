"""Media types in headers: Content-Type, and the choice that Accept leaves (RFC 9110, sections 8.3 and 12.5.1)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from python_multipart.multipart import parse_options_header


class MediaType(NamedTuple):
    """A media type without and with its parameters.

    Attributes:
        name: In lower case, such as ``text/csv``; empty where there is none.
        parameters: In lower case, by name, such as ``charset``.
    """

    name: str
    parameters: Mapping[str, str]


class _Range(NamedTuple):
    """A media range of Accept."""

    name: str
    weight: float
    position: int

    def specificity(self, media_type: str) -> int:
        """How closely it matches a type: 3 by name, 2 by its first part, 1 as ``*/*``, 0 not at all."""
        if self.name == media_type:
            return 3
        if self.name == f"{media_type.partition('/')[0]}/*":
            return 2
        return int(self.name == "*/*")


def parse_media_type(header: bytes) -> MediaType:
    """The value of a Content-Type header."""
    name, parameters = parse_options_header(header.decode("latin-1").lower())
    texts = {key.decode("latin-1"): value.decode("latin-1") for key, value in parameters.items() if key}
    return MediaType(name.decode("latin-1"), texts)


def negotiate(accept: bytes, offers: Sequence[str]) -> str | None:
    """The best of the types that a service can write, by the weights of an Accept header.

    Of several types of the same weight the one that the client names first is chosen, and of those that one range
    matches the one that is offered first.

    Args:
        accept: The value of the header.
        offers: The types, the service's favourite first.

    Returns:
        None where the client accepts none of them.
    """
    ranges = list(_ranges(accept))
    best: tuple[float, int] | None = None
    chosen = None
    for offer in offers:
        found = max(ranges, key=lambda each: (each.specificity(offer), -each.position), default=None)
        if found is None or not found.specificity(offer) or found.weight <= 0:
            continue
        rank = (found.weight, -found.position)
        if best is None or rank > best:
            best, chosen = rank, offer
    return chosen


def _ranges(accept: bytes) -> Iterator[_Range]:
    for position, element in enumerate(accept.split(b",")):
        name, parameters = parse_media_type(element)
        if name:
            yield _Range(name, _weight(parameters.get("q")), position)


def _weight(text: str | None) -> float:
    """A quality value, from 0 to 1; 1 where there is none, or none that can be read."""
    try:
        return min(1.0, max(0.0, float(text))) if text is not None else 1.0
    except ValueError:
        return 1.0
