"""The runner of the SQL cases can fail, and says what is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql
from sql_cases.case_runner import Case, CaseError, contracts, locale_ordered_columns, run, schemas

from tasks.contracts.events import EVENTS
from tasks.engine.errors import WarehouseError
from tasks.engine.warehouse import Connection

COUNTS = "events_marts/event_counts_by_country"
TOP = "events_insights/top_countries"
COUNTED = "every event of the month is counted once"
GOOD = {
    "params.yaml": "month: 2021-04-01\n",
    "events_staging.events.csv": 'month,country\n2021-04-01,Palau\n2021-04-01,\n2021-04-01,""\n',
    "expect.csv": "month,country,event_count\n2021-04-01,Palau,1\n2021-04-01,unknown,2\n",
}
GOOD_TOP = {
    "params.yaml": "since: 2021-01-01\nuntil: 2022-01-01\ntop: 2\n",
    "events_marts.event_counts_by_country.csv": "month,country,event_count\n2021-04-01,b,2\n2021-04-01,a,2\n",
    "expect.csv": "country,event_count\na,2\nb,2\n",
}


def write_case(folder: Path, address: str, files: dict[str, str]) -> Case:
    case = folder / address / "test_example"
    case.mkdir(parents=True)
    for name, text in files.items():
        (case / name).write_text(text, encoding="utf-8")
    return Case(case)


def test_sound_case_passes(tmp_path: Path, connection: Connection) -> None:
    run(write_case(tmp_path, COUNTS, GOOD), connection)


def test_wrong_answer_is_shown_as_a_diff(tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"expect.csv": "month,country,event_count\n2021-04-01,Palau,3\n"})
    with pytest.raises(AssertionError) as failure:
        run(case, connection)
    assert str(failure.value).splitlines()[1:] == [
        "--- expect.csv",
        f"+++ sql/{COUNTS}",
        "@@ -1 +1,2 @@",
        "-2021-04-01,Palau,3",
        "+2021-04-01,Palau,1",
        "+2021-04-01,unknown,2",
    ]


def test_null_and_empty_string_are_told_apart(tmp_path: Path, connection: Connection) -> None:
    files = {
        "events_staging.events.csv": 'load_id,month,country\n1,2021-04-01,""\n',
        "ledger.loads.csv": "load_id\n1\n",
        "expect.csv": "load_id,country\n1,\n",
    }
    with pytest.raises(AssertionError, match=r'(?m)^-1,\n\+1,""$'):
        run(write_case(tmp_path, "events_staging/events_ingested", files), connection)


def test_right_order_of_a_query_without_a_table_passes(tmp_path: Path, connection: Connection) -> None:
    run(write_case(tmp_path, TOP, GOOD_TOP), connection)


def test_wrong_order_of_a_query_without_a_table_fails(tmp_path: Path, connection: Connection) -> None:
    files = GOOD_TOP | {"expect.csv": "country,event_count\nb,2\na,2\n"}
    with pytest.raises(AssertionError, match=r"(?m)^\+a,2\n b,2\n-a,2$"):
        run(write_case(tmp_path, TOP, files), connection)


def test_expected_check_that_is_sound_fails(tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"expect_checks.yaml": f"- fail: {COUNTED}\n  rows: 1\n"})
    with pytest.raises(AssertionError, match=rf"expected broken \[\('fail', '{COUNTED}', 1\)\], found \[\]"):
        run(case, connection)


def test_broken_check_that_is_not_expected_fails(tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"expect_checks.yaml": "[]\n"})
    (case.folder / "expect.csv").unlink()
    with pytest.raises(AssertionError, match=rf"(?s)found \[\('fail', '{COUNTED}', 1\)\].*\(Decimal\('0'\), 3\)"):
        run(case, connection)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("expect.csv", None, "expected expect.csv or expect_checks.yaml, found neither"),
        ("expect.csv", "", "expected a header with the columns' names, found an empty file"),
        ("expect.csv", "month,event_count\n", r"expected the query's columns \['month', 'country', 'event_count'\]"),
        ("params.yaml", None, r"expected the parameters \['month'\], found {}"),
        ("params.yaml", "month: 2021-04-01\nmoth: 2\n", r"expected the parameters \['month'\], found"),
        ("params.yml", "month: 2021-04-01\n", r"found {'params.yml'}"),
        ("notes.csv", "a\n", r"found {'notes.csv'}"),
        ("events_staging.evens.csv", "month\n", "there is no table events_staging.evens"),
        ("expect_checks.yaml", "- fail: counted\n", "expected a list of `- fail: <name>` with `rows: <count>`"),
        ("expect_checks.yaml", "counted\n", "expected a list of `- fail: <name>` with `rows: <count>`"),
    ],
)
def test_wrong_files_are_named(
    name: str, text: str | None, message: str, tmp_path: Path, connection: Connection
) -> None:
    files = GOOD | {name: text or ""}
    case = write_case(tmp_path, COUNTS, files)
    if text is None:
        (case.folder / name).unlink()
    with pytest.raises(CaseError, match=message):
        run(case, connection)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("month,county\n2021-04-01,Palau\n", 'column "county" of relation "events" does not exist'),
        ("month,country\n2021-04-31,Palau\n", "date/time field value out of range"),
        ("month,country\n2021-04-01\n", 'missing data for column "country"'),
    ],
)
def test_input_that_postgres_refuses_is_named(text: str, message: str, tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"events_staging.events.csv": text})
    with pytest.raises(WarehouseError, match=rf"{message}.* \(.*events_staging.events.csv\)"):
        run(case, connection)


def test_case_without_sql_folder_is_named(tmp_path: Path, connection: Connection) -> None:
    with pytest.raises(CaseError, match="expected sql/events_marts/event_counts_by_shoe/, which is not there"):
        run(write_case(tmp_path, "events_marts/event_counts_by_shoe", GOOD), connection)


def test_text_in_the_order_of_the_locale_is_found(connection: Connection) -> None:
    query = "SELECT name, 1 AS event_count FROM (VALUES ('a'), ('b')) AS v (name) ORDER BY event_count, name {} DESC"
    assert locale_ordered_columns(sql.SQL(query.format("")), {}, connection) == ["name"]
    assert locale_ordered_columns(sql.SQL(query.format('COLLATE "C"')), {}, connection) == []


def test_contracts_and_schemas_are_found() -> None:
    assert EVENTS in contracts()
    assert {"events_marts", "events_staging"} <= set(schemas())


MERGED = {
    "table.sql": "-- sources: none\nCREATE TABLE IF NOT EXISTS shop.latest (name text PRIMARY KEY, size int);\n",
    "touched.sql": "-- sources: events_staging.events, shop.latest\nSELECT events.country AS name"
    " FROM events_staging.events WHERE events.month = %(month)s"
    " UNION SELECT latest.name FROM shop.latest WHERE latest.size = 9\n",
    "query.sql": "-- key: name\n-- sources: events_staging.events\n-- write disposition: merge by (name)\n"
    "SELECT events.country AS name, count(*)::int AS size FROM events_staging.events"
    " INNER JOIN touched_latest ON events.country = touched_latest.name GROUP BY events.country\n",
    "checks.sql": "-- warn: none of size one\nSELECT latest.name FROM shop.latest"
    " INNER JOIN touched_latest ON latest.name = touched_latest.name WHERE latest.size = 1;\n",
}
MERGE = {
    "params.yaml": "month: 2021-04-01\n",
    "events_staging.events.csv": "month,country\n2021-04-01,Palau\n2021-03-01,Palau\n2021-04-01,Chad\n",
    "shop.latest.csv": "name,size\nPalau,5\nGone,9\nOther,1\n",
    "expect.csv": "name,size\nPalau,2\nChad,1\nOther,1\n",
    "expect_checks.yaml": "- warn: none of size one\n  rows: 1\n",
}


def merge_case(folder: Path, connection: Connection, files: dict[str, str]) -> Case:
    root = folder / "sql"
    (root / "shop" / "latest").mkdir(parents=True)
    for name, text in MERGED.items():
        (root / "shop" / "latest" / name).write_text(text, encoding="utf-8")
    connection.execute("CREATE SCHEMA shop")
    connection.execute(MERGED["table.sql"])
    return replace(write_case(folder, "shop/latest", files), root=root)


def test_case_of_a_merge_goes_on_from_the_rows_that_stand(tmp_path: Path, connection: Connection) -> None:
    run(merge_case(tmp_path, connection, MERGE), connection)


def test_checks_of_a_merge_meet_the_input_as_it_is(tmp_path: Path, connection: Connection) -> None:
    files = {name: text for name, text in MERGE.items() if name != "expect.csv"}
    files["shop.latest.csv"] = "name,size\nPalau,1\nGone,9\nOther,1\n"
    run(merge_case(tmp_path, connection, files), connection)
