import gzip
import io
import zipfile

import pytest
from sample_dataset import THINGS

from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.formats.reader import read_batches

CSV = b"name,day\na,2021-04-01\n" * 20
LINES = b'{"name": "a", "day": "2021-04-01"}\n' * 20


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.csv", CSV)
    return buffer.getvalue()


CASES = {
    "gzip": (gzip.compress(CSV), ".csv", "a gzip stream", ".gz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + CSV, ".csv", "a zstd stream", ".zst"),
    "zip": (zipped(), ".csv", "a zip archive", "without an archive"),
    "zip in gz": (zipped(), ".csv.gz", "a zip archive", "without an archive"),
    "gzip of html": (gzip.compress(b"<html>no</html>"), ".csv.gz", "an HTML page", "the data itself"),
    "twice gzip": (gzip.compress(gzip.compress(CSV)), ".csv.gz", "a gzip stream", ".gz"),
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
