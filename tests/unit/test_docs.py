"""The documents are true: their links, paths, commands, parameters, settings and code are checked."""

import importlib.util
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from deployments import lint
from tasks.contracts import catalog
from tasks.engine import settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "deployments/README.md"),
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)
PIPELINES = sorted({contract.pipeline for contract in catalog.contracts().values()})
LINES_OF_README = 150
SHELL = ("", "sh", "bash", "shell", "console")
FILES_OF_A_TABLE = ("table.sql", "query.sql", "affected_keys.sql", "checks.sql", "trace.sql")
SOURCES = (".py", ".sql", ".sh", ".md", ".toml", ".yaml", ".lock")


@cache
def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


@dataclass(frozen=True)
class Document:
    """A Markdown file.

    Attributes:
        name: Its path in the project.
        text: Its content.
    """

    name: str
    text: str

    def tokens(self, *kinds: str) -> Iterator[Token]:
        """The parts of some kinds, with those inside of paragraphs and cells."""
        for token in parsed(self.text):
            yield from (part for part in (token, *(token.children or ())) if part.type in kinds)

    def commands(self) -> Iterator[list[str]]:
        """The words of each command, in blocks and in running text."""
        for token in self.tokens("code_inline", "fence", "code_block"):
            if token.info in SHELL:
                for line in token.content.replace("\\\n", " ").splitlines():
                    yield from commands_of(line)

    def table(self, header: str) -> str:
        """The source of the tables whose first column has a header."""
        lines = self.text.splitlines()
        tables = ["\n".join(lines[slice(*token.map)]) for token in self.tokens("table_open") if token.map]
        return "\n".join(table for table in tables if table.lstrip("| ").startswith(header))


def commands_of(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # an apostrophe: this is no command
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if set(word) <= set("();<>|&"):
            yield command
            command = []
        elif command or not re.match(r"\w+=", word):  # variables before a command
            command.append(word)


@cache
def project_paths() -> tuple[PurePosixPath, ...]:
    """Every file and folder of the project, without what the tools leave in hidden folders."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name == ".ci" or not name.startswith((".", "__"))]
        found += [PurePosixPath(Path(folder, name).relative_to(ROOT)) for name in (*folders, *files)]
    return tuple(found)


@cache
def flows() -> dict[str, Any]:
    """Flows by the name that `prefect deployment run` takes."""
    deployments = lint.load(ROOT / "prefect.yaml")["deployments"]
    return {f"{(flow := lint.flow_of(wanted)).name}/{wanted['name']}": flow for wanted in deployments}


def targets() -> dict[str, str]:
    """The Makefile's targets with their lines of help."""
    found = re.findall(r"^([a-z][\w-]*):[^=]*?(?:## (.*))?$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return dict(found)


def dead_links(document: Document) -> list[str]:
    places = [str(token.attrs.get("href", token.attrs.get("src"))) for token in document.tokens("link_open", "image")]
    files = [place.partition("#")[0] for place in places if not re.match(r"[a-z]+:", place)]
    return [file for file in files if not (ROOT / document.name).parent.joinpath(file).exists()]


def dead_paths(document: Document) -> list[str]:
    """Code spans that look like a path, but no path ends with them.

    A `<placeholder>` or `{placeholder}` matches any name. A `{SETTING}` begins a key of the lake, not a path.
    """
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    defaults = [field.default for field in settings.RunSettings.model_fields.values()]
    defaults += [setting.default for setting in catalog.settings().values()]
    others = {*flows(), *map(str, defaults), *FILES_OF_A_TABLE}
    errors = []
    for token in document.tokens("code_inline"):
        path = re.sub(r"<\w+>|\{\w+(,\w+)*\}", "*", token.content)
        is_path = re.fullmatch(r"[\w.*-]+(/[\w.*-]+)*/?", path) and ("/" in path or path.endswith(SOURCES))
        is_key = re.match(r"\{[A-Z_]+\}", token.content)
        if found := re.search("<(pipeline|table|case)>", token.content):
            # No pipeline, or none with such a file, may exist: only the folder must.
            path = re.sub(r"<\w+>", "*", token.content[: found.start()]).rpartition("/")[0] or "tests"
        if is_path and not is_key and token.content not in others and path.split("/")[0] not in ignored:
            pattern = path.rstrip("/")
            if not any(known.match(pattern) for known in project_paths()):
                errors.append(token.content)
    return errors


def unknown_targets(document: Document) -> list[str]:
    asked = [word for command in document.commands() if command[:1] == ["make"] for word in command[1:]]
    return [word for word in asked if "=" not in word and not word.startswith("-") and word not in targets()]


def unknown_modules(document: Document) -> list[str]:
    errors = []
    for command in document.commands():
        for program, option, module in zip(command, command[1:], command[2:], strict=False):
            is_run = re.search(r"python[\d.]*$", program) and option == "-m"
            if is_run and not is_importable(module):
                errors.append(module)
    return errors


def is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package
        return False


def runs_that_are_refused(document: Document) -> list[str]:
    errors = []
    for command in document.commands():
        words = [PurePosixPath(command[0]).name, *command[1:]] if command else []
        if words[:3] == ["prefect", "deployment", "run"] and len(words) > 3:
            errors += run_errors(words[3], words[4:])
    return errors


def run_errors(name: str, options: list[str]) -> list[str]:
    """The errors of a run with parameters; a placeholder such as `<dataset>` matches any name."""
    if "<" in name:
        return []
    if name not in flows():
        return [f"{name}: no deployment of prefect.yaml"]
    given = dict(value.split("=", 1) for option, value in pairwise(options) if option == "-p")
    known = {key: as_json(value) for key, value in given.items() if "<" not in value}
    schema = parameter_schema(flows()[name]).model_dump_for_openapi()
    schema["required"] = [key for key in schema.get("required", []) if key not in given.keys() - known.keys()]
    unknown = [f"{name}: no parameter {key}" for key in given.keys() - schema["properties"].keys()]
    return unknown + [error.message for error in validate(known, schema)]


def as_json(value: str) -> Any:
    """A parameter's value as the command line reads it."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def broken_python(document: Document) -> list[str]:
    errors = []
    for token in document.tokens("fence"):
        if token.info == "python":
            try:
                compile(token.content, document.name, "exec")
            except SyntaxError as error:
                errors.append(str(error))
    return errors


RULES: dict[Callable[[Document], list[str]], str] = {
    dead_links: "[the engine](tasks/motor/loader.py)",
    dead_paths: "All of it is in `tasks/motor/loader.py`.",
    unknown_targets: "```sh\nmake PYTHON=python3 tea  # and biscuits\n```",
    unknown_modules: "    .venv/bin/python -m deployments.teapot --deploy",
    runs_that_are_refused: "`prefect deployment run plan/plan -p dataset=things -p partition=2021-13 --watch`",
    broken_python: "```python\nfor:\n```",
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_document_keeps_the_rule(name: str, rule: Callable[[Document], list[str]]) -> None:
    assert rule(Document(name, (ROOT / name).read_text())) == []


@pytest.mark.parametrize(("rule", "example"), RULES.items(), ids=lambda rule: getattr(rule, "__name__", ""))
def test_rule_finds_the_error(rule: Callable[[Document], list[str]], example: str) -> None:
    assert rule(Document("README.md", example))
    assert [other.__name__ for other in RULES if other(Document("README.md", example))] == [rule.__name__]


@pytest.mark.parametrize(
    ("rule", "example"),
    [
        pytest.param(dead_links, "![a picture](pictures/none.svg)", id="picture"),
        pytest.param(dead_paths, "`deployments/<name>.rs`", id="path-with-placeholder"),
        pytest.param(dead_paths, "`load.rs.py`", id="bare-file-name"),
        pytest.param(unknown_targets, "    BASE_IMAGE=debian make tea", id="target-after-a-variable"),
        pytest.param(unknown_targets, "First `make install tea`, then", id="second-target-in-a-sentence"),
        pytest.param(unknown_modules, "`cd x && python3 -m no_such_package.module`", id="package"),
        pytest.param(runs_that_are_refused, "`prefect deployment run plan`", id="deployment"),
        pytest.param(runs_that_are_refused, "`prefect deployment run reset/reset`", id="required"),
        pytest.param(runs_that_are_refused, "`.venv/bin/prefect deployment run plan/plan -p y=1`", id="name"),
    ],
)
def test_rule_finds_the_error_in_another_form(rule: Callable[[Document], list[str]], example: str) -> None:
    assert rule(Document("README.md", example))


def test_every_target_has_a_line_of_help() -> None:
    assert {"demo", "test", "help"} <= targets().keys()
    assert [name for name, text in targets().items() if not text] == []


def variables(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text))


def known_settings() -> set[tuple[str, ...]]:
    """The names of each setting, of which a list needs one."""
    lake = settings._LAKE_VARIABLES.values()
    return {*lake, *((name,) for name in settings.known_variables() if not any(name in names for names in lake))}


def lacking_settings(text: str, known: set[tuple[str, ...]]) -> list[str]:
    """The settings that a text lacks. `<DATASET>_KEY` describes every variable that derives from a dataset."""
    derived = {
        variable
        for variable, setting in catalog.settings().items()
        if setting.is_derived and f"<DATASET>_{variable.rpartition('_')[2]}" in text
    }
    return sorted(names[0] for names in known if not (variables(text) | derived) & set(names))


def unknown_settings(text: str, known: set[tuple[str, ...]]) -> list[str]:
    return sorted(variables(text) - {name for names in known for name in names})


def test_every_pipeline_has_a_page_that_the_readme_links() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in PIPELINES if f"(docs/{name}.md)" not in readme] == []


def test_readme_and_the_pages_of_pipelines_list_every_setting_and_no_other() -> None:
    names = ["README.md", *(f"docs/{pipeline}.md" for pipeline in PIPELINES)]
    table = "\n".join(Document(name, (ROOT / name).read_text()).table("variable") for name in names)
    assert lacking_settings(table, known_settings()) == []
    assert unknown_settings(table, known_settings()) == []


def test_environment_example_has_every_setting() -> None:
    assert lacking_settings((ROOT / "deployments/.env.example").read_text(), known_settings()) == []


def test_settings_that_a_list_lacks_or_invents_are_found() -> None:
    table = "| variable | default |\n| --- | --- |\n| `EXPORT_ID` | `default` |\n| `EXPORT_IT` | yes |\n"
    text = Document("README.md", f"`MAX_TEA`\n\n{table}\n| other |\n| --- |\n| `MAX_TEA` |").table("variable")
    known = {("EXPORT_ID",), ("AWS_REGION", "AWS_DEFAULT_REGION")}
    assert lacking_settings(text, known) == ["AWS_REGION"]
    assert unknown_settings(text, known) == ["EXPORT_IT"]


def readme_errors(readme: Document) -> list[str]:
    """What is wrong with its length, and with the commands of its first block."""
    errors = []
    if (lines := len(readme.text.splitlines())) >= LINES_OF_README:
        errors.append(f"{lines} lines")
    block = next(readme.tokens("fence", "code_block")).content
    commands = [command for line in block.splitlines() for command in commands_of(line) if command]
    if commands != [["make", "demo"], ["make", "test"]]:
        errors.append(f"begins with {commands}")
    return errors


def test_readme_is_short_and_begins_with_its_two_commands() -> None:
    assert readme_errors(Document("README.md", (ROOT / "README.md").read_text())) == []


def test_readme_that_is_long_or_begins_otherwise_is_found() -> None:
    commands = "```sh\nmake demo  # first\nmake test\n```\n"
    assert readme_errors(Document("README.md", commands)) == []
    assert readme_errors(Document("README.md", commands + "\n" * LINES_OF_README)) == ["154 lines"]
    assert readme_errors(Document("README.md", f"    make up\n\n{commands}")) == ["begins with [['make', 'up']]"]
