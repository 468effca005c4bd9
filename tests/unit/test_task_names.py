"""The names of task runs: for people, with parameters that the task has."""

import ast
from pathlib import Path
from string import Formatter

import pytest

TASKS = Path(__file__).parents[2] / "tasks"
STEPS = [
    (path.stem, node, ast.literal_eval(decorator.keywords[0].value))
    for path in sorted(TASKS.rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef)
    for decorator in node.decorator_list
    if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "step"
]


def test_steps_are_found() -> None:
    assert len(STEPS) > 20


@pytest.mark.parametrize(("module", "function", "template"), STEPS, ids=[f"{m}.{f.name}" for m, f, _ in STEPS])
def test_name_of_a_task_run_uses_parameters_of_the_task(module: str, function: ast.FunctionDef, template: str) -> None:
    del module
    known = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    fields = {name.split(".")[0] for _, name, _, _ in Formatter().parse(template) if name}
    assert fields <= known
    assert function.name not in template
