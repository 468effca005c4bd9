"""The structure that ARCHITECTURE.md promises, read off the syntax of every module."""

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import pytest

from tasks.contracts import catalog

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "deployments")
LAYERS = {
    "tasks.contracts": {"tasks.contracts"},
    "tasks.engine": {"tasks.engine", "tasks.contracts"},
    "tasks": {"tasks", "tasks.engine", "tasks.contracts"},
    "flows": {"flows", "tasks", "tasks.engine", "tasks.contracts"},
    "deployments": {"deployments", "flows", "tasks", "tasks.engine", "tasks.contracts"},
    "tests": {"tests", "deployments", "flows", "tasks", "tasks.engine", "tasks.contracts"},
}
"""Which layers the modules of a layer import; of two layers that fit a module, the first is its own."""
ENGINE = (
    *(
        "declarations",
        "quoting",
        "masking",
        "lake_hints",
        "sqlstates",
        "errors",
        "settings",
        "receipts",
        "rejected_rows",
        "prefetch",
    ),
    *("formats", "lake", "warehouse", "ledger", "build", "schema", "load", "backfill", "export", "sync", "freshness"),
    *("doctor", "status", "explain", "samples"),
)
"""The modules and packages of the engine, in the order of ARCHITECTURE.md: each imports only those before it."""
WITHOUT_PREFECT = {"tasks.engine", "tasks.contracts"}
VERBS = {"list", "read", "extract", "land", "load", "build", "merge", "replace", "check", "export", "report", "reset"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST_MODULE, LONGEST_FLOW = 300, 25


def layer_of(module: str) -> str | None:
    return next((layer for layer in LAYERS if module == layer or module.startswith(f"{layer}.")), None)


@lru_cache(maxsize=1)
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Every node of a module. To walk the tree once for each rule took most of the time of these tests."""
    return tuple(ast.walk(tree))


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every module or member that a module imports, at its head or within."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def import_errors(module: str, tree: ast.Module) -> Iterator[str]:
    layer = layer_of(module)
    if layer is None:
        raise ValueError(f"expected a module of {list(LAYERS)}, found {module}")
    for line, name in imported(tree):
        if name.startswith("."):
            yield f"{module}:{line}: expected an absolute import, found {name}"
        elif (other := layer_of(name)) and other not in LAYERS[layer]:
            yield f"{module}:{line}: {layer} imports of the project only {sorted(LAYERS[layer])}, found {name}"
        elif name.startswith("prefect") and layer in WITHOUT_PREFECT:
            yield f"{module}:{line}: {layer} imports no Prefect, found {name}"


def engine_errors(module: str, tree: ast.Module) -> Iterator[str]:
    """Imports of the engine that go up its order."""
    own = module.split(".")[2] if module.startswith("tasks.engine.") else None
    for line, name in imported(tree):
        parts = name.split(".")
        if own and name.startswith("tasks.engine.") and parts[2] in ENGINE[ENGINE.index(own) + 1 :]:
            yield f"{module}:{line}: expected imports from what precedes {own} in the engine, found {parts[2]}"


def decorators(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, ast.expr]]:
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        yield ast.unparse(called).rpartition(".")[2], decorator


def decorated(tree: ast.Module, names: set[str]) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.expr]]:
    for node in nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ((node, decorator) for name, decorator in decorators(node) if name in names)


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function after its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def flow_errors(module: str, tree: ast.Module) -> Iterator[str]:
    stem = module.rpartition(".")[2]
    flows = list(decorated(tree, {"flow"}))
    if layer_of(module) != "flows":
        yield from (f"{module}: flows live under flows/, found {function.name}" for function, _ in flows)
        return
    if "from prefect import flow" in ast.unparse(tree):
        yield f"{module}: expected flow from tasks.flow_runs, whose calls send no heartbeats, found Prefect's"
    if len(flows) != 1:
        yield f"{module}: expected one flow, found {[function.name for function, _ in flows]}"
    for function, decorator in flows:
        if [name for name, _ in decorators(function)] != ["flow", "with_summary"]:
            yield f"{module}: expected the decorators flow and with_summary, so that each run says what it did"
        keywords = {k.arg: ast.unparse(k.value) for k in decorator.keywords} if isinstance(decorator, ast.Call) else {}
        if function.name != stem:
            yield f"{module}: expected the flow's function to be called {stem}, found {function.name}"
        if keywords.get("name") != repr(stem.replace("_", "-")):
            yield f"{module}: expected name={stem.replace('_', '-')!r}, found {keywords.get('name')}"
        if "flow_run_name" not in keywords:
            yield f"{module}: expected a flow_run_name that says what the run is about"
        if (length := body_length(function)) > LONGEST_FLOW:
            yield f"{module}: expected a flow of at most {LONGEST_FLOW} lines, found {length}"


def task_errors(module: str, tree: ast.Module) -> Iterator[str]:
    for function, _ in decorated(tree, {"step", "task"}):
        verb, _, noun = function.name.partition("_")
        if layer_of(module) != "tasks":
            yield f"{module}: tasks live under tasks/, found {function.name}"
        if verb not in VERBS or not noun:
            yield f"{module}: expected a task called verb_object with a verb of {sorted(VERBS)}, found {function.name}"


def module_errors(module: str, text: str) -> list[str]:
    """Find the violations of the architecture in one module."""
    tree = ast.parse(text)
    errors = [*import_errors(module, tree), *engine_errors(module, tree), *task_errors(module, tree)]
    if not module.endswith("__init__"):
        errors += flow_errors(module, tree)
    if (length := len(text.splitlines())) > LONGEST_MODULE:
        errors.append(f"{module}: expected at most {LONGEST_MODULE} lines, found {length}")
    if vague := VAGUE.intersection(part for name in module.split(".") for part in name.split("_")):
        errors.append(f"{module}: expected a name that says what the module owns, found {sorted(vague)}")
    return errors


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


@pytest.mark.parametrize("module", MODULES)
def test_module_follows_the_architecture(module: str) -> None:
    assert module_errors(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_every_layer_has_modules() -> None:
    assert {layer_of(module) for module in MODULES} == set(LAYERS) - {"tests"}


def test_folders_that_are_no_packages_have_no_init() -> None:
    found = {path.relative_to(ROOT) for folder in ("tests", "sql") for path in (ROOT / folder).rglob("__init__.py")}
    assert found == {Path("tests/end_to_end/__init__.py")}  # its package-scoped fixtures end with the folder


GOOD_FLOW = """
from tasks.engine.receipts import LoadReceipt
from tasks.flow_runs import flow
from tasks.load import load_object

@flow(name="parcels-daily", flow_run_name="x")
@with_summary
def parcels_daily() -> None:
    '''What it does.'''
    load_object()
"""
GOOD_TASK = """
from tasks.engine import lake
from tasks.policy import step

@step(task_run_name="load")
def load_object() -> None: ...
"""


@pytest.mark.parametrize(("module", "text"), [("flows.parcels_daily", GOOD_FLOW), ("tasks.load", GOOD_TASK)])
def test_sound_module_has_no_errors(module: str, text: str) -> None:
    assert module_errors(module, text) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("tasks.load", "import flows.parcels_daily"),
        ("tasks.load", "from deployments import lint"),
        ("tasks.load", "from tests import conftest"),
        ("tasks.engine.lake.client", "from tasks import policy"),
        ("tasks.engine.lake.client", "import tasks.load"),
        ("tasks.engine.lake.client", "def f() -> None:\n    from tasks.load import load_object"),
        ("tasks.contracts.parcels", "from tasks.engine import errors"),
        ("tasks.contracts.parcels", "from tasks import engine"),
        ("flows.parcels_daily", GOOD_FLOW + "import deployments.lint"),
        ("deployments.lint", "import tests.conftest"),
    ],
)
def test_import_against_the_direction_is_an_error(module: str, text: str) -> None:
    (error,) = module_errors(module, text)
    assert "imports of the project only" in error


@pytest.mark.parametrize("text", ["import prefect", "from prefect.logging import x", "import prefect_aws"])
@pytest.mark.parametrize("module", ["tasks.engine.lake.client", "tasks.contracts.parcels"])
def test_prefect_below_the_tasks_is_an_error(module: str, text: str) -> None:
    (error,) = module_errors(module, text)
    assert "imports no Prefect" in error


def test_import_up_the_order_of_the_engine_is_an_error() -> None:
    (error,) = module_errors("tasks.engine.lake.client", "from tasks.engine.load.loader import load_object")
    assert "expected imports from what precedes lake" in error
    assert module_errors("tasks.engine.load.loader", "from tasks.engine.lake.client import Lake") == []


def test_relative_import_is_an_error() -> None:
    assert module_errors("tasks.load", "from . import policy") == [
        "tasks.load:1: expected an absolute import, found ..policy"
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name="parcels-daily"', 'name="parcels_daily"', "expected name='parcels-daily', found 'parcels_daily'"),
        ('name="parcels-daily", ', "", "expected name='parcels-daily', found None"),
        ('@flow(name="parcels-daily", flow_run_name="x")', "@flow", "expected name='parcels-daily', found None"),
        ("def parcels_daily", "def parcels", "expected the flow's function to be called parcels_daily, found parcels"),
        ("@flow", "@step", "expected one flow, found []"),
        ("    load_object()\n", "    load_object()\n" * 26, "expected a flow of at most 25 lines, found 26"),
        (', flow_run_name="x"', "", "expected a flow_run_name that says what the run is about"),
        (
            "from tasks.flow_runs import flow",
            "from prefect import flow",
            "expected flow from tasks.flow_runs, whose calls send no heartbeats, found Prefect's",
        ),
        ("@with_summary\n", "", "expected the decorators flow and with_summary, so that each run says what it did"),
    ],
)
def test_flow_that_breaks_a_rule_is_an_error(old: str, new: str, message: str) -> None:
    assert old in GOOD_FLOW
    assert f"flows.parcels_daily: {message}" in module_errors("flows.parcels_daily", GOOD_FLOW.replace(old, new))


def test_two_flows_in_a_file_are_an_error() -> None:
    second = '\n@prefect.flow(name="parcels-daily", flow_run_name="x")\n@with_summary\n'
    second += "async def parcels_daily() -> None: ...\n"
    assert module_errors("flows.parcels_daily", GOOD_FLOW + second) == [
        "flows.parcels_daily: expected one flow, found ['parcels_daily', 'parcels_daily']"
    ]


def test_flow_outside_of_flows_is_an_error() -> None:
    (error,) = module_errors("tasks.load", "@flow\ndef load() -> None: ...")
    assert "flows live under flows/" in error


def test_docstring_and_signature_of_a_flow_do_not_count() -> None:
    docstring = textwrap.indent("'''Title.\n" + "Words.\n" * 40 + "'''", "    ")
    text = GOOD_FLOW.replace("    '''What it does.'''", docstring).replace("    load_object()\n", "    load()\n" * 25)
    assert module_errors("flows.parcels_daily", text) == []


@pytest.mark.parametrize("name", ["fetch_object", "load", "load_", "object_load", "loads_object"])
@pytest.mark.parametrize("decorator", ["@step(task_run_name='x')", "@task", "@prefect.task(retries=1)"])
def test_task_that_is_not_verb_object_is_an_error(name: str, decorator: str) -> None:
    (error,) = module_errors("tasks.load", f"{decorator}\ndef {name}() -> None: ...")
    assert f"found {name}" in error


def test_task_in_a_flow_file_is_an_error() -> None:
    (error,) = module_errors("flows.parcels_daily", GOOD_FLOW + "\n@task\ndef load_rows() -> None: ...")
    assert "tasks live under tasks/" in error


@pytest.mark.parametrize("module", ["tasks.engine.utils", "tasks.helpers", "deployments.csv_utils", "tasks.misc.load"])
def test_vague_name_is_an_error(module: str) -> None:
    (error,) = module_errors(module, "")
    assert "expected a name that says what the module owns" in error


def test_long_module_is_an_error() -> None:
    assert module_errors("tasks.load", "x = 1\n" * 300) == []
    assert module_errors("tasks.load", "x = 1\n" * 301) == ["tasks.load: expected at most 300 lines, found 301"]


PIPELINES = sorted({contract.pipeline for contract in catalog.contracts().values()})
ORDINARY_WORDS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["tally"]["ordinary-words"]
SUPPORT = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted((ROOT / "tests").rglob("*.py"))
    if path.name == "conftest.py" or path.parent.name == "support"
}
"""The modules that the tests share."""


def is_of_pipeline(module: str, names: Sequence[str] = PIPELINES) -> bool:
    """Whether a module belongs to one pipeline: its contracts, its steps, its flows or its samples."""
    return any(part == name or part.startswith(f"{name}_") for part in module.split(".") for name in names)


SHARED = {module: path for module, path in (MODULES | SUPPORT).items() if not is_of_pipeline(module)}
"""The modules that belong to no pipeline."""


def named_pipelines(tree: ast.Module, names: Sequence[str] = PIPELINES) -> Iterator[tuple[int, str]]:
    """Line and text of every name and string constant in code that names a pipeline, without docstrings."""
    texts = {id(node.value) for node in nodes(tree) if isinstance(node, ast.Expr)}
    for node in nodes(tree):
        found = node.value if isinstance(node, ast.Constant) else getattr(node, "id", getattr(node, "attr", None))
        if isinstance(found, str) and id(node) not in texts:
            words = set(re.split(r"[^a-z]+", found.lower()))
            if words & set(names):
                yield node.lineno, found


def imported_pipelines(tree: ast.Module, names: Sequence[str] = PIPELINES) -> list[str]:
    """Modules of a pipeline that a module imports."""
    return [name for _, name in imported(tree) if layer_of(name) and is_of_pipeline(name, names)]


ANOTHER_MEANING = ("tests.support.aws_emulator",)
"""Modules with a word that is a pipeline's name and means something else: a service of AWS."""


@pytest.mark.parametrize("module", [module for module in SHARED if module not in ANOTHER_MEANING])
def test_shared_module_names_no_pipeline(module: str) -> None:
    tree = ast.parse(SHARED[module].read_text(encoding="utf-8"))
    assert imported_pipelines(tree) == []
    named = list(named_pipelines(tree, sorted({*PIPELINES} - {*ORDINARY_WORDS})))
    assert named == [], "if the pipeline's name is an ordinary word, add it to ordinary-words in pyproject.toml"


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("flows.")])
def test_flow_imports_no_other_flow(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    assert [name for _, name in imported(tree) if name.startswith("flows.")] == []


def test_name_of_a_pipeline_is_found() -> None:
    text = """
from tasks.contracts.parcels import PARCELS
from tasks.boxes.runs import complete_run
from prefect.parcels import other
def report(boxes_prefix):
    '''Such as parcels.'''
    return settings.boxes_key, "PARCELS_DSN", "parcels"
"""
    tree, names = ast.parse(text), ("boxes", "parcels")
    assert imported_pipelines(tree, names) == ["tasks.contracts.parcels.PARCELS", "tasks.boxes.runs.complete_run"]
    assert [name for _, name in named_pipelines(tree, names)] == ["boxes_key", "PARCELS_DSN", "parcels"]
