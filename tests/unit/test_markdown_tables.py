"""Markdown tables: long texts get line breaks, and nothing else about them changes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.engine.export.markdown_tables import LINE_BREAK, markdown_table
from tasks.engine.export.pages import html_page

LONG = "It was expected by 2 Nov 2026 10:00 UTC (25 days ago). The newest loaded month is 2021-12. 58 months are due."
ADDRESS = "s3://lake/" + "a-folder-without-a-blank/" * 8 + "2021-04.csv"


def cells_of(table: str) -> list[list[list[str]]]:
    """The lines of each cell of each row, without the escapes."""
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in table.split("\n")[2:]]
    return [[[re.sub(r"\\(.)", r"\1", part) for part in cell.split(LINE_BREAK)] for cell in row] for row in rows]


def width_of(table: str) -> int:
    """The sum of the widths of all columns, in characters."""
    return sum(max(len(line) for cell in column for line in cell) for column in zip(*cells_of(table), strict=True))


def test_long_texts_share_a_row_that_fits_the_page() -> None:
    table = markdown_table(["problem", "where", "what", "next step"], [("Late", "events 2026-10", LONG, LONG)])
    assert width_of(table) <= 100 - 4 * 5
    [row] = cells_of(table)
    assert [len(cell) > 1 for cell in row] == [False, False, True, True]
    assert [" ".join(cell) for cell in row] == ["Late", "events 2026-10", LONG, LONG]


def test_short_tables_get_no_line_break() -> None:
    assert LINE_BREAK not in markdown_table(["figure", "value"], [("late", 1234), ("on time", 5)])


def test_long_heading_gets_line_breaks_where_the_row_is_too_wide() -> None:
    names = ["number of rejected rows that are open", "what", "next step"]
    assert markdown_table(names, [(7, LONG, LONG)]).startswith("| number of rejected rows that<br>are open | what |")
    assert markdown_table(names, [(7, "late", "wait")]).startswith("| number of rejected rows that are open | what |")


def test_an_address_is_never_divided() -> None:
    [[address, text]] = cells_of(markdown_table(["object", "what"], [(ADDRESS, LONG)]))
    assert address == [ADDRESS]
    assert " ".join(text) == LONG


@pytest.mark.parametrize("text", [LINE_BREAK, f"{LONG}{LINE_BREAK}{LONG}", f"{LONG} {LINE_BREAK} {LONG}"])
def test_a_tag_in_the_data_is_text(text: str) -> None:
    [[cell]] = cells_of(markdown_table(["what"], [(text,)]))
    assert " ".join(cell) == text
    assert "&lt;br&gt;" in html_page("x", markdown_table(["what"], [(text,)]))


def test_a_page_has_no_line_break_in_cells() -> None:
    page = html_page("x", markdown_table(["what"], [(LONG,)]))
    assert f"<td>{LONG}</td>" in page


@given(st.lists(st.lists(st.text(st.sampled_from("ab<>|*.-"), min_size=1, max_size=9), min_size=1).map(" ".join)))
def test_line_breaks_change_no_text(texts: list[str]) -> None:
    table = markdown_table(["what"], [(text,) for text in texts])
    assert [[" ".join(cell) for cell in row] for row in cells_of(table)] == [[text] for text in texts]
