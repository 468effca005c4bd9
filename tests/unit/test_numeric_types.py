"""Parsers of numbers, booleans and JSON. `tests/integration/test_json_load.py` tests them with Postgres."""

import json
from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from copied_rows import parsed
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.catalog import contracts
from tasks.contracts.jsonb import JSONB
from tasks.contracts.types import BIGINT, BOOLEAN, INTEGER, NUMERIC, ColumnType

FAST = examples(300)
MONEY, EXACT = NUMERIC(14, 2, rounded=True), NUMERIC(14, 2)


@pytest.mark.parametrize("type_", [INTEGER, BIGINT, BOOLEAN, MONEY, EXACT, JSONB])
@pytest.mark.parametrize("values", [[], [None], [None, None]])
def test_empty_columns_and_nulls_are_parsed_unchanged(type_: ColumnType, values: list[None]) -> None:
    assert parsed(type_, *values) == values


@pytest.mark.parametrize("type_", [INTEGER, BIGINT, BOOLEAN, MONEY, EXACT, JSONB])
@pytest.mark.parametrize(
    "text", ["", " ", "x", "NaN", "nan", "Infinity", "-inf", "0x1", "1_0", "1,0", "\u0661", "\uff11"]
)
def test_invalid_number_is_rejected(type_: ColumnType, text: str) -> None:
    assert parsed(type_, text) == [None]


@pytest.mark.parametrize("type_", [INTEGER, BIGINT, MONEY, EXACT])
@pytest.mark.parametrize(
    "text", ["--1", "+-1", "-", "+", ".", "-.", "1e", "e1", ".e1", "1e+", "1e 1", "1 1", "- 1", "1-", "1\0", "\u00a01"]
)
def test_number_of_another_spelling_is_refused(type_: ColumnType, text: str) -> None:
    assert parsed(type_, text) == [None]


@pytest.mark.parametrize("type_", [INTEGER, BIGINT, MONEY, EXACT])
def test_number_may_have_blanks_a_plus_and_leading_zeros(type_: ColumnType) -> None:
    texts = [" 7", "7\n", "\t+7 ", "007", "+007", "0" * 50 + "7", "-0"]
    assert parsed(type_, *texts) == [7] * 6 + [0]


def test_decimal_may_begin_or_end_with_its_point() -> None:
    texts = [".5", "5.", "-.5", "5.e1", "05e0001", "1e1073741824"]
    assert parsed(MONEY, *texts) == [*map(Decimal, ["0.5", "5", "-0.5", "50", "50"]), None]


@given(st.integers(-(2**65), 2**65))
@FAST
def test_whole_number_is_held_where_it_fits(number: int) -> None:
    for type_, bits in ((INTEGER, 32), (BIGINT, 64)):
        fits = -(2 ** (bits - 1)) <= number < 2 ** (bits - 1)
        assert parsed(type_, str(number)) == [number if fits else None]


@pytest.mark.parametrize("text", ["1.0", "1e0", "true", "9" * 400])
def test_whole_number_has_neither_point_nor_exponent(text: str) -> None:
    assert parsed(INTEGER, text) == parsed(BIGINT, text) == [None]


def test_truth_value_has_the_spellings_of_postgres() -> None:
    for value, texts in ((True, "true tr T 1 yes Y on ON"), (False, "false F fa 0 no n off OF")):
        assert parsed(BOOLEAN, *texts.split(), f" {texts[:4]}") == [value] * 9
    texts = ["o", "2", "truee", "yess", "01", "ye s", "\u0131", "t\0"]
    assert parsed(BOOLEAN, *texts) == [None] * len(texts)


digits = st.text(alphabet="0123456789", max_size=45)
numbers = st.builds(
    lambda sign, whole, fraction, exponent: (
        f"{sign}{whole.lstrip('0') or '0'}{'.' + fraction if fraction else ''}{exponent}"
    ),
    st.sampled_from(["", "-"]),
    digits,
    digits,
    st.just("") | st.integers(-60, 60).map(lambda power: f"e{power:+}"),
)
types = st.integers(1, 37).flatmap(lambda precision: st.tuples(st.just(precision), st.integers(0, precision)))


@given(numbers, types, st.booleans())
@FAST
def test_decimal_is_exact(text: str, type_: tuple[int, int], rounded: bool) -> None:
    precision, scale = type_
    with localcontext(prec=400):
        value = Decimal(text).quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)
        is_held = abs(value) < Decimal(1).scaleb(precision - scale) and (rounded or value == Decimal(text))
    assert parsed(NUMERIC(precision, scale, rounded=rounded), text) == [value if is_held else None]


def test_decimal_does_not_depend_on_its_neighbours() -> None:
    texts = ["1", "1e400", None, "9" * 50, "1e2", "x", "0.005", "1e-9999", "-1e9999", "0e9999"]
    together = parsed(MONEY, *texts)
    assert together == [parsed(MONEY, text)[0] for text in texts]
    assert together == [
        *map(Decimal, ["1"]),
        None,
        None,
        None,
        Decimal(100),
        None,
        Decimal("0.01"),
        Decimal(0),
        None,
        0,
    ]


@pytest.mark.parametrize(("precision", "scale"), [(0, 0), (38, 2), (2, 3), (5, -1)])
def test_decimal_type_out_of_range_is_refused(precision: int, scale: int) -> None:
    with pytest.raises(ValueError, match=rf"found numeric\({precision}, {scale}\)"):
        NUMERIC(precision, scale)


json_texts = st.text(max_size=6) | st.sampled_from(["\0", "a\0b", "\\u0000"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | json_texts,
        lambda x: st.lists(x, max_size=3) | st.dictionaries(json_texts, x, max_size=3),
        max_leaves=10,
    )
)
@FAST
def test_json_is_held_unless_it_has_a_nul(value: object) -> None:
    text = json.dumps(value)
    has_nul = any("\0" in text for text in _strings(value))
    assert parsed(JSONB, text) == [None if has_nul else b"\x01" + text.encode()]


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *_strings(item))]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("text", ["{", "[1,]", "{'a': 1}", "[01]", '["\\ud800"]', "1 2", '"\t"', "[" * 200_000])
def test_invalid_json_is_rejected(text: str) -> None:
    assert parsed(JSONB, text) == [None]


def test_every_contract_is_found_by_its_dataset() -> None:
    found = contracts()
    assert all(contract.dataset == dataset for dataset, contract in found.items())
