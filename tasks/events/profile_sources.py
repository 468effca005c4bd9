"""Sources of a profile: an object of the lake, or a local file in the folder that a setting allows."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.runtime import deployment

from tasks.connections import open_lake, run_settings
from tasks.contracts.events import EVENTS
from tasks.engine.errors import MissingObjectError, ParameterError
from tasks.engine.formats.object_formats import is_seekable
from tasks.engine.quoting import shown
from tasks.engine.receipts import ObjectRef

PATH_LIMIT = 1000
"""Maximum number of characters of a path in a message: a user must see the whole path."""


def is_local(source: str) -> bool:
    """Whether a source is a path, not an object of the lake."""
    return not source.startswith("s3://")


@contextmanager
def open_object(source: str) -> Iterator[io.BufferedReader]:
    """Open `s3://bucket/key`, pinned to its current version, or a local path.

    A run of a deployment reads only local files in `PROFILE_FOLDER`. Otherwise any user who may start a run could read
    any file of the worker.

    Raises:
        MissingObjectError: The object or file does not exist.
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
        found, seeks = ObjectRef(source, stored.version, stored.size_bytes, ""), is_seekable(source, EVENTS)
        with lake.open(found, lambda _: None, is_seekable=seeks) as file:
            yield file


def _allowed(source: str) -> Path:
    """Resolve a local path with its links and `..`, and check that it is allowed."""
    folder = run_settings().profile_folder
    try:
        path = Path(source).resolve()
        is_inside = bool(folder) and path.is_relative_to(Path(folder).resolve())
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a NUL, a loop of links
        raise ParameterError(f"{shown(source)} is not a path: expected s3://bucket/key") from error
    # The message must not reveal whether the file exists.
    if not is_inside and (folder or deployment.id):
        raise ParameterError(
            f"{shown(source)} may not be read: expected s3://bucket/key"
            f"{', or a file below PROFILE_FOLDER' if folder else '; set PROFILE_FOLDER to allow files of one folder'}"
        )
    if not is_file:
        raise MissingObjectError(
            f"no file {shown(str(path), PATH_LIMIT)}: expected s3://bucket/key or the path of a local file"
        )
    return path
