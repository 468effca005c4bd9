"""Queries in the WITH of a check: where they begin and end, and which of them another check may share."""

import pytest

from tasks.engine.build.shared_queries import named_query_positions


@pytest.mark.parametrize(
    ("select", "found"),
    [
        ("WITH a AS (SELECT 1), b AS (SELECT (2)) SELECT * FROM a, b", ["SELECT 1", "SELECT (2)"]),
        ("with A as (\n    SELECT 1\n)\n\nSELECT * FROM a", ["\n    SELECT 1\n"]),
        ("-- why\nWITH a AS (SELECT ')' AS x -- ) no end\n) SELECT * FROM a", ["SELECT ')' AS x -- ) no end\n"]),
        (
            "WITH a AS (SELECT '('')' || E'\\')' || $x$)$x$ || \")\") SELECT 1",
            ["SELECT '('')' || E'\\')' || $x$)$x$ || \")\""],
        ),
        ("WITH a AS (SELECT 1 WHERE month = %(month)s) SELECT 1", ["SELECT 1 WHERE month = %(month)s"]),
        ("WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b", ["SELECT 1"]),
        ('WITH "a" AS (SELECT 1), b AS (SELECT * FROM "a") SELECT * FROM b', ["SELECT 1"]),
        ("WITH a AS (WITH b AS (SELECT 1) SELECT * FROM b) SELECT 1", ["WITH b AS (SELECT 1) SELECT * FROM b"]),
        ("WITH a AS (SELECT 1) SELECT 1, x AS (y)", ["SELECT 1"]),
        ("WITH RECURSIVE a AS (SELECT 1) SELECT 1", []),
        ("WITH a (x) AS (SELECT 1) SELECT 1", []),
        ("WITH a AS MATERIALIZED (SELECT 1) SELECT 1", []),
        ("WITH a AS (SELECT 1 /* ) */) SELECT 1", []),
        ("SELECT * FROM (SELECT 1) AS a", []),
        ("VALUES (1)", []),
        ("WITH a AS (SELECT (1)", []),
        ("WITH a AS (SELECT 1) , SELECT 1", ["SELECT 1"]),
        ("WITH", []),
        ("", []),
    ],
)
def test_named_queries(select: str, found: list[str]) -> None:
    assert [select[start:end] for start, end in named_query_positions(select)] == found
