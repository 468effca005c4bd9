"""The wheel: its content, and a load and a build from it in an environment without the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import psycopg
import pytest
from sample_visits import HEADER, SQL, visit_records

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.xdist_group("wheel")  # one process builds the wheel, once

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("pyproject.toml", "setup.py", "LICENSE", "flows", "tasks", "sql", "deployments")
UV = Path(sysconfig.get_path("scripts")) / "uv"
PYTHON = ("--quiet", "--offline", "--python")
MIGRATION = '''"""{title}."""

from alembic import op

revision = "{number}"
down_revision = {before}


def upgrade() -> None:
    op.execute("COMMENT ON SCHEMA visits_marts IS '{title}'")
'''
RUN = """
import json, sys
from importlib.metadata import version
from prefect import flow
from sample_visits import VISITS
import flows
from tasks.contracts.keys import partition_value
from tasks.engine.build import sql_files
from tasks.engine.build.build_inputs import Build
from tasks.engine.formats.native import binding
from tasks.extract import list_objects
from tasks.load import load_object
from tasks.transform import build_schemas, build_tables

MARTS = Build("visits_marts", (VISITS,), lambda month: {"month": partition_value(month)})

@flow
def visits_monthly(month):
    build_schemas([VISITS], ["visits_marts"])
    for source in list_objects(VISITS, month):
        load_object(VISITS, source)
    build_tables(MARTS, month)

second = sql_files.ROOT / "visits_marts" / "migrations" / "0002_second.py"
visits_monthly("2021-04")
second.write_text(sys.argv[1])
visits_monthly("2021-04")
print(json.dumps({
    "version": version("tally"), "flows": flows.__file__, "sql": str(sql_files.ROOT), "library": str(binding.LIBRARY),
    "path": sys.path,
}))
"""


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project, a made-up schema and a migration, from a copy: a build writes beside its sources."""
    if not shutil.which(os.environ.get("CC", "cc").split()[0]):
        pytest.skip("found no C compiler on PATH")
    copy = tmp_path_factory.mktemp("wheel") / "project"
    for name in PROJECT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    shutil.copytree(SQL / "visits_marts", copy / "sql" / "visits_marts")
    migrations = copy / "sql" / "visits_marts" / "migrations"
    migrations.mkdir(exist_ok=True)
    (migrations / "0001_first.py").write_text(MIGRATION.format(number="0001", before=None, title="first"))
    run(UV, "build", "--no-build-isolation", *PYTHON, sys.executable, "--out-dir", copy.parent, copy)
    [built] = copy.parent.glob("*.whl")
    return built


def test_wheel_contains_the_project_without_tests_samples_and_local_services(wheel: Path) -> None:
    files = {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}
    tops = {file.parts[0] for file in files if not file.parts[0].endswith(".dist-info")}
    assert tops == {"flows", "tasks", "sql", "deployments"}
    assert {file.parts[1] for file in files if file.parts[0] == "deployments"} == {
        "pools",
        *(path.name for path in (ROOT / "deployments").glob("*.py")),
    }
    for folder in ("flows", "tasks", "sql"):
        sources = {
            path.relative_to(ROOT) for suffix in ("py", "sql", "css") for path in (ROOT / folder).rglob(f"*.{suffix}")
        }
        assert sources <= {Path(file) for file in files}
    assert {file.name for file in files if file.suffix not in {".py", ".sql"} and file.parts[0] in tops} == {
        "library.abi3.so",
        "page.css",
        *(path.name for path in (ROOT / "deployments/pools").glob("*.yaml")),
    }


def test_one_wheel_serves_every_python_of_a_platform(wheel: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name.startswith(f"tally-{version}-cp311-abi3-")


def test_month_is_loaded_and_built_from_the_wheel(
    wheel: Path,
    tmp_path: Path,
    prefect_server: str,
    database: str,
    bucket: str,
    lake_administrator: "S3Client",
) -> None:
    data = HEADER + visit_records(1_000) + b"none,\n" * 3
    lake_administrator.put_object(Bucket=bucket, Key="2021/04/visits.csv", Body=data)
    shutil.copy(SQL.with_name("sample_visits.py"), tmp_path)
    environment, python = tmp_path / "environment", tmp_path / "environment" / "bin" / "python"
    run(UV, "venv", *PYTHON, sys.executable, environment)
    run(UV, "pip", "install", *PYTHON, python, "--no-deps", wheel)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # The dependencies come from the locked environment. A path in a .pth file does not bring its editable installs.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TALLY_"))}
    second = MIGRATION.format(number="0002", before='"0001"', title="second")
    said = json.loads(run(python, "-c", RUN, second, cwd=tmp_path, env=variables).splitlines()[-1])
    assert said["version"] in wheel.name
    assert said["flows"] == str(packages / "flows" / "__init__.py")
    assert said["sql"] == str(packages / "sql")
    assert said["library"] == str(packages / "tasks" / "engine" / "formats" / "native" / "library.abi3.so")
    assert str(ROOT) not in said["path"]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM visits_staging.visits").fetchone() == (1_000,)
        counted = connection.execute("SELECT sum(visit_count) FROM visits_marts.visit_counts_by_country")
        assert counted.fetchone() == (1_000,)
        applied = connection.execute(
            "SELECT path FROM ledger.applied_files WHERE path LIKE '%/migrations/%' ORDER BY 1"
        )
        assert [path for (path,) in applied] == [
            f"sql/visits_marts/migrations/{name}.py" for name in ("0001_first", "0002_second")
        ]
        [comment] = connection.execute("SELECT obj_description('visits_marts'::regnamespace)").fetchone() or [None]
        assert comment == "second"
