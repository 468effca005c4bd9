"""Profile a supplier's file, for notebooks: `print(profile("s3://bucket/2013-01.csv"))`."""

import re
from itertools import takewhile
from pathlib import Path

from tasks.connections import open_lake
from tasks.engine.errors import MissingObjectError, ParameterError
from tasks.engine.quoting import shown
from tasks.engine.receipts import ObjectRef
from tasks.engine.samples.files import PARQUET, SampleFile
from tasks.engine.samples.partitions import pattern_of
from tasks.engine.samples.profile import SampleProfile
from tasks.engine.samples.profiler import profile_sample

_FOLDER = re.compile(r"[A-Za-z_]+=.+|[0-9]{2,4}")


def profile(source: str | Path) -> SampleProfile:
    """Describe a file: its dialect, its columns with types, nulls and distinct values, its keys and its partition.

    The function reads at most 200 MB completely, and of a larger file the first rows. It writes nothing. `print` shows
    the profile as text.

    Args:
        source: `s3://bucket/key`, or the path of a local file.

    Raises:
        ParameterError: The file is empty, has no row, or has a format that Tally does not read.
        TallyError: The file does not exist or cannot be read.
    """
    return profile_sample(sample_file(source))


def sample_file(source: str | Path) -> SampleFile:
    """Return a file of the lake or of this machine.

    Raises:
        MissingObjectError: The file does not exist.
        ParameterError: The address names no object.
    """
    text = str(source)
    if not text.startswith("s3://"):
        path = Path(text).expanduser().resolve()
        if not path.is_file():
            raise MissingObjectError(f"no file {shown(str(path), 1000)}: expected a local file or s3://bucket/key")
        return SampleFile(text, _key_of(path), path.stat().st_size, lambda: path.open("rb"))
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise ParameterError(f"expected s3://bucket/key, found {shown(text)}")
    lake = open_lake(bucket)
    stored = lake.head(key)
    ref = ObjectRef(text, stored.version, stored.size_bytes, "")
    with lake.open(ref, lambda _: None, is_ahead=False) as opened:
        is_parquet = opened.read(len(PARQUET)) == PARQUET
    return SampleFile(
        text, key, stored.size_bytes, lambda: lake.open(ref, lambda _: None, is_seekable=is_parquet), bucket
    )


def _key_of(path: Path) -> str:
    """The name of a local file, with the folders that date it: `year=2024/month=01`, or `2024/05/01`."""
    folders = list(takewhile(_FOLDER.fullmatch, reversed(path.parent.parts)))
    key = "/".join([*reversed(folders), path.name])
    return key if pattern_of(key).unit and not pattern_of(path.name).unit else path.name
