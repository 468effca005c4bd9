"""The tutorial of CONTRIBUTING, followed word by word in a copy of the project: its files are saved, its commands run.

Afterwards every flow and command that serves all pipelines knows the new pipeline, although no other file was edited.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", ".tally", ".*_cache", "*.pyc.*", "*.egg-info")
TITLE = "Your first pipeline"
SERVICES = "make up\n"
"""The command that starts the services, which the tests have already."""

VARIABLES = re.compile("(WAREHOUSE|LAKE|AWS|PREFECT)_")
"""Names of the variables of the services."""

CONSUMERS = """
import json, os
from deployments import grants, pipeline_files, plan, put
from flows.backfill import NAMES
from tasks.contracts import catalog
from tasks.engine.masking import shown_datasets
from tasks.engine.schema.rights import pipelines
from tasks.engine.settings import known_variables
from tasks.parameters import DATASETS
from tasks.pipeline_discovery import find_pipelines
import flows
put.main(["2024-05.csv", "ferries/2024-05.csv"])
grants.main(["--pipeline", "ferries"])
known = {
    "datasets of plan, replay-rejected and reset": "ferries" in DATASETS,
    "pipelines of backfill": "ferries-monthly" in NAMES,
    "pipelines of freshness": "ferries-monthly" in [pipeline.name for pipeline in find_pipelines(flows)],
    "rights": "ferries" in pipelines(),
    "settings": {"FERRIES_PREFIX", "FERRIES_KEY", "FERRIES_BUCKET"} <= known_variables(),
    "files": "flows/ferries_monthly.py" in map(str, pipeline_files.files_of("ferries", ["ferries_marts"])),
}
os.environ |= {"FERRY_PREFIX": "x", "FERRIES_PREFIXES": "x"}
plan.main(["ferries", "2024-05"])
print(json.dumps(known))
"""
"""What serves all pipelines, in one process, because the imports take seconds."""


@dataclass(frozen=True)
class Block:
    """A fenced block, with the file that the text before it names in bold."""

    language: str
    text: str
    path: str


def blocks_of(markdown: str) -> Iterator[Block]:
    """Yield the fenced blocks of the tutorial in their order."""
    section = markdown.split(f"## {TITLE}\n", 1)[1].split("\n## ", 1)[0]
    path = ""
    for token in MarkdownIt("commonmark").parse(section):
        if token.type == "inline":
            named = re.findall(r"\*\*([^*\s]+)\*\*", token.content)
            path = named[-1] if named else ""
        elif token.type == "fence":
            yield Block(token.info, token.content, "" if token.info == "sh" else path)
            path = ""


BLOCKS = list(blocks_of((ROOT / "CONTRIBUTING.md").read_text()))


def changed(text: str, diff: str) -> str:
    """Apply a block of removed and added lines to the text of a file."""
    for removed, added in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", diff, re.MULTILINE):
        before, after = (re.sub(r"(?m)^[+-]", "", lines) for lines in (removed, added))
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def follow(project: Path, block: Block) -> str:
    """Save the file of a block, change it, or run the commands of the block and return their output."""
    if block.language == "sh":
        return run(project, block.text)
    file = project / block.path
    assert block.path, block.text
    if block.language == "diff":
        file.write_text(changed(file.read_text(), block.text))
        return ""
    assert not file.exists(), f"{block.path} exists already"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text)
    return ""


def run(project: Path, commands: str) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "COV_")) and not VARIABLES.match(name)
    }
    done = subprocess.run(
        ["bash", "-euc", commands],  # noqa: S607 - the shell of the reader
        cwd=project,
        env=environment | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path, database: str, bucket: str, prefect_server: str) -> Path:
    del database, bucket, prefect_server  # they set the environment
    copy = tmp_path / "project"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    for name in ("requirements-dev.lock", "deployments/build-requirements.lock"):
        os.utime(copy / name, (0, 0))  # after a change of a lock file, make would install the shared `.venv` again
    (copy / ".tally").mkdir()
    variables = [f"export {name}={shlex.quote(value)}" for name, value in os.environ.items() if VARIABLES.match(name)]
    (copy / ".tally" / "env").write_text("\n".join(variables) + "\n")  # as `make up` writes it
    return copy


def test_tutorial_has_the_steps_in_order() -> None:
    assert next(block.text for block in BLOCKS if block.language == "sh") == SERVICES
    assert [block.path for block in BLOCKS if block.path][:2] == ["2024-05.csv", "tasks/contracts/ferries.py"]


@pytest.mark.slow
def test_tutorial_leads_to_a_pipeline_that_everything_knows(project: Path) -> None:
    outputs = [follow(project, block) for block in BLOCKS if block.text != SERVICES]
    [first, second] = [text for text in outputs if "Plan of ferries" in text]
    assert "column departed_at, 5 rows" in first
    assert 'suggestion: spelling=Spelling(timestamp="%d.%m.%Y %H:%M")' in first
    assert 'suggestion: nulls=("NA",)' in first
    assert "Checked all 5 rows: none would be rejected" in second
    assert "would be loaded" in second
    assert "No contract has a key of this form yet" in outputs[1]
    everything = "\n".join(outputs)
    assert "5 read, 5 loaded" in everything
    assert re.search(r"ferries +\S.*2024-05", everything)  # make status
    assert "ferries/2024-05.csv" in everything.split("passengers_by_route", 1)[1]  # make explain
    assert "ferries_marts.passengers_by_route" in (project / "docs/tables.md").read_text()
    printed = run(project, f".venv/bin/python -c {shlex.quote(CONSUMERS)} 2>&1")
    known = json.loads(printed.strip().splitlines()[-1])
    assert known == dict.fromkeys(known, True)
    assert "Next: make plan DATASET=ferries PARTITION=2024-05" in printed
    assert "ferries_staging" in printed
    assert "Did you mean FERRIES_PREFIX?" in printed
