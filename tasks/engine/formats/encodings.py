"""Encodings: converts the bytes of an object into UTF-8 while they are read.

Bytes that are not text in the declared encoding become lone surrogates, U+DC00 plus the value of the byte. UTF-8 has no
lone surrogates, so the reader rejects the record with these bytes, and no other record.
"""

import codecs
from functools import lru_cache
from typing import Any

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.rejected_rows import Reason, ReasonCode

_MOST_BYTES = 3
"""Maximum number of bytes of UTF-8 for one byte of another encoding."""

_SURROGATE = 0xDC00
_DECODING, _ENCODING = "tally-undecodable", "tally-restored"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Replace bytes that cannot be decoded by lone surrogates."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_SURROGATE + byte) for byte in error.object[error.start : error.end]), error.end


def _restore(error: UnicodeError) -> tuple[bytes, int]:
    """Replace lone surrogates by the bytes that they mark.

    Raises:
        UnicodeError: A character is not such a surrogate, and the encoding does not have it.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = [ord(character) - _SURROGATE for character in error.object[error.start : error.end]]
    if not all(0 <= code <= 0xFF for code in codes):
        raise error
    return bytes(codes), error.end


codecs.register_error(_DECODING, _mark)
codecs.register_error(_ENCODING, _restore)


@lru_cache
def is_utf8(encoding: str) -> bool:
    """Return whether an encoding is UTF-8, with or without a byte order mark."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


@lru_cache
def not_text(encoding: str) -> Reason:
    """Return the reason to reject a record with bytes that are not text in an encoding."""
    return Reason(ReasonCode.NOT_UTF8, f"not {'UTF-8' if is_utf8(encoding) else encoding}")


def utf8_of(file: Any, encoding: str) -> Any:
    """Return a file with the text of another file in UTF-8, or the file itself if its encoding is UTF-8."""
    return file if is_utf8(encoding) else _Utf8File(file, encoding)


class _Utf8File:
    """A file that decodes another file piece by piece. A piece may end inside a character."""

    def __init__(self, file: Any, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(_DECODING)
        self._has_ended = False

    def read(self, size: int) -> bytes:
        """Return the next bytes, about `size` at most. Return no bytes at the end of the file only.

        Raises:
            UnreadableObjectError: The encoding requires a byte order mark, and the file has none.
        """
        text = ""
        while not text and not self._has_ended:
            piece = self._file.read(max(size // _MOST_BYTES, 1))
            self._has_ended = not piece
            text = self._decode(piece)
        return text.encode(errors="surrogatepass")

    def _decode(self, piece: bytes) -> str:
        try:
            return self._decoder.decode(piece, self._has_ended)
        except UnicodeError as error:  # an error that concerns some bytes goes to _mark
            raise UnreadableObjectError(
                f"expected a byte order mark, as the encoding {self._encoding} requires, found none. Declare"
                f" {self._encoding}-le or {self._encoding}-be in the contract's format"
            ) from error


def text_of(raw: bytes, encoding: str) -> bytes:
    """Return the text of a rejected record in UTF-8, by the encoding that the contract declares now.

    The ledger keeps the record as the reader saw it, in UTF-8. If the record contains bytes that were not text in the
    encoding that the contract declared during the load, these bytes are decoded again.

    Returns:
        The text, or the unchanged bytes if they are still not text.
    """
    if is_utf8(encoding) or not _has_bad_bytes(raw):
        return raw
    try:
        try:
            original = raw.decode(errors="surrogatepass").encode(encoding, _ENCODING)
        except UnicodeDecodeError:
            original = raw  # the contract declared UTF-8 during the load
        return original.decode(encoding).encode()
    except UnicodeError:
        return raw


def _has_bad_bytes(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False
