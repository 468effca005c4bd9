"""Errors of a source that cannot be read: a real server in each state, and the states that a retry may outlast."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from deployments.local import embedded
from deployments.samples.totesys import fill_source
from tasks.contracts.totesys_source import SOURCE_TABLES
from tasks.engine.errors import TallyError, is_transient
from tasks.engine.settings import SourceSettings
from tasks.engine.sync.source import open_snapshot
from tasks.engine.warehouse.copy_out import BLOCK_BYTES

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource

BY_NAME = {table.name: table for table in SOURCE_TABLES}


@pytest.fixture
def owner(totesys_source: "TotesysSource") -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(totesys_source.owner_dsn, autocommit=True) as connection:
        yield connection


def refused(dsn: str) -> TallyError:
    """The error that `open_snapshot` raises."""
    with (
        pytest.raises(TallyError) as caught,
        open_snapshot(SourceSettings.model_validate({"dsn": dsn}), SOURCE_TABLES),
    ):
        pass
    return caught.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "hunter2"}, "Postgres [28P01] wrong user or password: "),
        ({"user": "nobody_at_all"}, "Postgres [28P01] wrong user or password: "),
        ({"dbname": "nowhere"}, "Postgres [3D000] no such database: "),
        ({"host": "nowhere.invalid"}, "Postgres [bad host name] "),
        ({"port": "x"}, "Postgres [bad setting] "),
        ({"port": "70000"}, "Postgres [bad setting] "),
    ],
    ids=["password", "user", "database", "host", "port", "port-too-large"],
)
def test_wrong_address_or_login_is_named_and_permanent(
    totesys_source: "TotesysSource", change: dict[str, str], words: str
) -> None:
    error = refused(make_conninfo(totesys_source.reader_dsn, **change))
    assert str(error).startswith(words)
    assert "(source connection to " in str(error)
    assert not is_transient(error)
    assert "hunter2" not in repr(error)
    assert str(psycopg.conninfo.conninfo_to_dict(totesys_source.reader_dsn)["password"]) not in repr(error)


def test_source_that_does_not_answer_is_tried_again(totesys_source: "TotesysSource") -> None:
    assert is_transient(refused(make_conninfo(totesys_source.reader_dsn, port=9)))


def test_missing_tables_are_named_all_at_once(totesys_source: "TotesysSource", owner: psycopg.Connection[Any]) -> None:
    owner.execute("DROP TABLE payment, staff")
    owner.execute("ALTER TABLE design RENAME TO designs")
    error = refused(totesys_source.reader_dsn)
    assert str(error).startswith(
        "Postgres [42P01] no such table: expected public.design, public.staff, public.payment in database"
    )
    assert "public.designs" in str(error)
    assert not is_transient(error)


def test_missing_columns_are_named_all_at_once(totesys_source: "TotesysSource", owner: psycopg.Connection[Any]) -> None:
    owner.execute("ALTER TABLE staff DROP last_updated, DROP email_address")
    owner.execute("ALTER TABLE design RENAME design_name TO name")
    error = refused(totesys_source.reader_dsn)
    assert str(error).startswith(
        "Postgres [42703] no such column: public.design without design_name, found design_id, name,"
    )
    assert "public.staff without email_address, last_updated, found staff_id" in str(error)
    assert not is_transient(error)


def test_unknown_columns_are_reported_and_not_extracted(
    totesys_source: "TotesysSource", owner: psycopg.Connection[Any]
) -> None:
    fill_source(owner, sales_orders=3)
    owner.execute("ALTER TABLE staff ADD shoe_size integer DEFAULT 42, ADD nick text")
    with open_snapshot(SourceSettings.model_validate({"dsn": totesys_source.reader_dsn}), SOURCE_TABLES) as opened:
        assert opened.unknown_columns == {"staff": ("shoe_size", "nick")}
        header = b"staff_id,first_name,last_name,department_id,email_address,created_at,last_updated\n"
        assert b"".join(opened.copy_changed(BY_NAME["staff"], None)).startswith(header)


def test_table_that_may_not_be_read_is_an_error_before_any_row(
    totesys_source: "TotesysSource", owner: psycopg.Connection[Any]
) -> None:
    user = psycopg.conninfo.conninfo_to_dict(totesys_source.reader_dsn)["user"]
    owner.execute(sql.SQL("REVOKE ALL ON payment FROM {}").format(sql.Identifier(str(user))))
    error = refused(totesys_source.reader_dsn)
    assert "Postgres [42501] permission denied for table payment (source tables)" in str(error)
    assert not is_transient(error)


def test_rows_that_a_policy_hides_are_an_error_and_not_missing(
    totesys_source: "TotesysSource", owner: psycopg.Connection[Any]
) -> None:
    fill_source(owner, sales_orders=3)
    owner.execute("ALTER TABLE payment ENABLE ROW LEVEL SECURITY")
    with (
        pytest.raises(TallyError, match=r'42501.*row-level security policy for table "payment" \(public.payment\)'),
        open_snapshot(SourceSettings.model_validate({"dsn": totesys_source.reader_dsn}), SOURCE_TABLES) as opened,
    ):
        opened.count_changed(BY_NAME["payment"], None)


@pytest.fixture
def large(owner: psycopg.Connection[Any]) -> int:
    """Number of rows of a table that is larger than the buffers between server and client."""
    rows = 150_000
    fill_source(owner, sales_orders=1)
    owner.execute(
        "INSERT INTO address (address_line_1, address_line_2, city, postal_code, country, phone)"
        " SELECT repeat('x', 60), repeat('y', 60), 'c', 'p', 'c', 'p' FROM generate_series(1, %s)",
        [rows - 30],
    )
    return rows


def restart_after_first_block(postgres: embedded.Postgres, mode: Any, blocks: Iterator[bytes]) -> None:
    next(blocks)
    postgres.restart(mode)
    for _ in blocks:
        pass


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_of_the_source_in_mid_extract_is_tried_again_and_then_complete(
    totesys_source: "TotesysSource", services: embedded.Services, large: int, mode: Any
) -> None:
    if services.postgres is None:
        pytest.skip("the server is given")
    settings, table = SourceSettings.model_validate({"dsn": totesys_source.reader_dsn}), BY_NAME["address"]
    with pytest.raises(TallyError) as caught, open_snapshot(settings, SOURCE_TABLES) as opened:
        restart_after_first_block(services.postgres, mode, opened.copy_changed(table, None))
    assert "public.address" in str(caught.value)
    assert is_transient(caught.value)
    with open_snapshot(settings, SOURCE_TABLES) as opened:
        read = list(opened.copy_changed(table, None))
    assert max(map(len, read)) == BLOCK_BYTES
    assert b"".join(read).count(b"\n") == large + 1
