"""Explain on a made-up pipeline: answers, refusals, rows that were replaced, and the direction from an object."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from sample_dataset import THINGS, TOLERANT, connection, lake, load, put

from flows.explain import main
from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.build.sql_files import sql_table
from tasks.engine.errors import ParameterError, SqlFileError
from tasks.engine.explain.explanation import Explanation, explain_row
from tasks.engine.explain.objects import ObjectUse, explain_object
from tasks.engine.explain.texts import sections_of_object, sections_of_row
from tasks.engine.explain.traces import trace_of
from tasks.engine.export.exporter import export_of_table, write_exports
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection
from tasks.explain import explanation_text, pairs_of, terminal_text

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

TABLE = """-- sources: none
-- write disposition: replace partition (month)
CREATE TABLE IF NOT EXISTS marts.{0} (month date, {1} text, size bigint, PRIMARY KEY (month, {1}));
"""
NAMES = """-- key: month, name
-- parameters: month
-- sources: things_staging.things
-- write disposition: replace partition (month)
SELECT things.month, things.name, count(*) AS size FROM things_staging.things WHERE things.month = %(month)s
GROUP BY things.month, things.name
"""
LETTERS = """-- key: month, letter
-- parameters: month
-- sources: marts.names
-- write disposition: replace partition (month)
SELECT names.month, left(names.name, 1) AS letter, count(*) AS size FROM marts.names WHERE names.month = %(month)s
GROUP BY names.month, left(names.name, 1)
"""
TRACE = """-- from: marts.names
SELECT
    names.tableoid,
    names.ctid,
    names AS source_row
FROM marts.names
WHERE names.month = %(month)s AND left(names.name, 1) = %(letter)s;
"""
DATA = b"name,day\nab,2021-04-01\nac,x\nab,2021-04-03\nad,2021-04-04\nb,2021-04-05\n"
APRIL = "2021-04"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    for name, column, query in (("names", "name", NAMES), ("letters", "letter", LETTERS)):
        folder = tmp_path / "marts" / name
        folder.mkdir(parents=True)
        (folder / "table.sql").write_text(TABLE.format(name, column))
        (folder / "query.sql").write_text(query)
    (tmp_path / "marts" / "letters" / "trace.sql").write_text(TRACE)
    return tmp_path


@pytest.fixture
def postgres(database: str, bucket: str, root: Path) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with connection() as opened:
        apply_ddl(opened, [THINGS], ["marts"], root)
        yield opened


@pytest.fixture
def explain(postgres: Connection, root: Path) -> Callable[..., Explanation]:
    def of(table: str, **key: str) -> Explanation:
        return explain_row(postgres, table, key, [THINGS], root)

    return of


Explain = Callable[..., Explanation]


def build(postgres: Connection, root: Path, month: str = APRIL) -> None:
    parameters = {"month": date.fromisoformat(f"{month}-01")}
    build_tables(postgres, "marts", parameters, partition=month, contracts=[THINGS], root=root)


def run(postgres: Connection, root: Path, data: bytes = DATA) -> int:
    """Load and build April. Returns the load."""
    load_id = load(postgres, put(data)).load_id
    build(postgres, root)
    return load_id


def text_of(explanation: Explanation) -> str:
    return terminal_text(sections_of_row(explanation))


def test_row_is_explained_through_all_tables(postgres: Connection, root: Path, explain: Explain) -> None:
    load_id = run(postgres, root)
    found = explain("marts.letters", month="2021-04-01", letter="a")
    (origin,) = found.origins.shown
    assert (origin.load_id, origin.row_count, origin.lines, origin.status) == (load_id, 3, (2, 4, 5), "loaded")
    assert origin.source_uri.endswith("/2021/04/things.csv")
    assert found.origins.through == ["marts.letters", "marts.names"]
    assert [(one.column_name, one.row_count, one.lines) for one in origin.rejected] == [("day", 1, (3,))]
    (facts,) = found.builds
    assert (facts.partition, facts.missing_loads, [changed for _, _, changed in facts.files]) == (APRIL, (), [False])
    text = text_of(found)
    assert text.splitlines()[2] == "The row derives from 3 rows of 1 load."
    assert "marts.letters <- marts.names <- things_staging.things" in text
    assert "lines 2, 4, 5" in text
    assert "ac,x" not in text  # the bytes of rejected rows stay in the ledger
    assert explanation_text(sections_of_row(found)).startswith("# marts.letters ")


def test_staging_row_is_explained_by_its_line(postgres: Connection, root: Path, explain: Explain) -> None:
    load_id = run(postgres, root)
    for table in ("things_staging.things", "things_staging.things_ingested"):
        found = explain(table, name="b")
        assert text_of(found).splitlines()[2].endswith(f"/2021/04/things.csv, line 6 (load {load_id}).")


def test_replayed_row_names_the_line_of_its_object(postgres: Connection, root: Path, explain: Explain) -> None:
    load_id = run(postgres, root)
    lenient = replace(THINGS, columns=(THINGS.columns[0], replace(THINGS.columns[1], derive=lambda _: "2021-04-09")))
    (rejected,) = rejected_loads(postgres, "things", None)
    replay_load(postgres, lenient, rejected)
    build(postgres, root)
    (origin,) = explain("marts.names", month="2021-04-01", name="ac").origins.shown
    assert (origin.lines, origin.replay_of, origin.rejected) == ((3,), load_id, ())


def test_row_that_is_older_than_the_current_load_is_named_as_such(
    postgres: Connection, root: Path, explain: Explain
) -> None:
    run(postgres, root)
    second = load(postgres, put(b"name,day\nb,2021-04-05\n")).load_id
    found = explain("marts.names", month="2021-04-01", name="b")
    assert found.builds[0].missing_loads == (second,)
    assert f"The table was built before load {second}. Run the pipeline" in text_of(found)
    gone = explain("marts.names", month="2021-04-01", name="ad")
    assert "Tally knows no loaded line from which the row derives." in text_of(gone)


def test_changed_query_is_named(postgres: Connection, root: Path, explain: Explain) -> None:
    run(postgres, root)
    (root / "marts" / "names" / "query.sql").write_text(NAMES + "LIMIT ALL\n")
    assert "query.sql changed after this build" in text_of(explain("marts.names", month="2021-04-01", name="b"))


def test_row_that_was_loaded_before_the_column_names_force(postgres: Connection, root: Path, explain: Explain) -> None:
    run(postgres, root)
    postgres.execute("UPDATE things_staging.things SET line_number = NULL")
    found = explain("marts.names", month="2021-04-01", name="b")
    assert "line unknown" in text_of(found)
    assert "with force=true to load them again" in text_of(found)


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        ("marts.nothing", {}, r"existing table, found .*marts.nothing.*marts.letters, marts.names, things_staging"),
        ("nothing", {}, "expected the name of an existing table"),
        ("marts.names; DROP TABLE x", {}, "expected the name of an existing table"),
        ("marts.names", {"nme": "b"}, r"expected columns of marts.names \(month, name, size\), found nme"),
        ("marts.names", {"month": "April"}, "column month of marts.names: expected a value of type date, found April"),
        ("marts.names", {"name": "zz"}, r"found no row. Give the columns month, name, for example month=2021-04-01"),
        ("marts.names", {"month": "2021-04-01"}, r"found 3 rows. Give the columns month, name, for example"),
        ("marts.names", {}, "with a key, found 3 rows"),
        ("things_staging.things", {"name": "ab"}, r"found 2 rows. Give the columns load_id, line_number, for example"),
    ],
)
def test_refusal_names_what_is_valid(
    postgres: Connection, root: Path, table: str, key: dict[str, str], message: str
) -> None:
    run(postgres, root)
    with pytest.raises(ParameterError, match=message):
        explain_row(postgres, table, key, [THINGS], root)


def test_table_whose_key_is_computed_needs_a_trace(postgres: Connection, root: Path, explain: Explain) -> None:
    run(postgres, root)
    (root / "marts" / "letters" / "trace.sql").unlink()
    with pytest.raises(SqlFileError, match=r"expected this file, found none: query.sql computes letter instead"):
        explain("marts.letters", month="2021-04-01", letter="a")
    assert [step.source for step in trace_of(postgres, sql_table("marts.names", root)).steps] == [
        "things_staging.things"
    ]


def test_sensitive_values_are_masked_in_answers_and_refusals(postgres: Connection, root: Path) -> None:
    run(postgres, root)
    secret = replace(THINGS, columns=(replace(THINGS.columns[0], sensitive=True), THINGS.columns[1]))
    key = {"month": "2021-04-01", "name": "ab"}
    assert explain_row(postgres, "marts.names", key, [secret], root).key == {"month": "2021-04-01", "name": "…"}
    with pytest.raises(
        ParameterError, match=r"with name=…, found no row.*for example month=2021-04-01 name=…"
    ) as caught:
        explain_row(postgres, "marts.names", {"name": "zz"}, [secret], root)
    assert not {"zz", "ab", "ad"} & set(str(caught.value).replace("=", " ").split())


# From an object


def use_of(postgres: Connection, target: str) -> ObjectUse:
    return explain_object(postgres, target, [THINGS])


def test_line_of_an_object_is_found_in_tables_and_exports(postgres: Connection, root: Path) -> None:
    load_id = run(postgres, root)
    tables = [export_of_table(postgres, sql_table(f"marts.{name}", root)) for name in ("letters", "names")]
    receipts = write_exports(postgres, lake(), tables, prefix="out/", export_id="x")
    uri = lake().uri("2021/04/things.csv")
    found = use_of(postgres, f"{uri}:4")
    assert [(one.load_id, one.table, one.rows_at_line) for one in found.loads] == [
        (load_id, "things_staging.things", 1)
    ]
    assert [(one.table, one.export_uri) for one in found.holders] == [
        ("marts.letters", receipts[0].uri), ("marts.names", receipts[1].uri)
    ]  # fmt: skip
    assert use_of(postgres, f"{uri}:3").loads[0].rejected[0].lines == (3,)
    assert use_of(postgres, uri).loads[0].rows_at_line is None
    assert use_of(postgres, receipts[0].uri).made_from == ((uri, load_id, "marts.letters"),)
    for target in (f"{uri}:4", receipts[0].uri):
        assert "marts.letters" in terminal_text(sections_of_object(use_of(postgres, target)))


def test_object_that_was_never_loaded_is_refused_with_those_that_were(postgres: Connection, root: Path) -> None:
    run(postgres, root)
    with pytest.raises(ParameterError, match=r"which is in neither .* Loaded objects: s3://.*/2021/04/things.csv"):
        use_of(postgres, lake().uri("2021/04/other.csv"))


def test_key_that_ends_with_a_colon_and_digits_is_an_object(postgres: Connection) -> None:
    load(postgres, put(DATA, "2021/04/events:12.csv"), settings=TOLERANT)
    uri = lake().uri("2021/04/events:12.csv")
    assert use_of(postgres, uri).line is None
    assert use_of(postgres, f"{uri}:2").line == 2


# The terminal


def test_terminal_prints_the_same_or_the_reason(
    postgres: Connection, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(postgres, put(DATA), settings=TOLERANT)
    assert main([lake().uri("2021/04/things.csv")]) == 0
    assert "1 of 1 loads of this object is current." in capsys.readouterr().out
    assert main(["no.table", "a=1"]) == 1
    assert "expected the name of an existing table" in capsys.readouterr().err
    assert main(["no.table", "a"]) == 1
    assert "expected one column=value" in capsys.readouterr().err
    assert main([]) == 2
    assert main(["--help"]) == 0


def test_pairs_keep_signs_in_values() -> None:
    assert pairs_of(["a=1=2", "b="]) == {"a": "1=2", "b": ""}
    with pytest.raises(ParameterError):
        pairs_of(["a=1", "a=2"])
