"""Statistics of a table after a load: Postgres knows the rows of a new partition at once."""

from collections.abc import Iterator

import pytest
from sample_dataset import HEADER, load, put, ready_connection

from tasks.engine.warehouse.statistics import FEW_ROWS, GROWTH, refresh_statistics
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

APRIL = "things_staging.things_2021_04"
COLUMNS = "month, load_id, line_number, name, seen_date"


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


def things(count: int) -> bytes:
    return HEADER + b"".join(b"%d,2021-04-%02d\n" % (number, number % 30 + 1) for number in range(count))


def known_rows(postgres: Connection) -> float:
    row = postgres.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [APRIL]).fetchone()
    assert row
    return float(row[0])


def test_first_load_tells_postgres_the_rows_and_values_of_the_month(postgres: Connection) -> None:
    load(postgres, put(things(FEW_ROWS)))
    assert known_rows(postgres) == FEW_ROWS
    plan = postgres.execute(
        "EXPLAIN (FORMAT JSON) SELECT * FROM things_staging.things WHERE month = '2021-04-01'"
    ).fetchone()
    assert plan
    assert plan[0][0]["Plan"]["Plan Rows"] == FEW_ROWS
    distinct = postgres.execute(
        "SELECT n_distinct FROM pg_stats WHERE schemaname = 'things_staging' AND tablename = 'things_2021_04'"
        " AND attname = 'seen_date'"
    ).fetchall()
    assert distinct == [(30.0,)]


def test_autovacuum_still_takes_its_full_sample(postgres: Connection) -> None:
    load(postgres, put(things(FEW_ROWS)))
    postgres.execute("SELECT pg_stat_force_next_flush()")
    changed = postgres.execute("SELECT pg_stat_get_mod_since_analyze(%s::regclass)", [APRIL]).fetchone()
    assert changed == (FEW_ROWS,)
    assert postgres.execute("SHOW default_statistics_target").fetchone() == ("100",)


def test_small_loads_analyse_the_table_only_if_it_has_grown_by_the_factor(postgres: Connection) -> None:
    size = FEW_ROWS // 10
    load(postgres, put(things(size)))
    assert known_rows(postgres) == size
    load(postgres, put(things(size * (GROWTH - 2)), key="2021/04/second.csv"))
    assert known_rows(postgres) == size
    load(postgres, put(things(size * 2), key="2021/04/third.csv"))
    assert known_rows(postgres) == size * (GROWTH + 1)


def test_small_load_into_a_large_table_does_not_analyse(postgres: Connection) -> None:
    load(postgres, put(things(FEW_ROWS)))
    load(postgres, put(things(FEW_ROWS - 1), key="2021/04/second.csv"))
    assert known_rows(postgres) == FEW_ROWS


def test_small_share_of_new_rows_keeps_the_statistics(postgres: Connection) -> None:
    load(postgres, put(things(FEW_ROWS)))
    postgres.execute(f"INSERT INTO {APRIL} ({COLUMNS}) SELECT {COLUMNS} FROM {APRIL}, generate_series(1, 10) AS n")
    postgres.execute(f"ANALYZE {APRIL}")
    postgres.execute(f"DELETE FROM {APRIL} WHERE name <> '1'")
    for new_rows, known in ((FEW_ROWS, 11 * FEW_ROWS), (2 * FEW_ROWS, 11)):
        with postgres.transaction():
            refresh_statistics(postgres, APRIL, new_rows)
        assert known_rows(postgres) == known


def test_load_does_not_wait_for_another_session_that_analyses_the_table(postgres: Connection) -> None:
    load(postgres, put(things(1)))
    with ready_connection() as other, other.transaction():
        other.execute(f"LOCK TABLE {APRIL} IN SHARE UPDATE EXCLUSIVE MODE")
        with postgres.transaction():
            postgres.execute("SET LOCAL lock_timeout = '5s'")
            refresh_statistics(postgres, APRIL, FEW_ROWS)
        load(postgres, put(things(FEW_ROWS), key="2021/04/second.csv"))
    assert known_rows(postgres) == 1


def test_role_that_does_not_own_the_table_does_not_analyse(postgres: Connection) -> None:
    messages: list[str] = []
    postgres.add_notice_handler(lambda notice: messages.append(str(notice.message_primary)))
    with postgres.transaction():
        refresh_statistics(postgres, "pg_catalog.pg_class", FEW_ROWS**2)
    assert messages == []
