"""kill -9 at every step of an export: readers see only complete files, and the next run removes leftovers."""

from collections.abc import Callable

import pytest
from faults.aftermath import left_behind, watching
from faults.driver import work
from faults.exports import NEW, OLD, PART_BYTES, entries, objects, unfinished_uploads
from faults.processes import Death, Job, run_until_death
from sample_dataset import client

from tasks.engine.lake import client as lake
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.ledger

CALL = "botocore.client:BaseClient._make_api_call"
DEATHS = {
    "nothing sent": (Death("tasks.engine.lake.client:Lake.write", "before"), False),
    "upload begun": (Death(CALL, containing="CreateMultipartUpload"), True),
    "first part sent": (Death(CALL, containing="UploadPart"), True),
    "all parts sent": (Death(CALL, "before", containing="CompleteMultipartUpload"), True),
    "upload complete": (Death(CALL, containing="CompleteMultipartUpload"), False),
    "file verified": (Death("tasks.engine.ledger:write_export", "before"), False),
    "entry written": (Death("tasks.engine.ledger:write_export"), False),
    "manifest to be written": (Death(CALL, "before", containing="manifest.json"), False),
    "manifest written": (Death(CALL, containing="PutObject"), False),
}


def file_of(bucket: str) -> Callable[[], str]:
    return lambda: client().head_object(Bucket=bucket, Key="out/x/numbers.csv")["ETag"]


@pytest.mark.parametrize(("death", "leaves_parts"), DEATHS.values(), ids=DEATHS)
def test_killed_export_shows_whole_files_and_the_next_run_clears_up(
    postgres: Connection, bucket: str, monkeypatch: pytest.MonkeyPatch, death: Death, leaves_parts: bool
) -> None:
    monkeypatch.setattr(lake, "PART_BYTES", PART_BYTES)
    work("export", NEW, postgres)
    undisturbed_entries, undisturbed = entries(postgres), objects(bucket)
    postgres.execute("TRUNCATE ledger.exports")
    work("export", OLD, postgres)
    old = objects(bucket)
    assert old.keys() == undisturbed.keys() == {"out/x/numbers.csv", "out/x/manifest.json"}
    assert old != undisturbed

    with watching(file_of(bucket), pause=0.05) as seen:
        run_until_death(Job("export", NEW, death, {"tasks.engine.lake.client:PART_BYTES": PART_BYTES}))
        assert left_behind(postgres) == {}
        assert bool(unfinished_uploads(bucket)) == leaves_parts
        work("export", NEW, postgres)

    assert unfinished_uploads(bucket) == []
    assert objects(bucket) == undisturbed
    assert entries(postgres)[1:] == undisturbed_entries
    assert seen == {old["out/x/numbers.csv"], undisturbed["out/x/numbers.csv"]}


@pytest.mark.every_store
def test_export_keeps_unfinished_uploads_of_other_keys(postgres: Connection, bucket: str) -> None:
    for key in ("out/x2/numbers.csv", "elsewhere.csv"):
        client().create_multipart_upload(Bucket=bucket, Key=key)
    work("export", OLD, postgres)
    assert unfinished_uploads(bucket) == ["elsewhere.csv", "out/x2/numbers.csv"]
