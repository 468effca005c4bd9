import gzip
import io
import tarfile
import zipfile
from dataclasses import replace

import pytest
from backports import zstd
from sample_dataset import THINGS

from tasks.contracts import Contract
from tasks.contracts.formats import Csv, FixedWidth
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.object_formats import format_of
from tasks.engine.formats.reader import read_batches

CSV = b"name,day\na,2021-04-01\n" * 20
LINES = b'{"name": "a", "day": "2021-04-01"}\n' * 20


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.csv", CSV)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("x.csv")
        member.size = len(CSV)
        archive.addfile(member, io.BytesIO(CSV))
    return buffer.getvalue()


CASES = {
    "gzip": (gzip.compress(CSV), ".csv", "a gzip stream", ".gz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + CSV, ".csv", "a zstd stream", ".zst"),
    "zip": (zipped(), ".csv", "a zip archive", "without an archive"),
    "zip in gz": (zipped(), ".csv.gz", "a zip archive", "without an archive"),
    "gzip of html": (gzip.compress(b"<html>no</html>"), ".csv.gz", "an HTML page", "the data itself"),
    "twice gzip": (gzip.compress(gzip.compress(CSV)), ".csv.gz", "a gzip stream inside a gzip stream", "once"),
    "plain as gzip": (CSV, ".csv.gz", "text", "the suffix of the object's name"),
    "csv as parquet": (CSV, ".parquet", "text", "the suffix of the object's name"),
    "gzip as parquet": (gzip.compress(CSV), ".parquet", "a gzip stream", ".gz"),
    "parquet": (b"PAR1" + bytes(50) + b"PAR1", ".csv", "a parquet file", ".parquet"),
    "parquet as json": (b"PAR1" + bytes(50) + b"PAR1", ".json", "a parquet file", ".parquet"),
    "utf-16": (CSV.decode().encode("utf-16"), ".csv", "text in UTF-16", "format=Csv(encoding='utf-16')"),
    "utf-16-le": (CSV.decode().encode("utf-16-le"), ".csv", "text in UTF-16-LE", "Csv(encoding='utf-16-le')"),
    "utf-16-be": (LINES.decode().encode("utf-16-be"), ".ndjson", "text in UTF-16-BE", "Ndjson(encoding='utf-16-be')"),
    "utf-32": (CSV.decode().encode("utf-32"), ".csv", "text in UTF-32", "UTF-8"),
    "utf-32-be": (CSV.decode().encode("utf-32-be"), ".csv", "text in UTF-32", "UTF-8"),
    "sep": (b"sep=;\nname;day\n", ".csv", "a first line 'sep=;'", "format=Csv(delimiter=';', skip_lines=1)"),
    "semicolons": (CSV.replace(b",", b";"), ".csv", "columns separated by semicolons", "format=Csv(delimiter=';')"),
    "tabs": (CSV.replace(b",", b"\t"), ".csv", "columns separated by tabs", r"format=Csv(delimiter='\t')"),
    "preamble": (b"Report\n\n" + CSV, ".csv", "the names of the columns in line 3", "format=Csv(skip_lines=2)"),
    "preamble and bars": (
        b"a|b\n" + CSV.replace(b",", b"|"),
        ".csv",
        "columns separated by vertical bars, and the names of the columns in line 2",
        "format=Csv(delimiter='|', skip_lines=1)",
    ),
    "cp1252": ("größe,n\n1,2\n".encode("cp1252"), ".csv", "bytes that are not UTF-8", "Csv(encoding='cp1252')"),
    "no header": (
        b"a,2021-04-01\nb,2021-04-02\n",
        ".csv",
        "a first line without the name of any column",
        "format=Csv(names=('name', 'day'))",
    ),
    "returns": (CSV.replace(b"\n", b"\r"), ".csv", "carriage returns as line ends", "line feed"),
    "html": (b"<!DOCTYPE html><p>502", ".csv", "an HTML page", "error page"),
    "html as json": (b"<!DOCTYPE html><p>502", ".json", "an HTML page", "error page"),
    "s3 error": (
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        ".csv",
        "an XML error response",
        "data",
    ),
    "json": (LINES, ".csv", "JSON", ".json or .ndjson"),
    "lines as document": (LINES, ".json", "one JSON object a line", ".ndjson"),
    "document as lines": (b"[" + LINES.replace(b"\n", b",\n")[:-2] + b"]", ".ndjson", "a JSON document", ".json"),
    "csv as lines": (CSV, ".ndjson", "CSV", ".csv"),
    "csv as document": (CSV, ".json", "CSV", ".csv"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
        ".csv",
        "a Git LFS pointer",
        "the pointer refers",
    ),
    "pdf": (b"%PDF-1.7\n", ".csv", "a PDF document", "the data in the expected format"),
    "zstd of html": (zstd.compress(b"<html>no</html>"), ".csv.zst", "an HTML page", "the data itself"),
    "twice zstd": (zstd.compress(zstd.compress(CSV)), ".csv.zst", "a zstd stream inside a zstd stream", "once"),
    "tar": (tarred(), ".csv", "a tar archive", "without an archive"),
    "tar in gz": (gzip.compress(tarred()), ".csv.gz", "a tar archive", "without an archive"),
    "lz4": (b"\x04\x22\x4d\x18\x64\x40\xa7", ".csv", "an LZ4 stream", ".gz or .zst"),
    "compress": (b"\x1f\x9d\x90abc", ".csv", "a stream of compress (.Z)", ".gz or .zst"),
    "rar": (b"Rar!\x1a\x07\x01\0", ".csv", "a RAR archive", "without an archive"),
    "sqlite": (b"SQLite format 3\0" + bytes(90), ".csv", "an SQLite database", "as CSV or parquet"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0", ".csv", "bytes that are not text", "as CSV"),
    "encrypted parquet": (b"PARE" + bytes(50) + b"PARE", ".parquet", "an encrypted parquet file", "without encryption"),
    "json sequence": (b"\x1e" + LINES.replace(b"\n", b"\n\x1e"), ".ndjson", "a JSON text sequence", "a line"),
    "jsonp": (b'callback([{"name":"a"}]);', ".json", "JSON in a call of JavaScript", "the JSON alone"),
    "guarded json": (b")]}',\n[]", ".json", "JSON after a guard", "the JSON alone"),
    "tildes": (CSV.replace(b",", b"~"), ".csv", "columns separated by '~'", "format=Csv(delimiter='~')"),
    "blanks": (CSV.replace(b",", b" "), ".csv", "columns separated by ' '", "format=Csv(delimiter=' ')"),
    "lines on several lines": (b'{\n "name": "a",\n "day": null\n}\n', ".ndjson", "JSON objects that take", "jq"),
    "array on several lines": (b'[\n{"name":"a"},\n{"name":"b"}\n]\n', ".ndjson", "a JSON document", ".json"),
    "ndjson in utf-16": (LINES.decode().encode("utf-16-le"), ".ndjson", "text in UTF-16-LE", "utf-16-le"),
    "bzip2": (b"BZh91AY&SY", ".csv", "a bzip2 stream", ".gz or .zst"),
}


@pytest.mark.parametrize("case", CASES)
def test_object_under_a_wrong_name_is_recognised(case: str) -> None:
    data, suffix, found, what = CASES[case]
    file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    with pytest.raises((ContractError, UnreadableObjectError)) as caught:
        list(read_batches(file, f"s3://b/x{suffix}", THINGS))
    message = str(caught.value)
    assert f"found {found}" in message
    assert what in message
    assert "name, day" in message
    assert all(line.isprintable() for line in message.split("\n"))


@pytest.mark.parametrize("data", [b"name,when\na,b\n", b"name\n", b"a,b,c\n"])
def test_object_that_is_what_its_name_says_keeps_its_own_error(data: bytes) -> None:
    file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    with pytest.raises(ContractError, match=r"^s3://b/x.csv: missing "):
        list(read_batches(file, "s3://b/x.csv", THINGS))


LAYOUT = FixedWidth((("name", 1, 1), ("day", 3, 10)))
NAMED = Csv(names=("name", "day"))


@pytest.mark.parametrize(
    ("contract", "data", "found"),
    [
        pytest.param(replace(THINGS, format=NAMED), gzip.compress(CSV, mtime=0), "a gzip stream", id="gzip"),
        pytest.param(
            replace(THINGS, format=LAYOUT), gzip.compress(b"a 1\n", mtime=0), "a gzip stream", id="fixed width"
        ),
    ],
)
def test_object_without_a_sound_record_is_refused_if_its_first_bytes_show_another_format(
    contract: Contract, data: bytes, found: str
) -> None:
    with pytest.raises(UnreadableObjectError, match=f"found.*{found}"):
        read(data, contract)


def test_object_without_a_sound_record_is_read_if_it_has_the_declared_format() -> None:
    batches = read(b'a\nb\n"c\n', replace(THINGS, format=NAMED))
    assert sum(len(batch.rejected) for batch in batches) == 3


def read(data: bytes, contract: Contract) -> list[Batch]:
    file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    return list(read_batches(file, "s3://b/x.dat", contract))


@pytest.mark.parametrize("header", [b"NAME,DAY\n", b"Name,Date of day\n", b"name_,day_\n"])
def test_header_in_other_letters_is_no_first_record(header: bytes) -> None:
    with pytest.raises(ContractError, match="name may be") as caught:
        read(header + b"a,2021-04-01\n", replace(THINGS, format=Csv()))
    assert "no header line" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x.csv.zip", "the suffix of an archive. Deliver each file"),
        ("x.TAR.GZ", "the suffix of an archive"),
        ("x.xlsx", "the suffix of a workbook. Deliver each sheet as an object in CSV"),
        ("x.csv.bz2", "the suffix of another compression"),
        ("x.csv.gzip", "another suffix. Let the name end with .gz"),
        ("x.avro", "the suffix of another format. Deliver the object as parquet"),
    ],
)
def test_suffix_of_another_format_is_named_with_the_next_step(name: str, found: str) -> None:
    with pytest.raises(ContractError, match=f"found {found}".replace("found", "Found", 1)):
        format_of(name, THINGS)


def test_error_of_a_long_line_names_the_object() -> None:
    with pytest.raises(UnreadableObjectError, match=r"s3://b/x.dat, line 2: expected a record of at most 16 MiB"):
        read(b"name,day\na," + b"x" * (17 << 20), replace(THINGS, format=Csv()))
