"""Render the files of a new pipeline from the templates."""

import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deployments.scaffold.cases import cases
from deployments.scaffold.contract_code import ContractCode, contract_code
from deployments.scaffold.pipeline import NewPipeline, code_of, comment_of

TEMPLATES = Path(__file__).parent / "templates"
LONGEST_LINE = 120
_PARAMETERS = {"month": "month (date, first day of the file month)", "day": "day (date, day of the file)", "": "none"}
_ARGUMENTS = {"month": ', month="{}"', "day": ', day=date.fromisoformat("{}")', "": ""}


def rendered(p: NewPipeline, sample_rows: int) -> dict[str, str]:
    """Return the texts of the new files by path.

    Args:
        p: The pipeline.
        sample_rows: Number of rows of the sample of the tests.
    """
    code = contract_code(p)
    context = _context(p, code) | {"sample_rows": sample_rows}
    core, marts = f"sql/{p.name}_core", f"sql/{p.name}_marts"
    files = {
        f"tasks/contracts/{p.name}.py": "contract.py",
        f"flows/{p.flow}.py": "flow.py",
        f"{core}/{p.table}/table.sql": "core_table.sql",
        f"{core}/{p.table}/query.sql": "core_query.sql",
        f"{core}/{p.table}/checks.sql": "core_checks.sql",
        f"{core}/examples.sql": "core_examples.sql",
        f"{marts}/{p.mart}/table.sql": "mart_table.sql",
        f"{marts}/{p.mart}/query.sql": "mart_query.sql",
        f"{marts}/{p.mart}/checks.sql": "mart_checks.sql",
        f"{marts}/examples.sql": "mart_examples.sql",
        f"docs/{p.name}.md": "page.md",
        f"tests/integration/test_{p.flow}.py": "test.py",
    }
    if p.dimension or not p.unit:
        files[f"{marts}/{p.mart}/trace.sql"] = "mart_trace.sql"
    texts = {path: render(template, context) for path, template in files.items()}
    return texts | {f"tests/sql_cases/{path}": text for path, text in cases(p).items()}


def render(template: str, context: dict[str, Any]) -> str:
    """Render one template; the text ends with one line end."""
    return _environment().get_template(f"{template}.jinja").render(context).strip("\n") + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(  # noqa: S701 - the texts are code and SQL, not HTML
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {
        "code": code_of,
        "capfirst": lambda text: text[:1].upper() + text[1:],
        "dashed": lambda text: text.replace("_", "-"),
        "comment_on": comment_on,
        "suffixed": lambda text, suffix: f"{text}{suffix}",
        "comment": lambda text, indent: textwrap.indent(text, " " * indent + "# "),
    }
    return environment


def comment_on(statement: str) -> str:
    """A COMMENT in two lines where it is too long for one."""
    return statement if len(statement) <= LONGEST_LINE else statement.replace(" IS '", "\nIS '", 1)


def _context(p: NewPipeline, code: ContractCode) -> dict[str, Any]:
    group = ""
    if p.dimension:
        name = f"{p.table}.{p.dimension.name}"
        is_text = p.dimension.kind.name == "text"
        group = f"coalesce(nullif({name}, ''), 'unknown')" if is_text else f"coalesce({name}::text, 'unknown')"
    where = f" of the file of a {p.unit}" if p.unit else ""
    grain = f"one {p.dimension.name}{where}" if p.dimension else f"one {p.unit}" if p.unit else "all rows"
    return {
        "p": p,
        "columns": code.columns,
        "imports": code.imports,
        "options": code.options,
        "notes": code.notes,
        "evidence": code.evidence,
        "group": group,
        "mart_grain": grain,
        "mart_rule": "rows without a value count under unknown (rejected: leaving them out)"
        if p.dimension
        else "every row counts (rejected: only rows with values)",
        "dimension_comment": comment_of(p.dimension) if p.dimension else "",
        "disposition": f"replace partition ({p.unit})" if p.unit else "replace table",
        "parameters": _PARAMETERS[p.unit],
        "schedule": "2nd of the month, 10:00 UTC" if p.unit == "month" else "daily, 10:00 UTC",
        "call": f"run_here({p.flow}{_ARGUMENTS[p.unit].format(p.example)})",
    }
