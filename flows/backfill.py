"""Flow `backfill`: brings every partition of a range up to date that is not, for any pipeline with partitions."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows import events_monthly, orders_daily
from tasks.backfill import list_partitions, report_backfill
from tasks.engine.backfill.planner import BackfillPlan
from tasks.orders.order_files import export_orders_range
from tasks.parameters import PartitionName, named_by_range
from tasks.partition_runs import Pipeline, load_partitions, pipeline_of

PIPELINES = (
    Pipeline(events_monthly.INPUTS, events_monthly.events_monthly, "month"),
    Pipeline(orders_daily.INPUTS, orders_daily.orders_daily, "day", after=export_orders_range),
)
PipelineName = Annotated[
    str,
    Field(description="Which pipeline", json_schema_extra={"enum": [pipeline.name for pipeline in PIPELINES]}),
]
ForceAll = Annotated[
    bool,
    Field(
        description="Run every partition of the range that the lake holds, whatever its state, and load and build each"
        " of them again"
    ),
]


@flow(name="backfill", flow_run_name=named_by_range("backfill"))
def backfill(
    pipeline: PipelineName = "orders-daily",
    start: PartitionName | None = None,
    end: PartitionName | None = None,
    dry_run: bool = False,
    force: ForceAll = False,
) -> BackfillPlan:
    """Plan a range of partitions, and run the pipeline for those whose files, other inputs or SQL changed since.

    The lake and the ledger alone say what is left to do: after a crash, start it again. Without a range it catches up
    with everything that was delivered.

    Args:
        pipeline: Which pipeline.
        start: The first month, YYYY-MM, or day, YYYY-MM-DD, as the pipeline's files are; by default the first there is.
        end: The last one, which is included: 2021-01 to 2021-12 is a year; by default the last there is.
        dry_run: Publish the plan, and stop there.
        force: Run every partition of the range that the lake holds, whatever its state; load and build each again.
    """
    chosen = pipeline_of(PIPELINES, pipeline)
    plan = list_partitions(chosen, start, end)
    report_backfill(chosen, plan)
    if dry_run:
        return plan
    outcomes = load_partitions(chosen, plan.delivered if force else plan.due, force=force)
    left = list_partitions(chosen, start, end)
    report_backfill(chosen, plan, outcomes, left)
    if chosen.after and left.partitions and (start or end):
        chosen.after(*left.days)
    return left
