"""The contract that a profile proposes loads every row of the sample, in any format."""

import csv
import datetime
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_dataset import lake, put

from tasks.engine.errors import ParameterError
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.load.written_values import NULL_MARKERS
from tasks.engine.samples.contracts import proposed_contract
from tasks.engine.samples.profile import SampleProfile
from tasks.sample_profile import profile

N = 60


def _csv(rows: list[list[Any]], delimiter: str = ",") -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _indicators() -> bytes:
    preamble = '\ufeff"Data Source","Indicators",\n\n"Last Updated Date","2023-07-25",\n\n'
    rows = [["Country Name", "Code", "1960", "1961", ""]]
    rows += [[f"Country {i}, Rep.", f"C{i}", f"{i * 1000}", "" if i % 5 else f"{i}.5", ""] for i in range(N)]
    return (preamble + _csv(rows)).encode()


def _bookings() -> bytes:
    rows = [["Buchungstag", "Empfänger", "Betrag", "Saldo"]]
    rows += [
        [f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2022", f"Müller; {i}", f"-{i},{i:02d}", f"1.{i:03d},50"] for i in range(N)
    ]
    return _csv(rows, ";").encode()


def _quakes() -> bytes:
    features = [
        {
            "type": "Feature",
            "id": f"us{i}",
            "properties": {"mag": i / 10 if i % 7 else None, "time": 1672900000000 + i, "tz": None},
            "geometry": {"type": "Point", "coordinates": [-120.5 + i, 35.2, 5.1]},
        }
        for i in range(N)
    ]
    return json.dumps({"type": "FeatureCollection", "metadata": {"count": N}, "features": features}).encode()


def _archive() -> bytes:
    lines = [
        json.dumps(
            {
                "id": f"{i}",
                "actor": {"login": f"u{i}"},
                "payload": {"commits": [{"sha": "a"}]} if i % 2 else {},
                "ok": True,
            }
        )
        for i in range(N)
    ]
    return gzip.compress("\n".join(lines).encode())


def _trips() -> bytes:
    table = pa.table(
        {
            "VendorID": pa.array(range(N), pa.int64()),
            "pickup": pa.array([datetime.datetime(2023, 1, 1, 0, i % 60) for i in range(N)], pa.timestamp("us")),  # noqa: DTZ001
            "passenger_count": pa.array([float(i % 5) if i % 9 else None for i in range(N)]),
            "fare": pa.array([i * 1.5 for i in range(N)], pa.float32()),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


SAMPLES: dict[str, bytes] = {
    "indicators.csv": _indicators(),
    "sales_latin.csv": _csv([["id", "city", "zip"], *([i, "Orléans", f"{i:05d}"] for i in range(N))]).encode("latin-1"),
    "bookings.csv": _bookings(),
    "titles.tsv": _csv([["tconst", "title", "year"], *([f"t{i}", f'A "{i}"', "\\N"] for i in range(N))], "\t").encode(),
    "wide.csv": _csv([["id", "name"], *([i, "é"] for i in range(N))]).encode("utf-16"),
    "nameless.dat": "".join(f"{i}|AMZN|{i}.5\n" for i in range(N)).encode(),
    "twice.csv": _csv([["id", "a", "a", "order", "load_id"], *([i, i, "x", i, i] for i in range(N))]).encode(),
    "index.csv": _csv([["", "name", "flag"], *([i, f"n{i}", bool(i % 2)] for i in range(N))]).encode(),
    "flights_2013-01.csv": _csv([["id", "delay"], *([i, "NA" if i % 3 else i] for i in range(N))]).encode(),
    "quakes_2023-01-05.geojson": _quakes(),
    "archive.json.gz": _archive(),
    "trips_2023-01.parquet": _trips(),
}


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    path.write_bytes(SAMPLES[request.param])
    return path


def loaded(path: Path, found: SampleProfile) -> tuple[int, int]:
    """Numbers of rows that the proposed contract accepts and rejects, with the reader and the encoder of loads."""
    contract = proposed_contract(found)
    encoder, counts = RowEncoder(contract), [0, 0]
    with path.open("rb") as file:
        for batch in read_batches(file, path.name, contract):
            rows = encoder.encode(batch)
            counts[0] += rows.count
            counts[1] += len(rows.rejected)
    return counts[0], counts[1]


def test_every_row_of_the_sample_fits_the_proposed_contract(sample: Path) -> None:
    found = profile(sample)
    assert (found.row_count, found.is_whole, found.rejections) == (N, True, ())
    assert loaded(sample, found) == (N, 0)
    assert len({column.name for column in found.columns}) == len(found.columns)
    text = str(found)
    assert f"all {N} rows" in text
    assert all(column.name[:20] in text for column in found.columns)


@pytest.mark.usefixtures("bucket")
def test_sample_in_the_lake_has_the_profile_of_the_local_file(sample: Path) -> None:
    put(sample.read_bytes(), sample.name)
    found, local = profile(lake().uri(sample.name)), profile(sample)
    assert (found.row_count, found.columns, found.keys, found.dialect) == (
        local.row_count,
        local.columns,
        local.keys,
        local.dialect,
    )


@pytest.mark.parametrize(
    ("path", "prefix", "template", "period"),
    [
        ("trips/year=2024/month=01/part-00000.csv", "", "year={year:04d}/month={month:02d}/part-*.csv", "2024-01-01"),
        ("iot/2024/05/02/07.csv", "", "{year:04d}/{month:02d}/{day:02d}/{hour:02d}.csv", "2024-05-02"),
        ("2023/05/02/trips-2024-01.csv", "", "trips-{year:04d}-{month:02d}.csv", "2024-01-01"),
        ("01/trips.csv", "", "trips.csv", "None"),
    ],
)
def test_folders_with_the_date_of_a_local_file_belong_to_its_key(
    tmp_path: Path, path: str, prefix: str, template: str, period: str
) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(b"id,name\n1,x\n2,y\n")
    pattern = profile(tmp_path / path).pattern
    assert (pattern.prefix, pattern.template, str(pattern.example)) == (prefix, template, period)


def test_json_paths_and_arrays_of_coordinates_are_columns(tmp_path: Path) -> None:
    path = tmp_path / "quakes.geojson"
    path.write_bytes(_quakes())
    found = profile(path)
    assert found.records_key == "features"
    sources = [column.source for column in found.columns]
    assert sources[2:5] == ["properties.mag", "properties.time", "properties.tz"]
    assert sources[-3:] == [f"geometry.coordinates[{place}]" for place in range(3)]
    assert ("id",) in found.keys
    (note,) = [text for text in found.notes if "array" in text]
    assert note.startswith("Each array geometry.coordinates has 3 numbers, one for each column. If an array may be")


def test_null_marker_counts_in_numbers_and_texts_but_not_in_codes_of_two_letters(tmp_path: Path) -> None:
    codes = [f"{a}{b}" for a in "ABCDE" for b in "VWXYZ"] + ["NA"]
    rows = [["country", "city", "delay"], *([code, "NA" if code == "NA" else f"c{code}", "NA"] for code in codes)]
    rows[1][2] = "5"
    path = tmp_path / "codes.csv"
    path.write_text(_csv(rows))
    found = profile(path)
    assert [(column.null_count, column.keeps_markers) for column in found.columns][:2] == [(0, True), (1, False)]


def _parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_floats_of_parquet_with_missing_values_are_integers_if_all_are_whole(tmp_path: Path) -> None:
    path = _parquet(
        tmp_path / "doubles.parquet",
        missing=[float(i) if i else None for i in range(N)],
        nan=[float(-i) if i else float("nan") for i in range(N)],
        large=[i * 1e9 if i else None for i in range(N)],
        huge=[i * 1e18 if i else None for i in range(N)],
        complete=[float(i) for i in range(N)],
        part=[i / 2 if i else None for i in range(N)],
    )
    found = profile(path)
    kinds = {column.name: (column.kind.name, dict(column.kind.spelling)) for column in found.columns}
    whole: dict[str, str | bool] = {"decimal_integers": True}
    double: tuple[str, dict[str, str | bool]] = ("double precision", {})
    assert kinds == {
        "missing": ("integer", whole),
        "nan": ("integer", whole),
        "large": ("bigint", whole),
        "huge": double,
        "complete": double,
        "part": double,
    }
    assert (found.column("nan").nulls, found.column("nan").null_count) == (("NaN",), 1)
    assert "write type BIGINT" in found.column("complete").notes[0]
    assert loaded(path, found) == (N, 0)


def test_integers_with_a_decimal_zero_in_csv_are_integers(tmp_path: Path) -> None:
    path = tmp_path / "delays.csv"
    path.write_text(_csv([["id", "delay"], *([i, f"{i}.0" if i % 3 else "NaN"] for i in range(N))]))
    found = profile(path)
    assert (found.column("delay").kind.name, found.column("delay").null_count) == ("integer", N // 3)
    assert found.column("delay").largest == "59.0"
    assert loaded(path, found) == (N, 0)


def test_lists_of_parquet_are_arrays(tmp_path: Path) -> None:
    path = _parquet(
        tmp_path / "lists.parquet",
        texts=[["a", 'b, "c"', None] if i % 3 else [] for i in range(N)],
        integers=pa.array([[i, None] if i % 3 else None for i in range(N)], pa.list_(pa.int32())),
        large=pa.array([[f"{i}"] for i in range(N)], pa.large_list(pa.large_string())),
        floats=[[1.5]] * N,
    )
    found = profile(path)
    assert [(column.name, column.kind.name) for column in found.columns] == [
        ("texts", "text[]"),
        ("integers", "bigint[]"),
        ("large", "text[]"),
    ]
    assert found.column("texts").examples == ('["a", "b, \\"c\\"", null]', "[]")
    assert (found.column("integers").null_count, found.column("integers").distinct_count) == (N // 3, 2 * N // 3)
    assert "leaves out column floats" in found.notes[0]
    assert loaded(path, found) == (N, 0)


def test_lists_of_json_are_arrays_if_all_elements_have_one_type(tmp_path: Path) -> None:
    rows = [{"id": i, "tags": ["a"] * (i % 4), "mixed": ["a", i], "ids": [i] * 5} for i in range(N)]
    path = tmp_path / "lists.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = profile(path)
    assert [column.kind.name for column in found.columns] == ["integer", "text[]", "jsonb", "bigint[]"]
    assert loaded(path, found) == (N, 0)


MOMENT = {"timestamp": "epoch seconds"}


@pytest.mark.parametrize(
    ("name", "first", "kind", "spelling", "note"),
    [
        ("ts", "1600000000", "timestamptz", MOMENT, "All values are epoch seconds"),
        ("createdAt", "1600000000000", "timestamptz", {"timestamp": "epoch milliseconds"}, "epoch milliseconds"),
        ("event_time", "1600000000.25", "timestamptz", MOMENT, "All values are epoch seconds"),
        ("updated_at", "946684800", "timestamptz", MOMENT, "All values are epoch seconds"),
        ("updated_at", "946684799", "bigint", {}, ""),
        ("order_number", "1600000000", "bigint", {}, "The values may be epoch seconds"),
        ("status", "1600000000", "bigint", {}, "The values may be epoch seconds"),
        ("ts", "16000000000000000", "bigint", {}, ""),
    ],
)
def test_counts_since_1970_are_moments_if_the_name_says_so(
    tmp_path: Path, name: str, first: str, kind: str, spelling: dict[str, str], note: str
) -> None:
    path = tmp_path / "moments.csv"
    path.write_text(_csv([["id", name], ["0", first], ["1", "4102444799" if first == "946684800" else first]]))
    found = profile(path)
    column = found.columns[1]
    assert (column.kind.name.replace("integer", "bigint"), dict(column.kind.spelling)) == (kind, spelling)
    assert note in " ".join(column.notes)
    assert bool(note) == bool(column.notes)
    assert loaded(path, found) == (2, 0)


@pytest.mark.parametrize("marker", sorted(NULL_MARKERS))
def test_each_null_marker_of_suggestions_is_one_of_samples(tmp_path: Path, marker: str) -> None:
    path = tmp_path / "markers.csv"
    path.write_text(_csv([["id", "delay"], *([i, marker if i % 3 else i] for i in range(N))]))
    found = profile(path)
    assert (found.column("delay").kind.name, found.column("delay").nulls) == ("integer", (marker,))
    assert loaded(path, found) == (N, 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "found an empty file"),
        ("a.csv", b" \n\n", "found an empty file"),
        ("a.csv", b"id,name\n", "found only a header"),
        ("a.json", b"[]", "found 0 other values"),
        ("a.json", b"[1, 2]", "found 2 other values"),
        ("a.xlsx", b"PK\x03\x04abc", "found a zip archive or an Excel workbook"),
        ("a.xml", b"<rows><row/></rows>", "found XML or HTML"),
        ("a.parquet", b"id,name\n1,a\n", "found a file with the suffix .parquet and another content"),
    ],
)
def test_file_without_rows_or_of_an_unknown_format_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=message):
        profile(path)


BY_KEY = {f"k{i}": {"name": f"n{i}"} for i in range(N + 1)}


@pytest.mark.parametrize("document", [BY_KEY, {"countries": BY_KEY}, {k: {"rows": [v]} for k, v in BY_KEY.items()}])
def test_records_by_key_are_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    file = tmp_path / "names.json"
    file.write_text(json.dumps(document))
    with pytest.raises(ParameterError, match=r"names.json: expected an array of records, .* jq -c"):
        profile(str(file))


def test_second_array_of_a_document_is_noted(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps({"links": [{"a": 1}], "nodes": [{"id": i} for i in range(3)]}))
    found = profile(str(file))
    assert found.records_key == "nodes"
    assert found.notes == ("The document has another array of records, links, which the contract does not read.",)


def test_blanks_around_the_names_of_a_header_are_no_part_of_the_names(tmp_path: Path) -> None:
    file = tmp_path / "drugs.csv"
    file.write_text("bacteria,     penicillin, gram\nBrucella,  1,  negative\nProteus,  3,  negative\n")
    assert [column.source for column in profile(str(file)).columns] == ["bacteria", "penicillin", "gram"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("a.ndjson", b'{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n', b'{"id": 3, "name": "c'),
        ("a.ndjson", b'{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n', b'{"id": 3, "name": NaN}\n'),
        ("a.ndjson", b'{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n', b'{"id": 3, "name": "\\ud800"}\n'),
        ("a.ndjson", b'{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n', b'{"id": 3, "name": "\xff"}\n'),
        (
            "a.ndjson",
            b'{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n',
            b'{"name":' + b"[" * 2000 + b"]" * 2000 + b"}",
        ),
        ("a.json", b'[{"id": 1, "name": "a"},\n{"id": 2, "name": "b"}', b',\n{"id": 3, "name": NaN}]'),
        ("a.json", b'[{"id": 1, "name": "a"},\n{"id": 2, "name": "b"}', b',\n{"id": 3, "name": "\\ud800"}]'),
    ],
    ids=["cut", "NaN", "surrogate", "bytes", "deep", "NaN in a document", "surrogate in a document"],
)
def test_record_that_is_not_json_is_rejected_alone(tmp_path: Path, name: str, good: bytes, bad: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(good + bad)
    found = profile(path)
    assert [(column.name, column.kind.name) for column in found.columns] == [("id", "integer"), ("name", "text")]
    assert sum(each.count for each in found.rejections) == 1
    assert loaded(path, found) == (2, 1)


def test_number_beyond_a_double_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"id": 1, "n": 1e400}\n{"id": 2, "n": 5}\n')
    found = profile(path)
    assert [column.name for column in found.columns] == ["id", "n"]
    assert loaded(path, found) == (2, 0)


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_line_feeds_end_the_lines_of_a_sample(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,name\n1,a{mark}b\n2,c\n")
    found = profile(path)
    assert [(column.name, column.kind.name) for column in found.columns] == [("id", "integer"), ("name", "text")]
    assert loaded(path, found) == (2, 0)


@pytest.mark.parametrize("values", [[f"{d:02d}.04.2024" for d in range(1, 31)], [f"{n},50" for n in range(30)]])
def test_value_of_a_total_is_shown_if_all_others_are_dates_or_numbers(tmp_path: Path, values: list[str]) -> None:
    path = tmp_path / "statement.csv"
    path.write_text("\n".join(f"{value};{n}" for n, value in enumerate(["Day", *values, "Total"])))
    assert "'Total'" in " ".join(profile(path).columns[0].notes)
