"""The scaffold recognises files whose values are aligned in columns of characters."""

import pytest

from deployments.scaffold.anonymised import fixed_width_sample
from tasks.contracts.formats import FixedWidth
from tasks.engine.samples.layouts import layout_of

SURVEY = """\
    id       heduc   years   div
     9 12-15 years  10.546    No
    11  < 12 years  34.943    No
    33   16+ years   1.418   Yes
"""
STATIONS = """\
*** Weekly averages, in a file without a header ***
*** of September 2004                            ***

MLO 580329 4   316.10
MLO 580405 6   317.30
MLO 580412 4   317.60
MLO 580419 6   317.50
"""


def test_words_of_the_header_name_the_fields_and_a_value_may_contain_a_blank() -> None:
    found = layout_of(SURVEY, "utf-8")
    assert found == FixedWidth((("id", 1, 6), ("heduc", 7, 12), ("years", 19, 8), ("div", 27, 200)), skip_lines=1)


STOCK = """\
MATNR     WERK  NAME                 PRICE DATE
100001    0300  Screw                 9.50 20240101
100002    1000  Galvanised nut      120.00 20240102
100003    2000                        0.75 20240103
"""


def test_blanks_belong_to_the_field_that_they_fill_up() -> None:
    found = layout_of(STOCK, "utf-8")
    assert found is not None
    fields = (("MATNR", 1, 10), ("WERK", 11, 6), ("NAME", 17, 14), ("PRICE", 31, 13), ("DATE", 44, 200))
    assert found.fields == fields


def test_file_without_a_header_has_numbered_fields_after_its_preamble() -> None:
    found = layout_of(STATIONS, "latin-1")
    assert found is not None
    assert found.names == ("column_1", "column_2", "column_3", "column_4")
    assert found.fields[1:] == (("column_2", 4, 7), ("column_3", 11, 2), ("column_4", 13, 200))
    assert (found.skip_lines, found.encoding) == (2, "latin-1")


@pytest.mark.parametrize("text", ["", "a b\n", "one\ntwo\nthree\nfour\n", "a\tb\n1\t2\n3\t4\n5\t6\n", "\n\n\n\n"])
def test_other_texts_have_no_layout(text: str) -> None:
    assert layout_of(text, "utf-8") is None


def test_header_with_one_name_twice_gives_different_names() -> None:
    found = layout_of("a   v   v\n1  10  20\n2  11  21\n3  12  22\n", "utf-8")
    assert found is not None
    assert found.names == ("a", "v", "v_2")


def test_sample_of_a_test_has_the_layout_of_the_file() -> None:
    layout = layout_of(SURVEY, "utf-8")
    assert layout is not None
    lines = fixed_width_sample(layout, [["9", "12-15 years", None, "No"]]).decode().splitlines()
    assert lines == ["preamble", "     9 12-15 years         No"]
