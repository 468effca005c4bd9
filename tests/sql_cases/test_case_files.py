"""The parser of SQL cases reads each cell exactly and refuses a file that would test something else than it says."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_visits import SQL
from sql_cases.case_files import Case, CaseError, Rows, format_row, parse_rows

GOOD = """\
description: Null countries count under unknown.
parameters:
  month: 2021-04-01
input:
  visits_staging.visits: |
    month      | country
    2021-04-01 | Palau
    2021-04-01 |
expect: |
  month      | country | visit_count
  2021-04-01 | Palau   | 1
  2021-04-01 | unknown | 1
broken checks:
  - fail: the counts do not add up to the visits of the month
    rows: 1
"""
CHECKS = GOOD[GOOD.index("broken checks:") :]
EXPECT = GOOD[GOOD.index("expect:") : GOOD.index("broken checks:")]
INPUT = GOOD[GOOD.index("input:") : GOOD.index("expect:")]


def case_of(folder: Path, text: str) -> Case:
    path = folder / "visits_marts" / "visit_counts_by_country" / "example.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return Case(path, SQL)


def read(case: Case) -> None:
    _ = case.content, case.table, case.inputs, case.parameters, case.expected, case.expected_checks


def test_good_case_is_read(tmp_path: Path) -> None:
    case = case_of(tmp_path, GOOD)
    read(case)
    assert case.inputs == {
        "visits_staging.visits": Rows(("month", "country"), (("2021-04-01", "Palau"), ("2021-04-01", None)))
    }
    assert case.expected is not None
    assert case.expected.columns == ("month", "country", "visit_count")
    assert case.expected_checks == [("fail", "the counts do not add up to the visits of the month", 1)]


def test_input_tables_follow_those_that_they_refer_to(tmp_path: Path) -> None:
    tables = {"orders": "shop.users, shop.days", "users": "shop.days", "days": "none"}
    for name, sources in tables.items():
        folder = tmp_path / "sql" / "shop" / name
        folder.mkdir(parents=True)
        (folder / "table.sql").write_text(f"-- sources: {sources}\n", encoding="utf-8")
    text = "\n".join(f"  shop.{name}: id" for name in tables)
    case = replace(case_of(tmp_path, GOOD.replace(INPUT, f"input:\n{text}\n")), root=tmp_path / "sql")
    assert list(case.inputs) == ["shop.days", "shop.users", "shop.orders"]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("a | b", ("a", "b")),
        ("a|b", ("a", "b")),
        ("  a  |  b  ", ("a", "b")),
        ("a b | c", ("a b", "c")),
        ("a |", ("a", None)),
        (" | b", (None, "b")),
        ("|", (None, None)),
        ('"" | ""', ("", "")),
        ('" a " | " "', (" a ", " ")),
        (r'"\t\u00a0\u2028" | "\"\\|"', ("\t\u00a0\u2028", '"\\|')),
        (r"\t | \N", (r"\t", r"\N")),
        ('{"a": "b"} | [1, "c"]', ('{"a": "b"}', '[1, "c"]')),
        ("null | NULL", ("null", "NULL")),
        ("\u00a0a\u00a0 | b", ("\u00a0a\u00a0", "b")),
    ],
)
def test_cells_are_read_exactly(line: str, cells: tuple[str | None, ...]) -> None:
    assert parse_rows(f"x | y\n{line}\n", "expect") == Rows(("x", "y"), (cells,))


@given(st.lists(st.none() | st.text(), min_size=2, max_size=4))
def test_every_row_is_read_as_it_was_written(row: list[str | None]) -> None:
    header = format_row([f"c{number}" for number in range(len(row))])
    assert parse_rows(f"{header}\n{format_row(row)}\n", "expect").cells == (tuple(row),)


def test_table_without_rows_is_read() -> None:
    assert parse_rows("x | y", "expect") == parse_rows("column\nx\ny", "expect") == Rows(("x", "y"), ())


def test_sideways_table_is_read() -> None:
    text = "column | row 1 | row 2\nid     | 1     | 2\nnote   | a     |\n"
    assert parse_rows(text, "expect") == Rows(("id", "note"), (("1", "a"), ("2", None)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expect: expected a header with the names of the columns, found ''"),
        (None, "expect: expected a header with the names of the columns, found None"),
        ([["x"]], "expected a header with the names of the columns"),
        ("x | y\n1", r"line 2: expected 2 cells as in the header, found \['1'\]"),
        ("x | y\n1 | 2 | 3", "line 2: expected 2 cells as in the header"),
        ("column | row 1\nx | 1\ny", "line 3: expected 2 cells as in the header"),
        ("x\n1\n\n2", "line 3: expected a row, found an empty line"),
        ("x | x\n1 | 2", "expected a different name for each column"),
        ("x |\n1 | 2", "expected a different name for each column"),
        ("column | row 1\nx | 1\nx | 2", "expected a different name for each column"),
        ('x | y\n"a | b', "line 2: expected ` | ` after a cell, found '\"a | b'"),
        ('x | y\n"a" b | c', "line 2: expected ` | ` after a cell"),
        ('x | y\na | "b" c', "line 2: expected ` | ` after a cell"),
        ('x | y\n"\\x" | c', "line 2: expected a JSON string"),
        ('x | y\n"\t" | c', "line 2: expected a JSON string"),
    ],
)
def test_wrong_table_is_refused(text: object, message: str) -> None:
    with pytest.raises(CaseError, match=message.replace("|", r"\|")):
        parse_rows(text, "expect")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("description: Null countries count under unknown.\n", "", "expected a description that is a sentence"),
        ("Null countries count under unknown.", "nulls", "expected a description that is a sentence"),
        ("expect:", "expected:", r"expected the keys \[.*\], found \[.*'expected'"),
        (GOOD, "[]\n", r"expected the keys \[.*\], found \[\]"),
        (GOOD, "input: {\n", "expected YAML"),
        (EXPECT + CHECKS, "", "expected the key `expect` or `broken checks`, found neither"),
        (EXPECT, EXPECT + EXPECT, r"expected each key once, found \['expect'\] twice"),
        (INPUT, INPUT + INPUT.removeprefix("input:\n"), r"found \['visits_staging.visits'\] twice"),
        (INPUT, "input: visits\n", "expected the rows of each input table under its name, found visits"),
        (INPUT, "input:\n  visits_staging.visits:\n", "input visits_staging.visits: expected a header"),
        ("month: 2021-04-01", "day: 2021-04-01", r"expected the parameters \['month'\], found {'day'"),
        ("  month: 2021-04-01\n", "  month: 2021-04-01\n  moth: 2\n", r"expected the parameters \['month'\], found"),
        ("parameters:\n  month: 2021-04-01\n", "", r"expected the parameters \['month'\], found {}"),
        ("    rows: 1\n", "", "broken checks: expected a list of `- fail: <name>` with `rows: <count>`"),
        ("    rows: 1\n", "    rows: one\n", "expected a list of `- fail: <name>` with `rows: <count>`"),
        ("    rows: 1\n", "    rows: 1\n    note: 2\n", "expected a list of `- fail: <name>` with `rows: <count>`"),
        (CHECKS, "broken checks: counted\n", "expected a list of `- fail: <name>` with `rows: <count>`"),
    ],
)
def test_wrong_file_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    case = case_of(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CaseError, match=f"example.yaml: (?s:.*){message}"):
        read(case)


def test_case_without_sql_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "visits_marts" / "visit_counts_by_shoe" / "example.yaml"
    with pytest.raises(CaseError, match="expected the folder sql/visits_marts/visit_counts_by_shoe/, found none"):
        _ = Case(path, SQL).table
