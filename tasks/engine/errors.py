"""Typed errors and the one retry policy.

Every failure of the engine is a `TallyError`: either `Transient` (a retry may succeed) or `Permanent` (a retry cannot
succeed). This module classifies the errors of psycopg (with `sqlstates`) and botocore by SQLSTATE and by S3 error code.
The Python class of a driver's error is too coarse: a wrong password is an `OperationalError`, just like a lost
connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from tasks.engine.lake_hints import LAKE_BUCKET, hint_of_answer, hint_of_client, is_distrusted
from tasks.engine.masking import detail_of
from tasks.engine.quoting import printable
from tasks.engine.sqlstates import diagnose

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class TallyError(Exception):
    """Base class of all errors that Tally raises.

    Each message states the expectation, the finding, the place, and the next step.

    Args:
        message: May quote data or a driver's text. The constructor makes it printable and bounds its length.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class Transient(TallyError):
    """A failure that may pass without any action. Tally retries the task."""


class Permanent(TallyError):
    """A failure that lasts until somebody changes something. Tally does not retry the task."""


class SettingsError(Permanent):
    """A setting is missing, unknown or malformed."""


class ContractError(Permanent):
    """An object does not match its contract: columns are missing, unknown or duplicated."""


class ParameterError(Permanent):
    """A parameter of a run is invalid, or asks for something that the run may not do."""


class EmptyExportError(Permanent):
    """An export without rows would replace one that has rows."""


class MissingObjectError(Permanent):
    """The lake has no object for the requested partition."""


class UnreadableObjectError(Permanent):
    """An object cannot be split into records, for example because its gzip stream is truncated."""


class MemoryLimitError(UnreadableObjectError):
    """A part of an object that must be in memory as a whole is too large for the memory of the load."""


class FailedLoadsError(Permanent):
    """Several objects of a run were not loaded. The other objects were loaded."""


class ErrorBudgetError(Permanent):
    """The load rejected more rows than the error budget allows. The table keeps its previous rows."""


class ShrinkError(Permanent):
    """An object has no rows, or far fewer rows than it would replace. The table keeps its previous rows."""


class VolumeError(Permanent):
    """An object has far fewer or far more rows than usual, and its contract refuses that. Nothing was loaded."""


class StaleDataError(Permanent):
    """Data is not in the warehouse by its deadline. The run that finds it ends in the state `Stale`."""


class BalanceError(Permanent):
    """Two counts that must be equal differ: rows were lost, duplicated or changed outside Tally."""


class CheckError(Permanent):
    """A check with severity `fail` found rows. The table that it guards is unchanged."""


class SchemaDriftError(Permanent):
    """A table differs from its contract or its SQL file, and Tally cannot resolve the difference."""


class SqlFileError(Permanent):
    """A file under `sql/` lacks something that its runner needs."""


class ObjectExistsError(Permanent):
    """Another object already has the key of an object that is written only once. The existing object is unchanged."""


class ResetError(Permanent):
    """A dataset cannot be reset: other tables depend on it, or no object exists to load it again."""


class BackfillError(Permanent):
    """A backfill cannot be planned, or some of its partitions failed."""


class LakeError(Permanent):
    """S3 refused a request, and a retry cannot succeed."""


class WarehouseError(Permanent):
    """Postgres refused a statement, and a retry cannot succeed."""


class PooledSessionError(Permanent):
    """A connection pooler between Tally and Postgres shares one session among several connections."""


class SourceError(Permanent):
    """The operational database lacks tables or columns that the pipeline extracts."""


class LakeSetupError(Permanent):
    """A bucket, prefix or marker object that a run needs does not exist."""


class InstallationError(Permanent):
    """The doctor found a problem of the installation."""


class UnexpectedError(Permanent):
    """An error of unknown type with a text that cannot be shown unchanged."""


class SourceBehindError(Transient):
    """The operational database is a replica that has not reached the state that the last run read."""


class ObjectChangedError(Transient):
    """Another writer replaced the object during the read. The retry reads it from its first byte."""


class LakeUnavailableError(Transient):
    """S3 did not answer, throttled the request, or failed internally."""


class WarehouseUnavailableError(Transient):
    """Postgres is unreachable, starting, stopping or short of a resource, or it aborted this transaction."""


class WarehouseBusyError(WarehouseUnavailableError):
    """Another session held a lock on a table during all attempts to change that table."""


class PartitionBusyError(Transient):
    """Another run is writing the same partition."""


MISMATCH_CODES = frozenset({"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"})
"""Codes of S3 for bytes that differ from their checksum: they changed on the way, and a retry sends them again."""

_THROTTLED_CODES = frozenset({"SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"})
_FAILED_CODES = frozenset({"ConditionalRequestConflict", "InternalError", "NoSuchUpload", "OperationAborted"})
_LATE_CODES = frozenset({"RequestTimeout", "RequestTimeTooSkewed", "ServiceUnavailable"})
RETRIED_S3_CODES = MISMATCH_CODES | _THROTTLED_CODES | _FAILED_CODES | _LATE_CODES


def s3_code_of(error: "ClientError") -> tuple[str, int]:
    """Return the S3 error code and the HTTP status of a refused request."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code, int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def from_postgres(error: psycopg.Error, where: str, origin: str = "the DSN") -> TallyError:
    """Convert an error of psycopg into a typed error.

    Args:
        error: The error that psycopg raised.
        where: The step, table or server, for the message.
        origin: The source of the DSN, such as `WAREHOUSE_DSN`.
    """
    diagnosis = diagnose(error, origin)
    primary, parts = detail_of(error)
    text = f"Postgres [{diagnosis.state}] {diagnosis.name}{primary} ({where})"
    details = [*parts, diagnosis.advice] if diagnosis.advice else parts
    if details:
        text += ": " + "; ".join(details)
    return WarehouseUnavailableError(text) if diagnosis.is_transient else WarehouseError(text)


def _from_s3(error: "ClientError", where: str, named_by: str) -> TallyError:
    code, status = s3_code_of(error)
    text = f"S3 [{code or status}] {error.response.get('Error', {}).get('Message', '')} ({where})"
    if code in {"PreconditionFailed", "412"} or status == 412:
        return ObjectChangedError(f"{text}: the object was replaced during the run; the retry reads the new version")
    if code in RETRIED_S3_CODES or status >= 500 or status == 429:
        return LakeUnavailableError(text)
    return LakeError(text + hint_of_answer(code, status, named_by))


def translate(error: Exception, where: str, named_by: str = LAKE_BUCKET) -> TallyError | None:
    """Convert a driver's error into a `TallyError`. Return None for an error of any other origin.

    Args:
        error: The error that psycopg or botocore raised.
        where: The object, table or step where the error happened, for the message.
        named_by: The setting that names the bucket, for errors of S3.
    """
    if isinstance(error, TallyError):
        return error
    if isinstance(error, psycopg.Error):
        return from_postgres(error, where)
    if any(ancestor.__module__ == "botocore.exceptions" for ancestor in type(error).__mro__):
        return _from_botocore(error, where, named_by)
    return None


def _from_botocore(error: Exception, where: str, named_by: str) -> TallyError | None:
    from botocore import exceptions  # noqa: PLC0415 - slow to import, and seldom needed

    if isinstance(error, exceptions.ClientError):
        return _from_s3(error, where, named_by)
    lost = exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError
    if isinstance(error, lost) and not is_distrusted(error):
        return LakeUnavailableError(f"S3 did not answer ({where}): {error}{hint_of_client(error)}")
    if isinstance(error, exceptions.BotoCoreError):
        return LakeError(f"S3 client refused ({where}): {error}{hint_of_client(error)}")
    return None


@contextmanager
def errors_at(where: str, named_by: str = LAKE_BUCKET) -> Iterator[None]:
    """Convert driver errors that leave the block into typed errors that name the place.

    Args:
        where: See `translate`.
        named_by: See `translate`.

    Raises:
        TallyError: Replaces the psycopg or botocore error, which becomes its cause.
    """
    try:
        yield
    except TallyError:
        raise
    except Exception as error:
        typed = translate(error, where, named_by)
        if typed is None:
            raise
        raise typed from error


def printable_error(error: BaseException, where: str) -> TallyError | None:
    """Return a replacement for an error that the Prefect server would refuse. Return None to keep the error.

    The server refuses texts with unprintable characters. A panic of a Rust library is replaced as well: it does not
    derive from `Exception`, so it would crash the run instead of failing it.

    Args:
        error: The error that a step raised.
        where: The step, for the message.
    """
    is_panic = type(error).__name__ == "PanicException"
    if isinstance(error, TallyError) or not (isinstance(error, Exception) or is_panic):
        return None
    text = str(error)
    if text == printable(text) and not is_panic:
        return None
    known = translate(error, where) if isinstance(error, Exception) else None
    return known or UnexpectedError(f"{where} failed unexpectedly: {type(error).__name__}: {text}")


def is_transient(error: BaseException) -> bool:
    """Return whether a retry may succeed after this error."""
    if isinstance(error, TallyError):
        return isinstance(error, Transient)
    if isinstance(error, Exception):
        typed = translate(error, "")
        return isinstance(typed, Transient)
    return False
