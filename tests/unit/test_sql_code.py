"""The code of SQL texts: comments and blanks outside of quotes do not count, and everything else does."""

import pytest

from tasks.engine.build.sql_code import code_of, statements_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT 1 -- one\nFROM t", "SELECT 1 \nFROM t"),
        ("SELECT 1 /* one\n-- two */ FROM t", "SELECT 1   FROM t"),
        ("SELECT /* a /* b */ c */ 1", "SELECT   1"),
        ("SELECT 1 /* open", "SELECT 1  "),
        ("SELECT '--a', '/* b */' -- c", "SELECT '--a', '/* b */' "),
        ("SELECT 'it''s -- a' -- b", "SELECT 'it''s -- a' "),
        (r"SELECT E'\'-- a', 'b\' -- c'", r"SELECT E'\'-- a', 'b\' "),
        ('SELECT "a -- b" -- c', 'SELECT "a -- b" '),
        ("SELECT $$ -- a ; ' $$ -- b", "SELECT $$ -- a ; ' $$ "),
        ("SELECT $q$ -- a $$ $q$ -- b", "SELECT $q$ -- a $$ $q$ "),
        ("SELECT a$b$ -- c $b$", "SELECT a$b$ "),
        ("SELECT date'2021-04-01' -- '", "SELECT date'2021-04-01' "),
        ("SELECT /*+ SeqScan(t) */ 1", "SELECT /*+ SeqScan(t) */ 1"),
        ("SELECT 3 - -1, 4 / 2, 5 * 3", "SELECT 3 - -1, 4 / 2, 5 * 3"),
    ],
)
def test_comments_are_removed_and_quotes_remain(text: str, code: str) -> None:
    assert code_of(text) == code


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", ()),
        ("-- nothing\n", ()),
        ("SELECT 1", ("SELECT 1",)),
        ("-- a\n\nSELECT\t1 -- b\n ,  2 ; -- c\n", ("SELECT 1 , 2",)),
        ("A;B ; ;\nC", ("A", "B", "C")),
        ("SELECT ';', $$;$$ /* ; */;;", ("SELECT ';', $$;$$",)),
        ("SELECT ' a  b '", ("SELECT ' a  b '",)),
        ("SELECT a\u00a0b", ("SELECT a\u00a0b",)),
        ("SELECT ' '  ' '", ("SELECT ' ' ' '",)),
    ],
)
def test_statements_have_one_blank_in_place_of_comments_and_blanks(text: str, statements: tuple[str, ...]) -> None:
    assert statements_of(text) == statements


def test_everything_in_quotes_can_be_replaced() -> None:
    assert statements_of("""COMMENT ON TABLE "a;b" IS 'c;d'; SELECT $$x$$""", "''") == (
        "COMMENT ON TABLE '' IS ''",
        "SELECT ''",
    )
