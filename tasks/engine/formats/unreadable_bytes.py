"""Conversion of the errors that libraries raise for damaged bytes into `UnreadableObjectError`."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.engine.errors import UnreadableObjectError


@contextmanager
def errors_as(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Convert errors of a library in the block into errors that name the object.

    Args:
        name: The object.
        errors: The library's errors. `OSError` and `UnicodeDecodeError` are always converted.

    Raises:
        UnreadableObjectError: Replaces the library's error. An error of this class keeps its own class.
    """
    try:
        yield
    except UnreadableObjectError as error:
        if name in str(error):
            raise
        raise type(error)(_text(name, error)) from error
    except Exception as error:
        if not isinstance(error, (OSError, UnicodeDecodeError, *errors)):
            raise
        raise UnreadableObjectError(_text(name, error)) from error


def _text(name: str, error: Exception) -> str:
    return f"{name} cannot be read: {error}. Nothing was loaded. Deliver the complete object again"
