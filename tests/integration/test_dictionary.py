"""The data dictionary describes every table, and its example queries run with the rights of their readers."""

import re
from pathlib import Path

import pytest
from declared_fixtures import Declare
from role_fixtures import ANALYST, as_role
from sample_dataset import connection
from sample_visits import VISITS

from deployments import dictionary
from tasks.engine.build.sql_files import ROOT
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.schema.relations import read_relations
from tasks.engine.schema.rights import pipelines, relations_of

SCHEMAS = sorted(path.parent.name for path in ROOT.glob("*/examples.sql"))


@pytest.mark.usefixtures("bucket", "database")
def test_dictionary_describes_every_column_of_every_table(declare: Declare) -> None:
    declare(VISITS)
    with connection() as opened:
        text = dictionary.dictionary(opened)
        names = [each.name for pipeline in pipelines().values() for each in relations_of(pipeline)]
        relations = read_relations(opened, names)
    generated = {contract.ingested for pipeline in pipelines().values() for contract in pipeline.contracts}
    sections = {part.split("`")[0]: part for part in text.split("### `")[1:]}
    assert VISITS.table in sections
    for name, relation in relations.items():
        if name in generated:
            assert f"`{name}`" in text
            continue
        rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", sections[name], re.MULTILINE)
        assert [column for column, _ in rows] == list(relation.columns)
        assert [column for column, meaning in rows if not meaning.strip()] == []


@pytest.mark.usefixtures("bucket", "database")
def test_contents_link_to_the_section_of_each_table_and_list_the_tables_of_analysts_first(declare: Declare) -> None:
    declare(VISITS)
    with connection() as opened:
        page = dictionary.files(dictionary.dictionary(opened))["tables.html"]
    first, others = re.findall(r"<table>.*?</table>", page, re.DOTALL)[:2]
    links = {name: target for target, name in re.findall(r'<a href="#([^"]+)"><code>([^<]+)</code>', first + others)}
    sections = {name: target for target, name in re.findall(r'<h3 id="([^"]+)"><code>([^<]+)</code>', page)}
    tables = {each.ingested: each.table for pipeline in pipelines().values() for each in pipeline.contracts}
    assert links == {name: sections[tables.get(name, name)] for name in links}
    assert set(sections) <= set(links)
    relations = [each for pipeline in pipelines().values() for each in relations_of(pipeline)]
    assert {name for name in links if f"<code>{name}</code>" in first} == {
        each.name for each in relations if each.is_read
    }


@pytest.mark.usefixtures("bucket", "database")
def test_dictionary_without_pipelines_describes_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dictionary, "contracts", dict)
    monkeypatch.setattr(dictionary, "pipelines", lambda _root: {})
    with connection() as opened:
        text = dictionary.dictionary(opened)
    assert "[`ledger.loads`](#ledgerloads)" in text
    assert "Tables for analysts" not in text


def test_every_schema_that_analysts_read_has_examples() -> None:
    read = {
        relation.schema
        for pipeline in pipelines().values()
        for relation in relations_of(pipeline)
        if relation.is_read and not relation.is_generated
    }
    assert sorted(read - set(SCHEMAS)) == []


@pytest.mark.xdist_group("roles")
@pytest.mark.usefixtures("bucket", "granted")
def test_analysts_can_run_every_example_of_a_pipeline(database: str) -> None:
    with as_role(database, ANALYST) as analyst:
        for schema in SCHEMAS:
            if schema != "ledger":
                for _, query in dictionary.examples_of(schema):
                    assert analyst.execute(query.encode()).description


@pytest.mark.usefixtures("bucket", "database")
def test_owner_can_run_every_example_of_the_ledger() -> None:
    with connection() as opened:
        apply_ddl(opened, [], [])
        for _, query in dictionary.examples_of("ledger"):
            assert opened.execute(query.encode()).description


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("SELECT 1;\n", id="no-question"),
        pytest.param("SELECT 1;\n-- question: Two?\nSELECT 2;\n", id="query-before-the-first-question"),
        pytest.param("-- question: One?\n", id="question-without-query"),
        pytest.param("-- question: One?\nSELECT 1\n", id="no-semicolon"),
    ],
)
def test_malformed_examples_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "shop" / "examples.sql"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ValueError, match=r"shop/examples\.sql: expected `-- question"):
        dictionary.examples_of("shop", tmp_path)


def test_schema_without_a_file_has_no_examples(tmp_path: Path) -> None:
    assert dictionary.examples_of("shop", tmp_path) == []


def test_missing_and_changed_files_are_stale(tmp_path: Path) -> None:
    contents = dictionary.files("# Tables\n")
    assert dictionary.stale_files(tmp_path, contents) == ["tables.md", "tables.html"]
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    assert dictionary.stale_files(tmp_path, contents) == []
    (tmp_path / "tables.html").write_text("<p>old</p>")
    assert dictionary.stale_files(tmp_path, contents) == ["tables.html"]
