"""Media types in headers: parsing Content-Type and negotiating by Accept (RFC 9110, sections 8.3 and 12.5).

Accept-Encoding has the same form, with the names of codings in place of media types.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from python_multipart.multipart import parse_options_header


class MediaType(NamedTuple):
    """A media type and its parameters, all in lower case.

    Attributes:
        name: The type without parameters, such as ``text/csv``; empty if there is none.
        parameters: The values by the name of the parameter, such as ``charset``.
    """

    name: str
    parameters: Mapping[str, str]


class _Range(NamedTuple):
    """A media range of an Accept header."""

    name: str
    weight: float
    position: int

    def specificity(self, media_type: str) -> int:
        """Return how closely the range matches a type: 3 by name, 2 as ``type/*``, 1 as ``*/*``, 0 not at all.

        For a coding, which has no slash, ``*`` matches as ``*/*`` does for a type.
        """
        if self.name == media_type:
            return 3
        if self.name == f"{media_type.partition('/')[0]}/*":
            return 2
        return int(self.name == ("*/*" if "/" in media_type else "*"))


def parse_media_type(header: bytes) -> MediaType:
    """Parse the value of a Content-Type header."""
    name, parameters = parse_options_header(header.decode("latin-1").lower())
    texts = {key.decode("latin-1"): value.decode("latin-1") for key, value in parameters.items() if key}
    return MediaType(name.decode("latin-1"), texts)


def negotiate(accept: bytes, offers: Sequence[str]) -> str | None:
    """Choose the best media type for a response by the weights of an Accept header.

    Among types of the same weight, the one that the client names first wins; among types that match the same range,
    the first offer wins.

    Args:
        accept: The value of the header.
        offers: The types that the service can write, in its order of preference.

    Returns:
        The chosen offer; None if the client accepts none of them.
    """
    ranges = list(_ranges(accept))
    best_rank: tuple[float, int] | None = None
    best_offer = None
    for offer in offers:
        match = max(ranges, key=lambda media: (media.specificity(offer), -media.position), default=None)
        if match is None or not match.specificity(offer) or match.weight <= 0:
            continue
        rank = (match.weight, -match.position)
        if best_rank is None or rank > best_rank:
            best_rank, best_offer = rank, offer
    return best_offer


def _ranges(accept: bytes) -> Iterator[_Range]:
    for position, element in enumerate(accept.split(b",")):
        name, parameters = parse_media_type(element)
        if name:
            yield _Range(name, _weight(parameters.get("q")), position)


def _weight(text: str | None) -> float:
    """Parse a quality value, limited to 0 to 1; 1 if it is absent or invalid."""
    try:
        return min(1.0, max(0.0, float(text))) if text is not None else 1.0
    except ValueError:
        return 1.0
