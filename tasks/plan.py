"""Report what a load would do, without loading."""

from collections import Counter
from collections.abc import Iterator, Sequence

from prefect.logging import get_run_logger

from tasks.connections import bucket_of, open_lake, open_warehouse
from tasks.contracts import Contract
from tasks.engine.load.plan import ObjectPlan, Plan, plan_loads
from tasks.engine.receipts import ObjectRef
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.report import markdown_table
from tasks.run_summary import Ended, counted


@step(task_run_name="Plan the load of {contract.dataset}")
def report_plan(contract: Contract, sources: Sequence[ObjectRef]) -> Plan:
    """Plan the load of some objects and publish the plan; write nothing else."""
    with open_warehouse() as connection, open_lake(bucket_of(contract)) as lake:
        plan = plan_loads(connection, lake, contract, sources)
    logger = get_run_logger()
    for table in plan.created:
        logger.info("%s would be created", table)
    for statement in plan.statements:
        logger.info("The DDL step would execute: %s", statement)
    for line in plan.drift:
        logger.warning("The DDL step would refuse: %s", line.strip())
    for planned in plan.objects:
        logger.info("%s, %s bytes: %s", planned.source.uri, f"{planned.source.size_bytes:,}", outcome(planned))
        for line in drift(planned):
            logger.warning("%s: %s", planned.source.uri, line)
    publish_markdown(
        plan_text(plan), key=f"plan-{plan.dataset}".replace("_", "-"), description=f"Plan of {plan.dataset}"
    )
    return plan


def outcome(planned: ObjectPlan) -> str:
    """Describe what a load would do with an object."""
    if planned.error:
        return "the load would fail"
    if planned.action == "nothing":
        return "already loaded: would be skipped"
    return "would be loaded" if planned.action == "load" else f"would replace {planned.rows_replaced:,} rows"


def drift(planned: ObjectPlan) -> Iterator[str]:
    """Describe the differences between an object's columns and the contract's, one a line, then the expected error."""
    for column in planned.columns:
        if column.state == "aliased":
            yield f"column {column.source} is delivered as {column.found}"
        elif column.state != "matched":
            yield f"column {column.source} is {column.state}"
    if planned.is_reordered:
        yield "the columns are in another order"
    for name in planned.unknown:
        yield f"column {name} is unknown"
    if planned.error:
        yield planned.error


def plan_text(plan: Plan) -> str:
    """The plan in Markdown."""
    parts = [f"# Plan of {plan.dataset}"]
    rows = [(x.source.uri, x.source.size_bytes, x.source.version, outcome(x)) for x in plan.objects]
    parts.append(markdown_table(["object", "bytes", "version", f"load into {plan.table}"], rows))
    if plan.created:
        parts.append(markdown_table(["tables that the load would create"], [(table,) for table in plan.created]))
    if plan.statements:
        parts += ["The DDL step would execute:", "```sql\n" + ";\n".join(plan.statements) + ";\n```"]
    if plan.drift:
        parts += ["The DDL step would refuse, and the run would fail:", "```\n" + "\n".join(plan.drift) + "\n```"]
    for planned in plan.objects:
        if planned.columns:
            parts.append(f"## Columns of {planned.source.uri}")
            columns: list[tuple[str, str, str]] = [
                (column.source, column.found or "", column.state) for column in planned.columns
            ]
            columns += [("", name, "unknown, not loaded") for name in planned.unknown]
            parts.append(markdown_table(["expected", "found", "match"], columns))
        parts += [f"- {line}" for line in drift(planned)]
    parts.append("This plan changed nothing.")
    return "\n\n".join(parts)


def ended_plan(plan: Plan) -> Ended[Plan]:
    """Describe the end of a plan's run."""
    found = Counter(outcome(planned) for planned in plan.objects)
    parts = [f"{counted(count, 'object')}: {what}" for what, count in found.items()]
    if plan.created:
        parts.append(f"{counted(len(plan.created), 'table')} would be created")
    if plan.statements:
        parts.append(f"{counted(len(plan.statements), 'statement')} would change tables")
    if plan.drift:
        parts.append("the DDL step would refuse to change the tables")
    return Ended(plan, "; ".join(parts) or "no object: nothing to plan", "Completed" if parts else "Skipped")
