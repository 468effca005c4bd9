"""Objects in declared formats: loaded, planned and replayed in a real Postgres."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import pytest
from sample_dataset import STRICT, THINGS, lake, load, put, ready_connection

from tasks.contracts import Column, Contract
from tasks.contracts.formats import Csv, FixedWidth, Format, Json, Ndjson
from tasks.contracts.types import DATE
from tasks.engine.errors import ContractError, ErrorBudgetError
from tasks.engine.load.plan import plan_loads
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

SLASHES = Column("seen_date", DATE, "Day.", source="day", derive=lambda text: text and text.replace("/", "-"))


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


@dataclass(frozen=True)
class Case:
    """An object with a valid row, two rows with a date that a fixed contract accepts, and a malformed row.

    Attributes:
        form: The declared format.
        key: Key of the object.
        data: The object.
        names: The name of the valid row, and the names of the two rows that are replayed.
        lines: The lines of the valid, the two replayed and the malformed row.
        raw: The bytes of the first rejected row in the ledger.
    """

    form: Format
    key: str
    data: bytes
    names: tuple[str, str, str]
    lines: tuple[int, int, int, int]
    raw: bytes


CASES = {
    "semicolons": Case(
        Csv(delimiter=";"),
        "2021/04/things.csv",
        b'name;day\n"a;b";2021-04-01\n"c;\nd";2021/04/02\n"e";2021/04/03\nx\n',
        ("a;b", "c;\nd", "e"),
        (2, 3, 5, 6),
        b'"c;\nd";2021/04/02',
    ),
    "preamble and comments": Case(
        Csv(delimiter="|", quote="'", skip_lines=2, comment="#"),
        "2021/04/things.txt",
        b"Report\n\n# names\n'name'|day\n'a|'''|2021-04-01\n# a comment\n\nc|2021/04/02\n#\nd|2021/04/03\n'x\n",
        ("a|'", "c", "d"),
        (5, 8, 10, 11),
        b"c|2021/04/02",
    ),
    "text of postgres": Case(
        Csv(delimiter="\t", quote="", escape="\\", names=("name", "day")),
        "2021/04/things.dat",
        b"a\\tb\t2021-04-01\nc\\\\\t2021/04/02\nd\\\ne\t2021/04/03\nx\n",
        ("a\tb", "c\\", "d\ne"),
        (1, 2, 3, 5),
        b"c\\\\\t2021/04/02",
    ),
    "escapes in quotes": Case(
        Csv(escape="\\"),
        "2021/04/things.csv.gz",
        gzip.compress(b'name,day\n"a\\"",2021-04-01\n"\\"c",2021/04/02\n"d\\\\",2021/04/03\n"x"y,\n'),
        ('a"', '"c', "d\\"),
        (2, 3, 4, 5),
        b'"\\"c",2021/04/02',
    ),
    "trailing delimiter": Case(
        Csv(delimiter="|", trailing_delimiter=True, names=("name", "day")),
        "2021/04/things.tbl",
        b"a|2021-04-01|\nb|2021/04/02|\nc|2021/04/03|\nd|2021-04-04\n",
        ("a", "b", "c"),
        (1, 2, 3, 4),
        b"b|2021/04/02|",
    ),
    "short records": Case(
        Csv(delimiter="\t", names=("name", "day", "note"), short_records=True),
        "2021/04/things.txt",
        b"a\t2021-04-01\nb\t2021/04/02\nc\t2021/04/03\tx\nd\t2021-04-04\tx\ty\n",
        ("a", "b", "c"),
        (1, 2, 3, 4),
        b"b\t2021/04/02",
    ),
    "cp1252": Case(
        Csv(delimiter=";", encoding="cp1252"),
        "2021/04/things",
        "name;day\nä€;2021-04-01\nö;2021/04/02\nü;2021/04/03\n".encode("cp1252") + b"\x81;2021-04-04\n",
        ("ä€", "ö", "ü"),
        (2, 3, 4, 5),
        "ö;2021/04/02".encode(),
    ),
    "utf-16 in gzip without a suffix": Case(
        Csv(delimiter="\t", encoding="utf-16", compression="gzip"),
        "2021/04/things.txt",
        gzip.compress("name\tday\r\nä\t2021-04-01\r\n日\t2021/04/02\r\n😀\t2021/04/03\r\nx\r\n".encode("utf-16")),
        ("ä", "日", "😀"),
        (2, 3, 4, 5),
        "日\t2021/04/02".encode(),
    ),
    "fixed width": Case(
        FixedWidth((("name", 1, 4), ("day", 6, 10)), skip_lines=1, comment="#", encoding="latin-1"),
        "2021/04/things.dat",
        "name day\näö   2021-04-01\n#\n\nß    2021/04/02\n b   2021/04/03  \n     2021-04-04\n".encode("latin-1"),
        ("äö", "ß", "b"),
        (2, 5, 6, 7),
        "ß    2021/04/02".encode(),
    ),
    "ndjson in utf-16": Case(
        Ndjson(encoding="utf-16-le"),
        "2021/04/things.txt",
        (
            '{"name": "ä", "day": "2021-04-01"}\n{"name": "日", "day": "2021/04/02"}\n'
            '{"name": "😀", "day": "2021/04/03"}\n{\n'
        ).encode("utf-16-le"),
        ("ä", "日", "😀"),
        (1, 2, 3, 4),
        '{"name": "日", "day": "2021/04/02"}'.encode(),
    ),
    "document in latin-1": Case(
        Json(encoding="latin-1"),
        "2021/04/things.geojson",
        (
            '[{"name": "ä", "day": "2021-04-01"},\n{"name": "ö", "day": "2021/04/02"},\n'
            '{"name": "ü", "day": "2021/04/03"},\n5]'
        ).encode("latin-1"),
        ("ä", "ö", "ü"),
        (1, 2, 3, 4),
        '{"name": "ö", "day": "2021/04/02"}'.encode(),
    ),
}


def things(postgres: Connection) -> list[tuple[str, date, int]]:
    query = "SELECT name, seen_date, line_number FROM things_staging.things ORDER BY line_number"
    return postgres.execute(query).fetchall()


@pytest.mark.parametrize("name", CASES)
def test_rows_are_loaded_rejected_and_replayed(postgres: Connection, name: str) -> None:
    case = CASES[name]
    contract = replace(THINGS, format=case.form)
    source = put(case.data, case.key)
    (plan,) = plan_loads(postgres, lake(), contract, [source], STRICT).objects
    assert (plan.error, [column.state for column in plan.columns]) == (None, ["matched", "matched"])
    receipt = load(postgres, source, contract=contract)
    assert (receipt.rows_loaded, receipt.rows_rejected) == (1, 3)
    assert things(postgres) == [(case.names[0], date(2021, 4, 1), case.lines[0])]
    rejected = postgres.execute("SELECT line_number, raw FROM ledger.rejected_rows ORDER BY line_number").fetchall()
    assert tuple(line for line, _ in rejected) == case.lines[1:]
    assert bytes(rejected[0][1]) == case.raw
    fixed = replace(contract, columns=(contract.columns[0], SLASHES))
    (rejected_load,) = rejected_loads(postgres, "things", None)
    again = replay_load(postgres, fixed, rejected_load)
    assert (again.rows_loaded, again.rows_left) == (2, 1)
    assert things(postgres) == [
        (text, date(2021, 4, day), line) for text, day, line in zip(case.names, (1, 2, 3), case.lines[:3], strict=True)
    ]
    assert load(postgres, source, contract=fixed).status == "replaced"
    assert [text for text, _, _ in things(postgres)] == list(case.names)


def test_rows_rejected_for_their_encoding_are_replayed_with_the_declared_one(postgres: Connection) -> None:
    load(postgres, put("name,day\na,2021-04-01\nä€,2021-04-02\n".encode("cp1252")))
    (rejected_load,) = rejected_loads(postgres, "things", None)
    fixed = replace(THINGS, format=Csv(encoding="cp1252"))
    assert replay_load(postgres, fixed, rejected_load).rows_loaded == 1
    assert [(text, line) for text, _, line in things(postgres)] == [("a", 2), ("ä€", 3)]


def test_load_is_repeated_when_the_declared_format_changes(postgres: Connection) -> None:
    source = put(b"name,day\n'a',2021-04-01\n")
    assert load(postgres, source).status == "loaded"
    quoted: Contract = replace(THINGS, format=Csv(quote="'"))
    assert load(postgres, source, contract=quoted).status == "replaced"
    assert load(postgres, source, contract=quoted).status == "unchanged"
    assert things(postgres)[0][0] == "a"


@pytest.mark.parametrize("key", ["2021/04/things", "2021/04/things.dat", "2021/04/things.txt.gz"])
def test_object_without_a_known_suffix_asks_for_the_format(postgres: Connection, key: str) -> None:
    source = put(b"name,day\n", key)
    with pytest.raises(ContractError, match=r"contract of things, such as format=Csv\(delimiter="):
        load(postgres, source)
    (plan,) = plan_loads(postgres, lake(), THINGS, [source], STRICT).objects
    assert plan.error
    assert "a contract that declares the format" in plan.error


def test_plan_names_the_dialect_of_an_object(postgres: Connection) -> None:
    source = put(b"Report\nname;day\na;2021-04-01\n")
    (plan,) = plan_loads(postgres, lake(), THINGS, [source], STRICT).objects
    assert plan.error
    assert "Declare format=Csv(delimiter=';', skip_lines=1)" in plan.error


@pytest.mark.parametrize(
    ("key", "data", "better"),
    [
        ("things.csv", "name,day\nä,2021-04-01\n", "Csv"),
        ("things.ndjson", '{"name": "ä", "day": "2021-04-01"}\n', "Ndjson"),
    ],
)
def test_error_budget_names_the_encoding_as_the_next_step(
    postgres: Connection, key: str, data: str, better: str
) -> None:
    source = put(data.encode("cp1252"), key)
    with pytest.raises(ErrorBudgetError, match=rf"encoding of the object .*format={better}\(encoding='cp1252'\)"):
        load(postgres, source, settings=STRICT)


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ("FORMAT text", Csv(delimiter="\t", quote="", escape="\\", names=("name", "day"))),
        ("FORMAT text, DELIMITER '|'", Csv(delimiter="|", quote="", escape="\\", names=("name", "day"))),
        ("FORMAT csv, HEADER, DELIMITER ';'", Csv(delimiter=";")),
        ("FORMAT csv, HEADER, ESCAPE '\\'", Csv(escape="\\")),
        ("FORMAT csv, HEADER, QUOTE '''', ESCAPE '\\', FORCE_QUOTE *", Csv(quote="'", escape="\\")),
    ],
)
def test_texts_that_postgres_copies_out_are_loaded_unchanged(postgres: Connection, options: str, form: Csv) -> None:
    texts = [
        "a\\b",
        "\\\\x",
        '"',
        "'",
        "\t|;,",
        "a\nb",
        "\\N",
        "\\n",
        'q"\\"',
        "\b\f\v\r",
        "end\\",
        "\\'",
        "é😀",
        "N",
        " ",
    ]
    postgres.execute("CREATE TEMP TABLE texts (name text, day date)")
    with postgres.cursor().copy("COPY texts FROM STDIN") as copy:
        for text in [*texts, None]:
            copy.write_row((text, "2021-04-01"))
    with postgres.cursor().copy(f"COPY texts TO STDOUT ({options})") as copy:  # type: ignore[arg-type]
        data = b"".join(copy)
    contract = replace(THINGS, columns=(replace(THINGS.columns[0], nullable=True), THINGS.columns[1]), format=form)
    postgres.execute("ALTER TABLE things_staging.things ALTER name DROP NOT NULL")
    receipt = load(postgres, put(data), contract=contract)
    assert (receipt.rows_loaded, receipt.rows_rejected) == (len(texts) + 1, 0)
    assert [text for text, _, _ in things(postgres)] == [*texts, None]
