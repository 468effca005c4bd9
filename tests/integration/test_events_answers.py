"""`events-insights` over the warehouse and `events-profile` over one file give the oracle's answers."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from events_oracle import read_events, top
from runs_here import run_here
from sample_dataset import client

from deployments.samples.events import events_csv, object_key
from flows.events_insights import events_insights
from flows.events_monthly import events_monthly
from flows.events_profile import events_profile
from tasks.engine.errors import EmptyExportError, MissingObjectError, ParameterError, UnreadableObjectError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GROUPS = {"countries": "country", "users": "user", "companies": "company", "dates": "date"}
MONTHS = ("2021-02", "2021-03", "2021-04")


@pytest.fixture
def s3(bucket: str) -> "S3Client":
    del bucket  # its variables say where S3 is
    return client()


@pytest.mark.usefixtures("prefect_server", "database")
def test_insights_sum_a_range_of_months_and_never_empty_an_export_silently(s3: "S3Client", bucket: str) -> None:
    files = {}
    for month in MONTHS:
        data = b"".join(events_csv(month, 400, bad_rows=2))
        s3.put_object(Bucket=bucket, Key=object_key("", month), Body=data)
        files[month] = read_events(data)
        run_here(events_monthly, month=month)
    for since, until, chosen in (
        (None, None, MONTHS),
        ("2021-03", None, MONTHS[1:]),
        (None, "2021-03", MONTHS[:2]),
        ("2021-02", "2021-04", MONTHS),
        ("2021-03", "2021-03", MONTHS[1:2]),
    ):
        answers = run_here(events_insights, since=since, until=until, top=7)
        for question, group in GROUPS.items():
            counts = sum((files[month].counts(group) for month in chosen), Counter())
            assert answers[question] == top(counts, 7), (since, until, question)

    def exported() -> str:
        return s3.get_object(Bucket=bucket, Key="analytics_export/default/top_users.csv")["Body"].read().decode()

    before = exported()
    with pytest.raises(ParameterError, match="since 2021-04 until 2021-03"):
        run_here(events_insights, since="2021-04", until="2021-03")
    with pytest.raises(EmptyExportError, match=r"top_users.csv holds \d+ rows, the new export holds 0.*allow_empty"):
        run_here(events_insights, since="2022-01")
    assert exported() == before
    assert not any(run_here(events_insights, since="2022-01", allow_empty=True).values())
    body = exported()
    assert list(csv.reader(io.StringIO(body))) == [["email", "event_count"]]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("place", ["s3", "file"])
def test_a_profile_answers_from_one_file_without_a_warehouse(
    s3: "S3Client", bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.delenv("WAREHOUSE_DSN", raising=False)
    data = b"".join(events_csv("2021-06", 2000, bad_rows=5))
    source = f"s3://{bucket}/some/events.csv"
    if place == "s3":
        s3.put_object(Bucket=bucket, Key="some/events.csv", Body=data)
    else:
        source = str(tmp_path / "events.csv")
        Path(source).write_bytes(data)
    answers = events_profile(source=source, top=5)
    expected = read_events(data)
    assert answers == {question: top(expected.counts(group), 5) for question, group in GROUPS.items()}


@pytest.mark.usefixtures("prefect_server")
def test_profile_of_an_empty_file_names_the_expected_input(bucket: str) -> None:
    with pytest.raises(MissingObjectError, match=f"s3://{bucket}/none.csv"):
        events_profile(source=f"s3://{bucket}/none.csv")
    with pytest.raises(MissingObjectError, match="expected s3://bucket/key or the path"):
        events_profile(source="none.csv")


SECRET = b'{"aws_secret_access_key": "do not show this", "x": 1}'


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("name", ["credentials.json", "credentials.csv", "credentials.ndjson", "credentials.parquet"])
def test_error_about_a_local_file_never_quotes_it(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / name).write_bytes(SECRET)
    with pytest.raises(UnreadableObjectError) as caught:
        events_profile(source=str(tmp_path / name))
    assert "is not a file of events" in str(caught.value)
    assert "aws_secret" not in str(caught.value) + caplog.text
    assert "do not show this" not in str(caught.value) + caplog.text


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("is_allowed", [True, False])
def test_deployed_run_reads_local_files_of_the_allowed_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_allowed: bool
) -> None:
    monkeypatch.setattr("tasks.events.profile_sources.deployment.id", "a deployment", raising=False)
    folder, outside = tmp_path / "allowed", tmp_path / "outside.csv"
    folder.mkdir()
    (folder / "events.csv").write_bytes(b"".join(events_csv("2021-06", 20)))
    outside.write_bytes(SECRET)
    (folder / "link.csv").symlink_to(outside)
    if is_allowed:
        monkeypatch.setenv("PROFILE_FOLDER", str(folder))
        assert events_profile(source=str(folder / "events.csv"))["countries"]
    else:
        with pytest.raises(ParameterError, match="set PROFILE_FOLDER"):
            events_profile(source=str(folder / "events.csv"))
    for path in (
        outside,
        folder / "link.csv",
        folder / ".." / "outside.csv",
        folder / "none" / ".." / ".." / "x",
        "/etc/passwd",
    ):
        with pytest.raises(ParameterError):
            events_profile(source=str(path))
