import ast
from collections import Counter
from datetime import UTC, date, datetime
from ipaddress import ip_address

import pytest
from events_oracle import company_of, read_events, top
from words_oracle import parse_words

HEADER = b"id,timestamp,email,country,ip,uri,action,tags\n"
ID = "d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d"


def record(
    identity: str = ID, *, timestamp: str = "2021-04-01", email: str = "a@acme.com", country: str = "Palau",
    ip: str = "192.0.2.59", uri: str = "index", action: str = "visit", tags: str = "\"['Mr', 'eat']\"",
) -> bytes:  # fmt: skip
    return ",".join((identity, timestamp, email, country, ip, uri, action, tags)).encode()


def is_accepted(**changed: str) -> bool:
    return read_events(HEADER + record(**changed)).rows_loaded == 1


def test_row_is_typed_when_every_value_is_good() -> None:
    data = HEADER + record(
        ID.upper(), timestamp="2021-04-01 00:30:00.5+02:00", email=" Ann@Mail.Acme.CO.UK ", ip="2001:db8::1"
    )
    (row,) = read_events(data).rows
    assert str(row.id) == ID
    assert row.occurred_at == datetime(2021, 3, 31, 22, 30, 0, 500_000, UTC)
    assert row.event_date == date(2021, 4, 1)
    assert (row.email, row.user, row.company) == (" Ann@Mail.Acme.CO.UK ", "ann@mail.acme.co.uk", "acme")
    assert row.ip == ip_address("2001:db8::1")
    assert (row.country, row.uri, row.action, row.tags) == ("Palau", "index", "visit", ("Mr", "eat"))


def test_bare_empty_field_is_null_and_quoted_one_is_empty_text() -> None:
    (row,) = read_events(HEADER + record(email="", country='""', ip="", uri="", action='""', tags="")).rows
    assert (row.email, row.country, row.ip, row.uri, row.action, row.tags) == (None, "", None, None, "", None)


def test_lines_are_physical_and_raw_is_exact_when_records_span_lines() -> None:
    bad = record("x", uri='"one\r\ntwo"')
    data = b"\xef\xbb\xbf" + HEADER + b"\n".join([record(uri='"a\n\nb"'), bad, record(), record(ip="1.2.3")])
    events = read_events(data.replace(b"']\"\n", b"']\"\r\n"))
    assert [(bad.line_number, bad.column) for bad in events.rejected] == [(5, "id"), (8, "ip")]
    assert [bad.raw for bad in events.rejected] == [bad, record(ip="1.2.3")]
    assert [row.line_number for row in events.rows] == [2, 7]
    assert events.rows[0].uri == "a\n\nb"


@pytest.mark.parametrize(
    "broken",
    [
        record()[:-16],
        record() + b",more",
        record(country='"Palau'),
        record(country='"Pal"au'),
        record(country="Pal\0au"),
        record() + b"\xff",
    ],
)
def test_malformed_record_alone_is_rejected_when_good_ones_follow(broken: bytes) -> None:
    events = read_events(HEADER + record() + b"\n" + broken + b"\n" + record() + b"\n")
    assert [(bad.line_number, bad.column, bad.raw) for bad in events.rejected] == [(3, None, broken)]
    assert [row.line_number for row in events.rows] == [2, 4]


def test_file_without_records_has_no_rows() -> None:
    assert read_events(b"").rows_read == 0
    assert read_events(HEADER.rstrip()).rows_read == 0


def test_header_without_a_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected each of"):
        read_events(HEADER.replace(b",ip", b""))


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("2021-04-01", True),
        ("2021-04-01T23:59:59", True),
        ("2021-04-01 23:59:59.123456Z", True),
        ("2021-04-01T23:59:59-05:30", True),
        ("", False),
        ("2021-02-30", False),
        ("2021-4-1", False),
        ("20210401", False),
        ("01/04/2021", False),
        (" 2021-04-01", False),
        ("2021-04-01T24:00:00", False),
        ("2021-04-01T23:59:60", False),
        ("2021-04-01T23:59:59.1234567", False),
        ("2021-04-01T23:59:59+05:60", False),
        ("2021-04-01T23:59:59+0530", False),
        ("0001-01-01T00:00:00+01:00", False),
    ],
)
def test_timestamp_is_accepted_only_in_iso_form(text: str, accepted: bool) -> None:
    assert is_accepted(timestamp=text) is accepted


@pytest.mark.parametrize("text", ["", "x", ID[:-1], ID.replace("-", ""), f"{{{ID}}}", f" {ID}", ID[:-1] + "g"])
def test_id_is_rejected_when_not_canonical(text: str) -> None:
    assert not is_accepted(identity=text)


@pytest.mark.parametrize("text", ["999.0.2.1", "192.0.2", "192.0.2.0/24", "010.0.0.1", "2001:db8::zz", "fe80::1%eth0"])
def test_ip_is_rejected_when_not_an_address(text: str) -> None:
    assert not is_accepted(ip=text)


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "[ ]", "['a']", "['a','b' , \"c\"]", "['a, b', '[c]']", r"""["it's", 'say "hi"', 'it\'s']""", "['a',]"),
        *("['']", "['été']", r"['\x41\u00e9\U0001F5FE', 'a\\nb', 'tab\t', '\d']", "['a',\n 'b']", " ['a'] "),
    ],
)
def test_tags_are_what_python_reads_in_the_list(text: str) -> None:
    assert parse_words(text) == tuple(ast.literal_eval(text.replace(r"\d", r"\\d")))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a",
            "['a'",
            "'a']",
            "[a]",
            "['a' 'b']",
            "['a', 1]",
            "['a', None]",
            "[,]",
            "['a',,]",
            "['a]",
            "('a',)",
            "[['a']]",
        ),
        *(r"['a\']", "['a\nb']", r"['\x00']", r"['\ud800']", "[u'a']", " "),
    ],
)
def test_tags_are_rejected_when_not_a_list_of_words(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any: the reader only tells good from bad
        parse_words(text)


@pytest.mark.parametrize(
    ("email", "company"),
    [
        ("a@mail.acme.co.uk", "acme"),
        ("x@miller.info", "miller"),
        (" X@A.B.Globex.COM.AU ", "globex"),
        ("x@company.internal", "company"),
        ("x@alice.github.io", "github"),
        ("x@www.ck", "www"),
        ("x@bücher.de", "bücher"),
        ('"a@b"@hooli.com', "hooli"),
        ("x@acme.com.", "acme"),
        *((email, "unknown") for email in (None, "", "  ", "acme.com", "x@", "x@localhost", "x@co.uk", "x@initech.ck")),
        *((email, "unknown") for email in ("x@192.0.2.1", "x@[192.0.2.1]", "x@[IPv6:2001:db8::1]", "x@acme..com")),
    ],
)
def test_company_is_the_label_left_of_the_public_suffix(email: str | None, company: str) -> None:
    assert company_of(email) == company


def test_counts_put_nothing_under_unknown_and_each_word_under_its_tag() -> None:
    events = read_events(
        HEADER
        + b"\n".join(
            [
                record(email=" A@acme.com", country="", tags="\"['b', 'a', 'b']\""),
                record(email="a@ACME.com ", country='""', tags="[]"),
                record(email="  ", country='"Korea, Republic of"', tags=""),
                record(email="", country="Côte d'Ivoire", tags="['']", timestamp="2021-03-31"),
                record("bad"),
            ]
        )
    )
    assert (events.rows_read, events.rows_loaded) == (5, 4)
    assert events.counts("country") == {"unknown": 2, "Korea, Republic of": 1, "Côte d'Ivoire": 1}
    assert events.counts("user") == {"a@acme.com": 2, "unknown": 2}
    assert events.counts("company") == {"acme": 2, "unknown": 2}
    assert events.counts("date") == {"2021-04-01": 3, "2021-03-31": 1}
    assert events.counts("tag") == {"unknown": 3, "a": 1, "b": 2}


def test_top_orders_ties_by_code_point() -> None:
    assert top(Counter({"b": 2, "é": 2, "Z": 2, "a": 3, "c": 1}), 4) == [("a", 3), ("Z", 2), ("b", 2), ("é", 2)]
