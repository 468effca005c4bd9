"""Report what a load would do, without loading."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from prefect.logging import get_run_logger

from tasks.connections import bucket_of, open_lake, open_warehouse, run_settings
from tasks.contracts import Contract
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.load.delivery import removed_loads
from tasks.engine.load.plan import plan_loads
from tasks.engine.load.plan_text import budget_line, checked_rows, drift, outcome, problem_lines, removal_lines
from tasks.engine.load.planned import ObjectPlan, Plan
from tasks.engine.receipts import ObjectRef
from tasks.extract import delivery_of
from tasks.policy import step
from tasks.prefect_texts import publish_markdown
from tasks.run_summary import Ended, counted


@step(task_run_name="Plan the load of {contract.dataset}")
def report_plan(contract: Contract, sources: Sequence[ObjectRef]) -> Plan:
    """Plan the load of some objects and publish the plan; write nothing else."""
    plan = planned_loads(contract, sources)
    logger = get_run_logger()
    for table in plan.created:
        logger.info("%s would be created", table)
    for statement in plan.statements:
        logger.info("The DDL step would execute: %s", statement)
    for line in plan.drift:
        logger.warning("The DDL step would refuse: %s", line.strip())
    for planned in plan.objects:
        logger.info("%s, %s bytes: %s", planned.source.uri, f"{planned.source.size_bytes:,}", outcome(planned))
        for line in (*drift(planned), *problem_lines(planned)):
            logger.warning("%s: %s", planned.source.uri, line)
        if planned.check:
            logger.info("%s: %s", planned.source.uri, checked_rows(planned.check))
    for line in removal_lines(plan):
        logger.warning(line)
    publish_markdown(
        plan_text(plan), key=f"plan-{plan.dataset}".replace("_", "-"), description=f"Plan of {plan.dataset}"
    )
    return plan


def planned_loads(contract: Contract, sources: Sequence[ObjectRef]) -> Plan:
    """Plan the load of some objects; write nothing.

    Raises:
        TallyError: The lake or the warehouse does not answer.
    """
    with open_warehouse() as connection, open_lake(bucket_of(contract)) as lake:
        plan = plan_loads(connection, lake, contract, sources, run_settings())
        if contract.partition is None or not sources or "ledger.loads" in plan.created:
            return plan
        partition = sources[0].partition
        removed = removed_loads(connection, contract, partition, delivery_of(lake, contract, partition))
        return replace(plan, removed=tuple((entry.source_uri, entry.rows_loaded) for entry in removed))


def plan_text(plan: Plan) -> str:
    """The plan in Markdown."""
    parts = [f"# Plan of {plan.dataset}"]
    rows = [(x.source.uri, x.source.size_bytes, x.source.version, outcome(x)) for x in plan.objects]
    parts.append(markdown_table(["object", "bytes", "version", f"load into {plan.table}"], rows))
    if plan.removed:
        header = ["object that the supplier removed", "rows that the load would delete"]
        parts.append(markdown_table(header, plan.removed))
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
        parts += _sample_parts(planned)
    parts.append("This plan changed nothing.")
    return "\n\n".join(parts)


def _sample_parts(planned: ObjectPlan) -> Iterator[str]:
    if planned.check is None:
        return
    yield f"## Rows of {planned.source.uri}"
    yield f"{checked_rows(planned.check)}. {budget_line(planned.check)}"
    rows = [
        (each.column or "the record", each.row_count, each.expected, "; ".join(each.examples), each.suggestion)
        for each in planned.check.problems
    ]
    if rows:
        yield markdown_table(["column", "rejected rows", "expected", "found, for example", "suggestion"], rows)


def ended_plan(plan: Plan) -> Ended[Plan]:
    """Describe the end of a plan's run."""
    found = Counter(outcome(planned) for planned in plan.objects)
    parts = [f"{counted(count, 'object')}: {what}" for what, count in found.items()]
    if plan.removed:
        parts.append(f"rows of {counted(len(plan.removed), 'removed object')} would be deleted")
    if plan.created:
        parts.append(f"{counted(len(plan.created), 'table')} would be created")
    if plan.statements:
        parts.append(f"{counted(len(plan.statements), 'statement')} would change tables")
    if plan.drift:
        parts.append("the DDL step would refuse to change the tables")
    return Ended(plan, "; ".join(parts) or "no object: nothing to plan", "Completed" if parts else "Skipped")
