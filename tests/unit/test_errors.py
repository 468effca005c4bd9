"""The classification of errors, mainly of errors that are hard to provoke on a real server."""

import re

import psycopg
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tasks.engine import errors
from tasks.engine.errors import (
    LakeError,
    LakeUnavailableError,
    ObjectChangedError,
    Permanent,
    SettingsError,
    TallyError,
    Transient,
    WarehouseError,
    WarehouseUnavailableError,
    errors_at,
    is_transient,
    translate,
)


@pytest.mark.parametrize(
    "state",
    [
        "08000", "08001", "08003", "08004", "08006", "25P03", "40001", "40P01", "53000", "53200", "53300", "57P01",
        "57P02", "57P03", "57P05", "55P03",
    ],
)  # fmt: skip
def test_temporary_postgres_error_is_transient(state: str) -> None:
    error = psycopg.errors.lookup(state)("busy")
    assert is_transient(error)
    typed = translate(error, "events_staging.events")
    assert type(typed) is WarehouseUnavailableError
    assert str(typed).startswith(f"Postgres [{state}] ")
    assert "busy (events_staging.events)" in str(typed)


@pytest.mark.parametrize(
    "state",
    [
        "53100", "53400", "08P01", "28P01", "28000", "3D000", "42P01", "42501", "42703", "22021", "22P02", "23505",
        "23503", "57014", "25006", "0A000", "XX000", "40002", "P0001",
    ],
)  # fmt: skip
def test_lasting_postgres_error_is_permanent(state: str) -> None:
    error = psycopg.errors.lookup(state)("no")
    assert not is_transient(error)
    assert type(translate(error, "here")) is WarehouseError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (psycopg.errors.InvalidPassword("no"), "Postgres [28P01] wrong user or password: no (here)"),
        (psycopg.errors.UndefinedColumn("no"), "Postgres [42703] no such column: no (here)"),
        (psycopg.errors.UndefinedTable("no"), "Postgres [42P01] no such table: no (here)"),
        (psycopg.errors.SyntaxError("no"), "Postgres [42601] no (here)"),
        (psycopg.OperationalError('FATAL:  database "x" does not exist'), "Postgres [3D000] no such database: "),
        (psycopg.OperationalError('FATAL:  role "x" does not exist'), "Postgres [28000] this user may not log in: "),
        (psycopg.OperationalError('invalid port number: "70000"'), "Postgres [bad setting] invalid port number"),
    ],
)
def test_postgres_error_has_its_name_after_the_state(error: psycopg.Error, words: str) -> None:
    assert str(translate(error, "here")).startswith(words)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('connection failed: FATAL:  password authentication failed for user "x"', WarehouseError),
        ("connection failed: fe_sendauth: no password supplied", WarehouseError),
        ('connection failed: FATAL:  no pg_hba.conf entry for host "1.2.3.4"', WarehouseError),
        ('connection failed: FATAL:  database "x" does not exist', WarehouseError),
        ('connection failed: FATAL:  role "x" does not exist', WarehouseError),
        ("failed to resolve host 'nowhere': [Errno -2] Name or service not known", WarehouseError),
        ('connection failed: FATAL:  permission denied for database "x"', WarehouseError),
        ("failed to resolve host 'x': [Errno -3] Temporary failure in name resolution", WarehouseUnavailableError),
        ('connection failed: no pg_hba.conf entry for host "1.2.3.4", user "x", no encryption', WarehouseError),
        ("connection failed: server does not support SSL, but SSL was required", WarehouseError),
        ("connection failed: Connection refused", WarehouseUnavailableError),
        ("connection failed: FATAL:  the database system is starting up", WarehouseUnavailableError),
        ("connection failed: FATAL:  sorry, too many clients already", WarehouseUnavailableError),
        ("connection timeout expired", WarehouseUnavailableError),
        ("server closed the connection unexpectedly", WarehouseUnavailableError),
        ("consuming input failed: SSL connection has been closed unexpectedly", WarehouseUnavailableError),
    ],
)
def test_error_without_a_state_is_classified_by_its_text(text: str, kind: type[TallyError]) -> None:
    assert type(translate(psycopg.OperationalError(text), "warehouse connection")) is kind


def test_error_of_the_client_itself_is_permanent() -> None:
    assert type(translate(psycopg.ProgrammingError("the query has 2 placeholders"), "here")) is WarehouseError


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("42501", "Grant the missing right to the user of the DSN.*deployments.grants --apply"),
        ("53300", "raise max_connections"),
        ("53400", "Raise the limit"),
    ],
)
def test_postgres_error_that_an_operator_resolves_names_the_next_step(state: str, advice: str) -> None:
    assert re.search(rf"no \(here\): .*{advice}", str(translate(psycopg.errors.lookup(state)("no"), "here")))


def test_error_of_the_connection_has_no_tab_at_the_start_of_a_line() -> None:
    error = psycopg.OperationalError("connection failed: Connection refused\n\tIs the server running on that host?")
    text = str(translate(error, "warehouse connection"))
    assert "Connection refused. Is the server running on that host? (warehouse connection)" in text


def refused(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SlowDown", 503, LakeUnavailableError),
        ("ServiceUnavailable", 503, LakeUnavailableError),
        ("InternalError", 500, LakeUnavailableError),
        ("502", 502, LakeUnavailableError),
        ("", 504, LakeUnavailableError),
        ("TooManyRequests", 429, LakeUnavailableError),
        ("RequestTimeout", 400, LakeUnavailableError),
        ("Throttling", 400, LakeUnavailableError),
        ("OperationAborted", 409, LakeUnavailableError),
        ("ConditionalRequestConflict", 409, LakeUnavailableError),
        ("PreconditionFailed", 412, ObjectChangedError),
        ("412", 412, ObjectChangedError),
        ("NoSuchKey", 404, LakeError),
        ("404", 404, LakeError),
        ("NoSuchBucket", 404, LakeError),
        ("AccessDenied", 403, LakeError),
        ("403", 403, LakeError),
        ("InvalidAccessKeyId", 403, LakeError),
        ("SignatureDoesNotMatch", 403, LakeError),
        ("ExpiredToken", 400, LakeError),
        ("InvalidRange", 416, LakeError),
        ("MethodNotAllowed", 405, LakeError),
    ],
)
def test_s3_error_is_classified_by_its_code_and_status(code: str, status: int, kind: type[TallyError]) -> None:
    typed = translate(refused(code, status), "s3://b/k")
    assert type(typed) is kind
    assert is_transient(refused(code, status)) == issubclass(kind, Transient)
    assert str(typed).startswith(f"S3 [{code or status}] said so (s3://b/k)")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(endpoint_url="http://x"), LakeUnavailableError),
        (ConnectTimeoutError(endpoint_url="http://x"), LakeUnavailableError),
        (ReadTimeoutError(endpoint_url="http://x"), LakeUnavailableError),
        (ResponseStreamingError(error="x"), LakeUnavailableError),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), LakeUnavailableError),
        (NoCredentialsError(), LakeError),
        (ParamValidationError(report="x"), LakeError),
    ],
)
def test_s3_without_an_answer_is_transient_and_a_refusing_client_permanent(
    error: Exception, kind: type[TallyError]
) -> None:
    typed = translate(error, "s3://b/k")
    assert type(typed) is kind
    assert "(s3://b/k)" in str(typed)


def test_driver_error_becomes_typed_and_stays_the_cause() -> None:
    cause = psycopg.errors.DeadlockDetected("deadlock")
    with pytest.raises(WarehouseUnavailableError) as caught, errors_at("here"):
        raise cause
    assert caught.value.__cause__ is cause


def test_typed_error_passes_as_it_is_with_the_innermost_place() -> None:
    with pytest.raises(LakeError, match=r"\(inner\)"), errors_at("outer"), errors_at("inner"):
        raise refused("AccessDenied", 403)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), OSError("x"), KeyboardInterrupt()])
def test_unknown_error_passes_unchanged_and_is_never_retried(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, errors_at("here"):
        raise error
    assert caught.value is error
    assert not is_transient(error)


def test_every_typed_error_is_either_transient_or_permanent() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, TallyError) and kind not in (TallyError, Transient, Permanent)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, Transient) != issubclass(kind, Permanent), kind
        assert is_transient(kind("x")) == issubclass(kind, Transient)
    assert not is_transient(SettingsError("x"))
