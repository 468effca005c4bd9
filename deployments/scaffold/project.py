"""Write the files of a new pipeline into the project: all of them, or none."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deployments.scaffold.ordinary_words import with_ordinary_word
from deployments.scaffold.pipeline import NewPipeline
from deployments.scaffold.rendering import render

ROOT = Path(__file__).resolve().parents[2]
PROJECT_FILES = ("README.md", "CHANGELOG.md", "prefect.yaml", "pyproject.toml")
_PIPELINES = "| pipeline | purpose |\n| --- | --- |\n"
_UNRELEASED = "## Unreleased\n\n"


def edited(p: NewPipeline, root: Path = ROOT) -> dict[str, str]:
    """Return the texts of the project's own files with the new pipeline, by path."""
    found = {name: (root / name).read_text(encoding="utf-8") for name in PROJECT_FILES}
    purpose = {"month": "loads months of ", "day": "loads days of ", "": "loads the file of "}[p.unit] + p.title
    row = f"| [`{p.name}`](docs/{p.name}.md) | {purpose}, and counts their rows |\n"
    found["README.md"] = _after_table(found["README.md"], row)
    line = f"- The pipeline `{p.name}` {purpose}: `{p.deployment}`.\n"
    before, _, changes = found["CHANGELOG.md"].partition(_UNRELEASED)
    end = "" if changes.startswith("- ") else "\n"  # a heading needs a blank line before it
    found["CHANGELOG.md"] = f"{before}{_UNRELEASED}{line}{end}{changes}"
    found["prefect.yaml"] = (
        found["prefect.yaml"].rstrip("\n") + "\n\n" + render("deployment.yaml", {"p": p}).strip("\n") + "\n"
    )
    project = found.pop("pyproject.toml")
    if (changed := with_ordinary_word(p.name, project, root)) != project:
        found["pyproject.toml"] = changed
    return found


def _after_table(readme: str, row: str) -> str:
    begin = readme.index(_PIPELINES) + len(_PIPELINES)
    rows = re.compile(r"(?:\|.*\n)*").match(readme, begin)
    end = rows.end() if rows else begin
    return readme[:end] + row + readme[end:]


def write_all(files: Mapping[str, str | bytes], root: Path = ROOT) -> None:
    """Write files, and format the Python modules among them. If anything fails, restore the project.

    Raises:
        Exception: The first error. Every file is then as it was before.
    """
    before = {path: (root / path).read_bytes() if (root / path).exists() else None for path in files}
    try:
        for path, content in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        _format([path for path in files if path.endswith(".py")], root)
        _spell(files, root)
    except BaseException:
        restore(before, root)
        raise


def restore(before: Mapping[str, bytes | None], root: Path = ROOT) -> None:
    """Write the given contents, and remove the files and folders that did not exist."""
    for path, content in before.items():
        target = root / path
        if content is not None:
            target.write_bytes(content)
            continue
        target.unlink(missing_ok=True)
        folder = target.parent
        while folder != root and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


def _format(paths: list[str], root: Path) -> None:
    for command in (["check", "--select", "I", "--fix-only", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, *paths], cwd=root, check=True)


def _spell(files: Mapping[str, str | bytes], root: Path) -> None:
    """Let the spell checker accept the supplier's own names, such as those of columns."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("codespell")), *files],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if words := sorted({found.lower() for found in re.findall(r": (\S+) ==> ", done.stdout)}):
        project = root / "pyproject.toml"
        text = project.read_text(encoding="utf-8")
        listed = re.compile(r'(?m)^(ignore-words-list = "[^"]*)"$')
        project.write_text(listed.sub(lambda match: f'{match[1]},{",".join(words)}"', text, count=1), encoding="utf-8")
