"""The runner of SQL cases finds each kind of wrong answer and says where it is."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg import sql
from sample_visits import SQL, VISITS
from sql_cases.case_files import Case, CaseError
from sql_cases.case_runner import contracts, create_tables, locale_ordered_columns, run, schemas

from tasks.contracts import catalog
from tasks.engine.build import sql_files
from tasks.engine.errors import WarehouseError
from tasks.engine.warehouse.tables import Connection

COUNTS = "visits_marts/visit_counts_by_country"
TOP = "visits_insights/top_countries"
COUNTED = "the counts do not add up to the visits of the month"
GOOD: dict[str, Any] = {
    "parameters": {"month": "2021-04-01"},
    "input": {"visits_staging.visits": 'month | country\n2021-04-01 | Palau\n2021-04-01 |\n2021-04-01 | ""\n'},
    "expect": "month | country | visit_count\n2021-04-01 | Palau | 1\n2021-04-01 | unknown | 2\n",
}
GOOD_TOP: dict[str, Any] = {
    "parameters": {"since": "2021-01-01", "until": "2022-01-01", "top": 2},
    "input": {
        "visits_marts.visit_counts_by_country": "month | country | visit_count\n2021-04-01 | b | 2\n2021-04-01 | a | 2"
    },
    "expect": "country | visit_count\na | 2\nb | 2\n",
}


@pytest.fixture(autouse=True)
def _sample_tables(tmp_path_factory: pytest.TempPathFactory, connection: Connection) -> None:
    """The made-up tables, beside those of the project."""
    root = tmp_path_factory.mktemp("sql")
    for tree in (SQL, sql_files.ROOT / "ledger"):
        shutil.copytree(tree, root / "ledger" if tree.name == "ledger" else root, dirs_exist_ok=True)
    create_tables(connection, [VISITS], root)


def write_case(folder: Path, address: str, content: dict[str, Any]) -> Case:
    path = folder / address / "example.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({"description": "An example."} | content), encoding="utf-8")
    return Case(path, SQL)


def test_right_answer_passes(tmp_path: Path, connection: Connection) -> None:
    run(write_case(tmp_path, COUNTS, GOOD), connection)


def test_wrong_answer_is_shown_as_a_diff(tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"expect": "month | country | visit_count\n2021-04-01 | Palau | 3\n"})
    with pytest.raises(AssertionError) as failure:
        run(case, connection)
    assert str(failure.value).splitlines()[1:] == [
        "--- expect",
        f"+++ sql/{COUNTS}",
        "@@ -1 +1,2 @@",
        "-2021-04-01 | Palau | 3",
        "+2021-04-01 | Palau | 1",
        "+2021-04-01 | unknown | 2",
    ]


def test_null_differs_from_the_empty_string(tmp_path: Path, connection: Connection) -> None:
    content = {
        "input": {
            "visits_staging.visits": 'load_id | month | country\n1 | 2021-04-01 | ""\n',
            "ledger.loads": "load_id\n1\n",
        },
        "expect": "load_id | country\n1 |\n",
    }
    with pytest.raises(AssertionError, match=r'(?m)^-1 \| \n\+1 \| ""$'):
        run(write_case(tmp_path, "visits_staging/visit_sources", content), connection)


def test_right_order_of_a_query_without_a_table_passes(tmp_path: Path, connection: Connection) -> None:
    run(write_case(tmp_path, TOP, GOOD_TOP), connection)


def test_wrong_order_of_a_query_without_a_table_fails(tmp_path: Path, connection: Connection) -> None:
    content = GOOD_TOP | {"expect": "country | visit_count\nb | 2\na | 2\n"}
    with pytest.raises(AssertionError, match=r"(?m)^\+a \| 2\n b \| 2\n-a \| 2$"):
        run(write_case(tmp_path, TOP, content), connection)


def test_expected_check_that_is_not_broken_fails(tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"broken checks": [{"fail": COUNTED, "rows": 1}]})
    with pytest.raises(AssertionError, match=rf"expected broken \[\('fail', '{COUNTED}', 1\)\], found \[\]"):
        run(case, connection)


def test_broken_check_that_is_not_expected_fails(tmp_path: Path, connection: Connection) -> None:
    content = {key: value for key, value in GOOD.items() if key != "expect"} | {"broken checks": []}
    found = rf"(?s)found \[\('fail', '{COUNTED}', 1\)\].*counted_count 0, staged_count 3"
    with pytest.raises(AssertionError, match=found):
        run(write_case(tmp_path, COUNTS, content), connection)


@pytest.mark.parametrize("header", ["month | visit_count", "country | month | visit_count"])
def test_header_that_differs_from_the_query_is_refused(header: str, tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"expect": header})
    with pytest.raises(CaseError, match=r"expected the query's columns \('month', 'country', 'visit_count'\)"):
        run(case, connection)


def test_input_of_a_table_that_does_not_exist_is_refused(tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"input": {"visits_staging.viits": "month\n2021-04-01"}})
    with pytest.raises(CaseError, match=r"input visits_staging\.viits: expected the name of a table"):
        run(case, connection)


def test_column_without_a_neutral_value_is_refused(tmp_path: Path, connection: Connection) -> None:
    connection.execute("CREATE TABLE visits_staging.shapes (id int, outline box NOT NULL)")
    case = write_case(tmp_path, COUNTS, GOOD | {"input": {"visits_staging.shapes": "id\n1"}})
    with pytest.raises(CaseError, match=r"input visits_staging.shapes: add the columns \['outline \(box\)'\]"):
        run(case, connection)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("month | county\n2021-04-01 | Palau\n", 'column "county" of relation "visits" does not exist'),
        ("month | country\n2021-04-31 | Palau\n", "date/time field value out of range"),
        ("month | country\n | Palau\n", 'null value in column "month"'),
    ],
)
def test_input_that_postgres_refuses_is_named(rows: str, message: str, tmp_path: Path, connection: Connection) -> None:
    case = write_case(tmp_path, COUNTS, GOOD | {"input": {"visits_staging.visits": rows}})
    with pytest.raises(WarehouseError, match=rf"(?s){message}.* \(.*input visits_staging.visits\)"):
        run(case, connection)


def test_text_in_the_order_of_the_locale_is_found(connection: Connection) -> None:
    query = "SELECT name, 1 AS visit_count FROM (VALUES ('a'), ('b')) AS v (name) ORDER BY visit_count, name {} DESC"
    assert locale_ordered_columns(sql.SQL(query.format("")), {}, connection) == ["name"]
    assert locale_ordered_columns(sql.SQL(query.format('COLLATE "C"')), {}, connection) == []


def test_contracts_and_schemas_are_found() -> None:
    assert {contract.dataset: contract for contract in contracts()} == catalog.contracts()
    assert schemas(SQL) == ["visits_marts", "visits_staging"]
    assert set(schemas()) == {path.parent.parent.name for path in sql_files.ROOT.glob("*/*/table.sql")} - {"ledger"}


MERGED = {
    "table.sql": "-- sources: none\nCREATE TABLE IF NOT EXISTS shop.latest (name text PRIMARY KEY, size int);\n",
    "affected_keys.sql": "-- sources: visits_staging.visits, shop.latest\nSELECT visits.country AS name"
    " FROM visits_staging.visits WHERE visits.month = %(month)s"
    " UNION SELECT latest.name FROM shop.latest WHERE latest.size = 9\n",
    "query.sql": "-- key: name\n-- sources: visits_staging.visits\n-- write disposition: merge by (name)\n"
    "SELECT visits.country AS name, count(*)::int AS size FROM visits_staging.visits"
    " INNER JOIN affected_latest ON visits.country = affected_latest.name GROUP BY visits.country\n",
    "checks.sql": "-- warn: rows have size one\nSELECT latest.name FROM shop.latest"
    " INNER JOIN affected_latest ON latest.name = affected_latest.name WHERE latest.size = 1;\n",
}
MERGE: dict[str, Any] = {
    "parameters": {"month": "2021-04-01"},
    "input": {
        "visits_staging.visits": "month | country\n2021-04-01 | Palau\n2021-03-01 | Palau\n2021-04-01 | Chad\n",
        "shop.latest": "name | size\nPalau | 5\nGone | 9\nOther | 1\n",
    },
    "expect": "name | size\nPalau | 2\nChad | 1\nOther | 1\n",
    "broken checks": [{"warn": "rows have size one", "rows": 1}],
}


def merge_case(folder: Path, connection: Connection, content: dict[str, Any]) -> Case:
    root = folder / "sql"
    (root / "shop" / "latest").mkdir(parents=True)
    for name, text in MERGED.items():
        (root / "shop" / "latest" / name).write_text(text, encoding="utf-8")
    connection.execute("CREATE SCHEMA shop")
    connection.execute(MERGED["table.sql"])
    return replace(write_case(folder, "shop/latest", content), root=root)


def test_merge_starts_from_the_given_rows_of_its_table(tmp_path: Path, connection: Connection) -> None:
    run(merge_case(tmp_path, connection, MERGE), connection)


def test_checks_of_a_merge_read_the_input_as_it_is(tmp_path: Path, connection: Connection) -> None:
    content = {key: value for key, value in MERGE.items() if key != "expect"}
    content["input"] = MERGE["input"] | {"shop.latest": "name | size\nPalau | 1\nGone | 9\nOther | 1\n"}
    run(merge_case(tmp_path, connection, content), connection)
