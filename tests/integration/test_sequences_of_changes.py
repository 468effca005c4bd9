"""Random sequences of changes of objects and contracts: after a catch-up, every table holds what the lake holds."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from changing_facts import ALLOWED, KEYS, NAMES, SQL, Record
from changing_pipeline import Operator
from example_counts import examples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sample_dataset import client, connection

from tasks.connections import shared_connections
from tasks.engine.build import sql_files
from tasks.engine.errors import SchemaDriftError

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

WIDER = {"is_wide", "has_note"}
"""Changes that the DDL step makes. It refuses their reverse, which needs a migration."""


class Changes(Operator):
    """The changes of a sequence. A place is the number of an object in the lake."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.delivered: list[tuple[str, list[Record]]] = []

    def deliver(self, key: str, records: list[Record]) -> None:
        self.delivered.append((key, records))
        self.put(key, records)

    def deliver_again(self, place: int) -> None:
        """Put an older or an equal copy of an object back."""
        if self.delivered:
            self.put(*self.delivered[place % len(self.delivered)])

    def withdraw(self, place: int) -> None:
        if self.objects:
            self.remove(self.at(place))

    def clear_object(self, place: int) -> None:
        if self.objects:
            self.put(self.at(place), [])

    def move_row(self, place: int, key: str) -> None:
        if self.objects and self.objects[self.at(place)]:
            first, *rest = self.objects[source := self.at(place)]
            self.put(source, rest)
            self.put(key, [*self.objects.get(key, []), first])

    def at(self, place: int) -> str:
        return sorted(self.objects)[place % len(self.objects)]

    def rename_keys(self) -> None:
        self.declared = replace(self.declared, template=1 - self.declared.template)

    def declare(self, name: str) -> None:
        """Change the contract, if the DDL step accepts the change."""
        changed = replace(self.declared, **{name: not getattr(self.declared, name)})
        is_narrower = name in WIDER and not getattr(changed, name)
        try:
            self.apply(changed)
        except SchemaDriftError as error:
            self.log.append(f"{error}")
            is_refused = True
        else:
            is_refused = False
        is_required = changed.needs_note and changed.has_note and name in {"needs_note", "has_note"}
        may_be_refused = is_narrower or is_required
        assert may_be_refused if is_refused else not is_narrower, self.told(name)

    def run_with(self, month: str, options: dict[str, Any]) -> None:
        self.try_run(month, **options)

    def settle(self) -> None:
        self.catch_up()
        if self.objects:  # without objects the pipeline does not run, and so loads no names
            self.compare()


records = st.tuples(
    st.sampled_from(["a", "b", "c", "NA"]),
    st.sampled_from(["1", "2", "3", "", "3000000000", "bad"]),
    st.sampled_from(["xyz", "Xy", "", "NA"]),
)
good_records = st.tuples(st.sampled_from("abc"), st.sampled_from("123"), st.sampled_from(["xyz", "Xy"]))
objects = st.lists(st.one_of(good_records, good_records, records), max_size=4)
some_names = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["Ann", "Bob", "Cy"]), min_size=1)
keys, files, places = st.sampled_from(KEYS), st.sampled_from(NAMES), st.integers(0, 9)
months = st.sampled_from(["2021-01", "2021-02", "2021-03"])
options = st.fixed_dictionaries({"force": st.booleans(), "until": st.sampled_from(["load", "build", "end"])})
killed_calls = st.sampled_from(["close_load", "open_load", "write_build", "remove_loads"])
deliver, rename = st.tuples(st.just("deliver"), keys, objects), st.tuples(st.just("rename_keys"))
append, names = (
    st.tuples(st.just("declare"), st.just("is_appended")),
    st.tuples(st.just("put_names"), files, some_names),
)
CHANGES = (
    *(deliver, deliver, deliver, rename, rename, append, append, names),
    *(st.tuples(st.just("declare"), st.just(name)) for name in ("has_nulls", "is_short", "is_loud", "needs_note")),
    *(st.tuples(st.just("declare"), st.just(name)) for name in sorted(WIDER)),
    *(st.tuples(st.just(name), places) for name in ("deliver_again", "withdraw", "withdraw", "clear_object")),
    st.tuples(st.just("move_row"), places, keys),
    st.tuples(st.just("replay")),
    st.tuples(st.just("reset"), months),
    st.tuples(st.just("run_with"), months, options),
    st.tuples(st.just("run_killed"), months, killed_calls),
    st.tuples(st.just("run_killed"), months, killed_calls),
)
"""Each sequence holds all of these changes, in any order."""

sequences = st.tuples(*CHANGES).flatmap(st.permutations)


@pytest.fixture
def root(database: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The SQL of the pipeline, with the settings of its runs."""
    del database, bucket
    shutil.copytree(SQL, tmp_path, dirs_exist_ok=True)
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    monkeypatch.setenv("MAX_REJECTED_ROWS", f"{ALLOWED}")
    monkeypatch.setenv("MAX_REJECTED_SHARE", "0")
    with shared_connections():
        yield tmp_path


def clear() -> None:
    """Remove everything from the lake and the warehouse, except the tables of the ledger."""
    for item in client().list_objects_v2(Bucket=os.environ["LAKE_BUCKET"]).get("Contents", []):
        client().delete_object(Bucket=os.environ["LAKE_BUCKET"], Key=item["Key"])
    with connection() as warehouse:
        warehouse.execute("DROP SCHEMA IF EXISTS raw, core, marts, latest, history CASCADE")
        tables = warehouse.execute(
            "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables WHERE schemaname = 'ledger'"
            " AND tablename <> 'applied_files'"
        ).fetchall()
        warehouse.execute(f"TRUNCATE {tables[0][0]} RESTART IDENTITY".encode())
        warehouse.execute("DELETE FROM ledger.applied_files WHERE path NOT LIKE 'ledger%'")


# Without shrinking, which takes minutes; the message of a failure lists all steps.
@settings(examples(2), phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(sequence=sequences, at_once=st.integers(3, 4))
def test_tables_hold_what_the_lake_holds_after_any_changes(
    root: Path, sequence: list[tuple[Any, ...]], at_once: int
) -> None:
    clear()
    changes = Changes(root)
    for key in KEYS[:3]:
        changes.deliver(key, [("a", "1", "xyz"), ("b", "2", ""), ("NA", "3", "Xy")])
    for key in NAMES:
        changes.put_names(key, {"a": "Ann", "b": key})
    changes.settle()
    for number, (name, *arguments) in enumerate(sequence, 1):
        changes.log.append(f"{name} {arguments}")
        getattr(changes, name)(*arguments)
        if number % at_once == 0:
            changes.settle()
    if not changes.objects:
        changes.put(KEYS[0], [("a", "1", "xyz")])
    changes.settle()
