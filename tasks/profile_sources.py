"""Where a profile reads from: an object of the lake, or a file of a folder that a setting allows."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.runtime import deployment

from tasks.connections import open_lake, run_settings
from tasks.engine.errors import MissingObjectError, ParameterError
from tasks.engine.quoting import shown
from tasks.engine.receipts import ObjectRef


def is_local(source: str) -> bool:
    """Whether a source is a path, not an object of the lake."""
    return not source.startswith("s3://")


@contextmanager
def open_object(source: str) -> Iterator[io.BufferedReader]:
    """A file over `s3://bucket/key`, pinned to its present version, or over a local path.

    A run of a deployment reads local files of `PROFILE_FOLDER` alone: whoever may start such runs could read any file
    of the worker otherwise.

    Raises:
        MissingObjectError: There is no such object or file.
        ParameterError: The path is not allowed.
    """
    if is_local(source):
        with _allowed(source).open("rb") as file:
            yield file
        return
    bucket, _, key = source.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise ParameterError(f"expected s3://bucket/key, found {shown(source)}")
    with open_lake(bucket) as lake:
        stored = lake.head(key)
        with lake.open(ObjectRef(source, stored.version, stored.size_bytes, ""), lambda _: None) as file:
            yield file


def _allowed(source: str) -> Path:
    """The file of a local path, its links and `..` resolved."""
    folder = run_settings().profile_folder
    try:
        path = Path(source).resolve()
        is_inside = bool(folder) and path.is_relative_to(Path(folder).resolve())
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a NUL, a loop of links
        raise ParameterError(f"{shown(source)} is no path: expected s3://bucket/key") from error
    # Without a word on whether the file exists.
    if not is_inside and (folder or deployment.id):
        raise ParameterError(
            f"{shown(source)} may not be read: expected s3://bucket/key"
            f"{', or a file below PROFILE_FOLDER' if folder else '; set PROFILE_FOLDER to allow files of one folder'}"
        )
    if not is_file:
        raise MissingObjectError(f"no file {shown(str(path))}: expected s3://bucket/key or the path of a local file")
    return path
