"""Typed errors and the one retry policy.

Every failure of the engine is a `TallyError`: `Transient` (try again) or `Permanent` (trying again cannot help). This
module alone classifies the errors of psycopg (with `sqlstates`) and botocore, by SQLSTATE and by S3 error code. The
class of an error does not decide: a wrong password is an `OperationalError`, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as LakeConnectionError

from tasks.engine.lake_hints import LAKE_BUCKET, hint_of_answer, hint_of_client, is_distrusted
from tasks.engine.quoting import printable
from tasks.engine.sqlstates import diagnose


class TallyError(Exception):
    """Anything that Tally reports: what was expected, what was found, where, and what to do next.

    Args:
        message: It may quote data or a driver's text: it is made printable, and its length is bounded.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class Transient(TallyError):
    """A failure that may pass by itself: the policy tries again."""


class Permanent(TallyError):
    """A failure that stays until somebody changes something: never tried again."""


class SettingsError(Permanent):
    """A setting is missing, unknown or malformed."""


class ContractError(Permanent):
    """An object's structure does not fit its contract: columns missing, unknown or doubled."""


class ParameterError(Permanent):
    """A run was asked for something that makes no sense, or that it may not do."""


class EmptyExportError(Permanent):
    """An export without rows would replace one that has rows."""


class MissingObjectError(Permanent):
    """The lake holds no object for the partition that was asked for."""


class UnreadableObjectError(Permanent):
    """An object's bytes cannot be told apart into records any more, such as a truncated gzip stream."""


class ErrorBudgetError(Permanent):
    """More rows were rejected than the error budget allows; the previous state stands."""


class ShrinkError(Permanent):
    """An object would replace rows by none, or by far fewer; the table keeps its previous rows."""


class BalanceError(Permanent):
    """Counts that must agree do not: rows were lost, doubled or changed outside of Tally."""


class CheckError(Permanent):
    """A check marked `fail` found rows; what it guards is left as it was."""


class SchemaDriftError(Permanent):
    """A table differs from what its contract or its file says, and the difference is not one that Tally resolves."""


class SqlFileError(Permanent):
    """A file under `sql/` is missing something that its runner needs."""


class ObjectExistsError(Permanent):
    """Something stands where an object was to be written once; it stays as it is."""


class ResetError(Permanent):
    """A dataset cannot be reset: other tables depend on it, or nothing could load it again."""


class BackfillError(Permanent):
    """A backfill was asked for what it cannot plan, or partitions of it failed."""


class LakeError(Permanent):
    """S3 refused a request for a reason that stays."""


class WarehouseError(Permanent):
    """Postgres refused a statement for a reason that stays."""


class PooledSessionError(Permanent):
    """A pooler between Tally and Postgres gives a session to several connections."""


class SourceError(Permanent):
    """The operational database is not what is extracted: tables or columns are missing."""


class LakeSetupError(Permanent):
    """Buckets, prefixes or markers that a run needs are not there."""


class UnexpectedError(Permanent):
    """An error that Tally does not know, and whose own text could not be shown as it is."""


class ObjectChangedError(Transient):
    """An object was replaced while it was read; the read starts again from its first byte."""


class LakeUnavailableError(Transient):
    """S3 did not answer, throttled, or failed on its side."""


class WarehouseUnavailableError(Transient):
    """Postgres did not answer, starts or stops, ran out of a resource, or chose this transaction as a victim."""


class WarehouseBusyError(WarehouseUnavailableError):
    """Another session holds a lock on a table that must change, and held it for all attempts."""


class PartitionBusyError(Transient):
    """Another run is writing the same partition."""


RETRIED_S3_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


def s3_code_of(error: ClientError) -> tuple[str, int]:
    """S3 error code and HTTP status of a refused request."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code, int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def from_postgres(error: psycopg.Error, where: str, origin: str = "the DSN") -> TallyError:
    """The typed error for an error of psycopg.

    Args:
        error: As psycopg raised it.
        where: The step, table or server.
        origin: Where the DSN comes from, such as `WAREHOUSE_DSN`.
    """
    diagnosis, diag = diagnose(error, origin), error.diag
    text = f"Postgres [{diagnosis.state}] {diagnosis.name}{diag.message_primary or str(error).strip()} ({where})"
    details = [part for part in (diag.message_detail, diag.context, diag.message_hint, diagnosis.advice) if part]
    if details:
        text += ": " + "; ".join(details)
    return WarehouseUnavailableError(text) if diagnosis.is_transient else WarehouseError(text)


def _from_s3(error: ClientError, where: str, named_by: str) -> TallyError:
    code, status = s3_code_of(error)
    text = f"S3 [{code or status}] {error.response.get('Error', {}).get('Message', '')} ({where})"
    if code in {"PreconditionFailed", "412"} or status == 412:
        return ObjectChangedError(f"{text}: the object was replaced during the run; it is read again")
    if code in RETRIED_S3_CODES or status >= 500 or status == 429:
        return LakeUnavailableError(text)
    return LakeError(text + hint_of_answer(code, status, named_by))


def translate(error: Exception, where: str, named_by: str = LAKE_BUCKET) -> TallyError | None:
    """The `TallyError` that stands for a driver's error, or None for an error that is not a driver's.

    Args:
        error: What psycopg or botocore raised.
        where: The object, table or step that was being worked on, for the message.
        named_by: The setting that names the bucket, where that is about S3.
    """
    if isinstance(error, TallyError):
        return error
    if isinstance(error, psycopg.Error):
        return from_postgres(error, where)
    if isinstance(error, ClientError):
        return _from_s3(error, where, named_by)
    if isinstance(error, LakeConnectionError | HTTPClientError | IncompleteReadError) and not is_distrusted(error):
        return LakeUnavailableError(f"S3 did not answer ({where}): {error}{hint_of_client(error)}")
    if isinstance(error, BotoCoreError):
        return LakeError(f"S3 client refused ({where}): {error}{hint_of_client(error)}")
    return None


@contextmanager
def errors_at(where: str, named_by: str = LAKE_BUCKET) -> Iterator[None]:
    """Translate driver errors that leave the block into typed ones that say where they happened.

    Args:
        where: As for `translate`.
        named_by: As for `translate`.

    Raises:
        TallyError: In place of the psycopg or botocore error, which stays its cause.
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
    """The error to raise in place of one whose text a server would refuse, or None where the error may stay.

    A panic of a Rust library is no `Exception`, so that it would crash the run instead of failing it: it is replaced,
    too.

    Args:
        error: What a step raised.
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
    """Whether the retry policy tries again after this error."""
    if isinstance(error, TallyError):
        return isinstance(error, Transient)
    if isinstance(error, Exception):
        typed = translate(error, "")
        return isinstance(typed, Transient)
    return False
