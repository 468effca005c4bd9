"""The digest of the C sources. `setup.py` compiles it into the library, and `binding` compares it with the sources."""

import hashlib
from pathlib import Path


def sources_digest(folder: Path) -> str | None:
    """Return the digest of the C sources in a folder; None if it contains no sources, as in an installed wheel."""
    digest = hashlib.sha256()
    paths = sorted(folder.glob("*.[ch]"))
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest() if paths else None
