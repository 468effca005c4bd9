"""The project's version has one source, `pyproject.toml`. All other places agree with it."""

import importlib.metadata
import re
import tomllib
from datetime import date
from pathlib import Path

from deployments import lint

ROOT = Path(__file__).resolve().parents[2]
VERSION = str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def test_installed_version_is_that_of_the_project() -> None:
    assert importlib.metadata.version("tally") == VERSION, "run make install"


def test_image_has_the_tag_of_the_version() -> None:
    assert [build["tag"] for step in lint.load(ROOT / "prefect.yaml")["build"] for build in step.values()] == [VERSION]
    assert re.findall(r"image: tally:(\S+)", (ROOT / "deployments" / "docker-compose.yaml").read_text()) == [VERSION]


def test_newest_release_in_the_changelog_is_the_version_with_a_date() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    version, dash, day = headings[1].split(" ")
    assert (version, dash) == (VERSION, "\N{EN DASH}")
    assert date.fromisoformat(day).isoformat() == day
