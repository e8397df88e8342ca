"""Recognize the encoding of text that is not Unicode, from words with letters beyond ASCII.

Tables have little text, and a detector that expects sentences often takes the few accented names of a table for those
of another language. Alphabets decide first: all letters of a text belong to one of them, or the detector is asked.
"""

import re

import charset_normalizer

#: Encodings in which tables come, for the detector; it also knows many that they do not have.
_ENCODINGS = [
    *(f"cp{number}" for number in (874, 932, 949, 1250, 1251, *range(1253, 1258))),
    *(f"iso8859_{number}" for number in (2, 5, 7, 9)),
    "big5",
    "euc_jp",
    "gb18030",
    "koi8_r",
    "mac_roman",
]

#: Letters of Western languages in cp1252. Those of Icelandic are left out: in cp1254, they are letters of Turkish.
_WESTERN_BYTES = {*range(0xC0, 0x100), *b"\x8a\x8c\x8e\x9a\x9c\x9e\x9f"} - {*b"\xd0\xd7\xdd\xde\xf0\xf7\xfd\xfe"}

#: The letters beyond ASCII of languages, with the encodings that have them, in the order in which they are tried.
_ALPHABETS = {
    "cp1252": bytes(_WESTERN_BYTES).decode("cp1252"),
    "cp1254": "ÇĞİÖŞÜçğıöşüÂâÎîÛû",
    "cp1250": "ĄĆĘŁŃÓŚŹŻąćęłńóśźż",
    "iso8859_2": "ĄĆĘŁŃÓŚŹŻąćęłńóśźż",
}

#: Signs that texts hold in addition to letters, in all code pages of Windows.
_SIGN_BYTES = {*b"\x80\x82\x84\x85\x91\x92\x93\x94\x95\x96\x97\x99", *range(0xA0, 0xC0)}
_SIGNS = bytes(_SIGN_BYTES).decode("cp1252") + "\xd7\xf7"

#: Signs that are within words: an apostrophe, hyphens, marks of ordinals, blanks that do not break.
_INNER_SIGNS = set("\u2019\u2013\xad\xa0\xb0\xaa\xba\xb7")

#: A word of no Western language: a sign inside, a capital after a small letter, or five accents in a row.
_FOREIGN_WORD = re.compile(
    rf"\w[{re.escape(''.join(set(_SIGNS) - _INNER_SIGNS))}]\w|[a-z\xdf-\xff][\xc0-\xde]|[{_ALPHABETS['cp1252']}]{{5}}"
)

#: The share of words that may look foreign, such as names of products.
_MAX_FOREIGN = 0.03

#: Lines that are looked at, up to this number of bytes.
_MAX_BYTES = 1 << 17

_NON_ASCII_LINES = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_NOT_LETTERS = re.compile(rb"[\x00-\x3f]+")


def detect_encoding(data: bytes) -> str | None:
    """Return the encoding of a text, as Python names it; None if it is not recognized.

    Args:
        data: The bytes of a text that is not ASCII and not Unicode.
    """
    lines, size = [], 0
    for match in _NON_ASCII_LINES.finditer(data):
        lines.append(match.group())
        size += len(match.group())
        if size > _MAX_BYTES:
            break
    words = _NOT_LETTERS.sub(b" ", b"\n".join(lines))
    for encoding, alphabet in _ALPHABETS.items():
        if _is_written_in(words, encoding, alphabet):
            return encoding
    best = charset_normalizer.from_bytes(words, cp_isolation=_ENCODINGS).best()
    return None if best is None else str(best.encoding)


def _is_written_in(words: bytes, encoding: str, alphabet: str) -> bool:
    """Return whether a text in this encoding has only letters of an alphabet, and words as its languages have them."""
    try:
        text = words.decode(encoding)
    except UnicodeDecodeError:
        return False
    if not {character for character in text if character > "\x7f"} <= {*alphabet, *_SIGNS}:
        return False
    candidates = [word for word in text.split(" ") if not word.isascii()]
    foreign = sum(bool(_FOREIGN_WORD.search(word)) for word in candidates) if encoding == "cp1252" else 0
    return foreign <= _MAX_FOREIGN * len(candidates)
