"""A pipeline can be removed as CONTRIBUTING says: the other files pass their checks and name no removed file."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from deployments import pipeline_files
from tasks.contracts import catalog
from tasks.engine.schema import rights

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = sorted({contract.pipeline for contract in catalog.contracts().values()})
REMOVALS = [*([name] for name in PIPELINES), PIPELINES]
FOLDERS = ("flows", "tasks", "deployments", "benchmarks", "tests")
IMPORTED_FROM = (ROOT, ROOT / "tests", ROOT / "tests" / "support")
NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", ".tally", ".*_cache", "*.pyc.*", "*.egg-info")
"""Complete `*.pyc` files are copied, so that no module is compiled again; temporary files of compilations are not."""

FORKS = """
import importlib, json, os, runpy, shlex, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    folder, commands, environment = json.loads(line)
    child = os.fork()
    if child:
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)
        continue
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open("../" + name, os.O_WRONLY | os.O_CREAT), stream)
    for command in commands:
        sys.argv[1:] = shlex.split(command)[1:]
        try:
            runpy.run_module(shlex.split(command)[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if end.code:
                raise SystemExit(f"{command}: exit code {end.code}")
    raise SystemExit
"""
"""Run several modules as `python -m` does, in a fork for each copy of the project, because imports take seconds.

Pytest must be the first module: it cannot import a `conftest.py` after other modules installed import hooks of an old
kind."""

IMPORTED = ("pytest", "_pytest.doctest", "hypothesis", "boto3", "jsonschema", "markdown_it", "psycopg", "yaml")
IMPORTED += ("polars", "prefect.cli.deploy", "prefect.main", "sqlalchemy.dialects.postgresql")
"""Modules of other packages that the checks need. The modules of the project come from the copy."""


def removed_files(names: list[str]) -> list[Path]:
    known = rights.pipelines()
    return sorted({path for name in names for path in pipeline_files.files_of(name, known[name].schemas)})


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module or member that a module imports, at its head or within, also in code that it keeps as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (f"{a}.{b}" for a, b in re.findall(r"from ([\w.]+) import (\w+)", node.value))


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    return tuple(imports(ast.parse(path.read_text(encoding="utf-8"))))


def modules_of(removed: set[Path]) -> set[str]:
    """The names under which the removed modules and packages can be imported."""
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in removed
        for folder in IMPORTED_FROM
        if path.is_relative_to(folder)
    }


def is_of(name: str, modules: set[str]) -> bool:
    """Whether an imported name is one of some modules, or a member of one."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in modules for count in range(1, len(parts) + 1))


def dangling_imports(removed: set[Path]) -> list[str]:
    modules = modules_of(removed)
    left = [
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not removed & {path, *path.parents} and path != Path(__file__)
    ]
    return [f"{path.relative_to(ROOT)}: {name}" for path in left for name in imports_of(path) if is_of(name, modules)]


@pytest.mark.parametrize("names", REMOVALS, ids="-".join)
def test_no_module_that_is_left_imports_a_removed_one(names: list[str]) -> None:
    assert dangling_imports({ROOT / path for path in removed_files(names)}) == []


def test_import_of_a_removed_module_is_found() -> None:
    text = "def f():\n    from tasks.engine.load import loader\nRUN = 'from sample_dataset import THINGS'"
    removed = {ROOT / "tasks/engine/load/loader.py", ROOT / "tests/support/sample_dataset.py"}
    modules = modules_of(removed)
    assert [name for name in imports(ast.parse(text)) if is_of(name, modules)] == [
        "tasks.engine.load.loader",
        "sample_dataset.THINGS",
    ]
    assert dangling_imports({ROOT / "tasks/engine/load/loader.py"})


def test_files_of_a_pipeline_have_its_name_or_belong_to_its_schemas(tmp_path: Path) -> None:
    kept = ["flows/boxes_daily.py", "flows/parcel.py", "sql/boxes_core/parcels_by_day/query.sql", "docs/boxes.md"]
    kept += ["tests/support/history_sql/crm_marts/parcels/table.sql"]  # a table of shared tests
    own = ["flows/parcels_daily.py", "sql/common/days/query.sql", "tasks/parcels/steps.py", "docs/parcels.md"]
    own += ["tests/unit/test_parcels_steps.py", "tests/sql_cases/parcels_core/a/b.yaml", "benchmarks/cases/parcels.py"]
    for name in (*kept, *own):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert [str(path) for path in pipeline_files.files_of("parcels", ["common", "parcels_core"], tmp_path)] == [
        "benchmarks/cases/parcels.py",
        "docs/parcels.md",
        "flows/parcels_daily.py",
        "sql/common",
        "tasks/parcels",
        "tests/sql_cases/parcels_core",
        "tests/unit/test_parcels_steps.py",
    ]


def test_unknown_pipeline_has_no_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline_files.main(["parcel"]) == 1
    assert "found parcel" in capsys.readouterr().err


def without_deployments(text: str, names: list[str]) -> str:
    """A prefect.yaml without the deployments that have a pipeline's tag, with the comments that precede them."""
    head, *entries = re.split(r"(?m)^(?=(?:  #.*\n)*  - name: )", text)
    tagged = re.compile(rf"(?m)^    tags: \[.*\b({'|'.join(names)})\b.*\]")
    return head + "".join(entry for entry in entries if not tagged.search(entry))


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the project without some pipelines, after the three steps of CONTRIBUTING."""
    names: list[str] = request.param
    copy = tmp_path / "project"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    for path in removed_files(names):
        shutil.rmtree(copy / path) if (copy / path).is_dir() else (copy / path).unlink()
    deployed = copy / "prefect.yaml"
    deployed.write_text(without_deployments(deployed.read_text(), names))
    readme = copy / "README.md"
    rows = [
        line
        for line in readme.read_text().splitlines(keepends=True)
        if not any(f"(docs/{n}.md)" in line for n in names)
    ]
    readme.write_text("".join(rows))
    return copy


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    """The process that forks."""
    command = [sys.executable, "-c", FORKS, *IMPORTED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        yield process
        assert process.stdin
        process.stdin.close()


def run(forks: subprocess.Popen[str], project: Path, *commands: str) -> None:
    """Run `python -m` with each command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    assert forks.stdin
    assert forks.stdout
    print(json.dumps([str(project), commands, environment]), file=forks.stdin, flush=True)
    code = json.loads(forks.stdout.readline())
    printed = [(project.parent / name).read_text()[-6000:] for name in ("stdout", "stderr")]
    assert code == 0, "\n".join(printed)


@pytest.mark.slow
@pytest.mark.parametrize("project", [[name] for name in PIPELINES], ids="-".join, indirect=True)
def test_deployments_and_documents_without_a_pipeline_have_no_error(
    forks: subprocess.Popen[str], project: Path
) -> None:
    run(forks, project, "pytest -q -p no:cacheprovider tests/unit/test_docs.py", "deployments.lint")


@pytest.mark.slow
@pytest.mark.parametrize("project", [PIPELINES], ids=["all"], indirect=True)
def test_project_without_any_pipeline_passes_its_checks(forks: subprocess.Popen[str], project: Path) -> None:
    checks = ("test_structure", "test_docs", "test_prefect_yaml", "test_samples", "test_settings")
    run(
        forks,
        project,
        f"pytest -q -p no:cacheprovider -k '{' or '.join(checks)}' tests",  # this collects all tests
        "deployments.lint",
        "deployments.samples.demo",
        "deployments.local.stack --help",
    )
