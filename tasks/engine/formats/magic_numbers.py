"""Magic numbers: the first bytes that identify formats, compressions and archives."""

import zlib
from importlib import import_module

from tasks.contracts.formats import Compression

DECLARE = "Declare format={} in the contract of the dataset"
NAME_IT = DECLARE + ", or let the object's name end with {}, or deliver the expected format"
AGAIN = "Deliver the data in the expected format"
_UNPACK = "Let the object's name end with {}, or declare compression={} in the contract's format"
_ALONE = "Deliver the file without an archive"
_OTHER_STREAM = "Deliver the object uncompressed, or as .gz or .zst"
_TABLE = "Deliver the table as CSV or parquet"

Magic = tuple[str, str, str]
"""`gzip`, `zstd`, `parquet` or empty; the format in words; the next step."""

_MAGICS: tuple[tuple[bytes, Magic], ...] = (
    (b"\x1f\x8b", ("gzip", "a gzip stream", _UNPACK.format(".gz", '"gzip"'))),
    (b"\x28\xb5\x2f\xfd", ("zstd", "a zstd stream", _UNPACK.format(".zst", '"zstd"'))),
    (b"\x50\x2a\x4d\x18", ("zstd", "a zstd stream", _UNPACK.format(".zst", '"zstd"'))),  # a frame to skip is first
    (b"PAR1", ("parquet", "a parquet file", NAME_IT.format("Parquet()", ".parquet"))),
    (b"PARE", ("", "an encrypted parquet file", "Deliver the object without encryption of its columns and its footer")),
    (b"PK\x03\x04", ("", "a zip archive or an Excel workbook", f"{_ALONE}, as CSV")),
    (b"PK\x05\x06", ("", "an empty zip archive", _ALONE)),
    (b"7z\xbc\xaf\x27\x1c", ("", "a 7z archive", _ALONE)),
    (b"Rar!\x1a\x07", ("", "a RAR archive", _ALONE)),
    (b"BZh", ("", "a bzip2 stream", _OTHER_STREAM)),
    (b"\xfd7zXZ\0", ("", "an xz stream", _OTHER_STREAM)),
    (b"\x04\x22\x4d\x18", ("", "an LZ4 stream", _OTHER_STREAM)),
    (b"\xff\x06\0\0sNaPpY", ("", "a Snappy stream", _OTHER_STREAM)),
    (b"\x1f\x9d", ("", "a stream of compress (.Z)", _OTHER_STREAM)),
    (b"Obj\x01", ("", "an Avro file", AGAIN)),
    (b"ORC", ("", "an ORC file", AGAIN)),
    (b"ARROW1", ("", "an Arrow file", "Deliver the object as parquet")),
    (b"FEA1", ("", "a Feather file", "Deliver the object as parquet")),
    (b"\x89HDF", ("", "an HDF5 file", _TABLE)),
    (b"SQLite format 3\0", ("", "an SQLite database", _TABLE)),
    (b"PGDMP", ("", "an archive of pg_dump", _TABLE)),
    (b"PGCOPY\n\xff", ("", "a binary COPY of Postgres", _TABLE)),
    (b"%PDF", ("", "a PDF document", AGAIN)),
    (b"{\\rtf", ("", "an RTF document", AGAIN)),
    (b"\xd0\xcf\x11\xe0", ("", "an Office document", "Deliver the object as CSV")),
    (b"-----BEGIN PGP", ("", "a PGP message", "Deliver the object decrypted")),
    (b"version https://git-lfs", ("", "a Git LFS pointer", "Deliver the file to which the pointer refers")),
)

_TAR, _TAR_OFFSET = b"ustar", 257
"""A tar archive begins with the name of its first file."""


def magic_of(begin: bytes) -> Magic | None:
    """Return what the first bytes of an object identify, or None."""
    if begin.startswith(_TAR, _TAR_OFFSET):
        return "", "a tar archive", _ALONE
    return next((magic for number, magic in _MAGICS if begin.startswith(number)), None)


def unpacked(begin: bytes, compression: Compression, size: int) -> bytes:
    """Decompress the first bytes of a stream.

    Args:
        begin: The first bytes.
        compression: The compression of the stream.
        size: Maximum number of bytes to return.

    Returns:
        Some bytes of the content, or none if the stream is damaged.
    """
    if compression == "gzip":
        try:
            return zlib.decompressobj(31).decompress(begin, size)
        except zlib.error:
            return b""
    zstd = import_module("backports.zstd")
    try:
        return bytes(zstd.ZstdDecompressor().decompress(begin, size))
    except zstd.ZstdError:
        return b""
