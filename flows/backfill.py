"""Flow `backfill`: brings every partition of a range up to date that is not, for any pipeline with partitions."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.events_monthly import events_monthly
from flows.orders_daily import orders_daily
from tasks.backfill import list_partitions, report_backfill
from tasks.contracts.events import EVENTS
from tasks.contracts.orders import ORDERS
from tasks.engine.backfill import BackfillPlan
from tasks.order_files import export_orders_range
from tasks.parameters import PartitionName, named_by_range
from tasks.partition_runs import Pipeline, load_partitions, pipeline_of

PIPELINES = (
    Pipeline(EVENTS, events_monthly, "month"),
    Pipeline(ORDERS, orders_daily, "day", after=export_orders_range),
)
PipelineName = Annotated[
    str,
    Field(description="Which pipeline", json_schema_extra={"enum": [pipeline.name for pipeline in PIPELINES]}),
]


@flow(name="backfill", flow_run_name=named_by_range("backfill"))
def backfill(
    pipeline: PipelineName = "orders-daily",
    start: PartitionName | None = None,
    end: PartitionName | None = None,
    dry_run: bool = False,
) -> BackfillPlan:
    """Plan a range of partitions, and run the pipeline for those that are new, changed or unfinished; no other is work.

    What is left to do is told by the lake and the ledger alone: after a crash, start it again.

    Args:
        pipeline: Which pipeline.
        start: The first month, YYYY-MM, or day, YYYY-MM-DD, as the pipeline's files are; by default the first there is.
        end: The last one, which is included: 2021-01 to 2021-12 is a year; by default the last there is.
        dry_run: Publish the plan, and stop there.
    """
    chosen = pipeline_of(PIPELINES, pipeline)
    plan = list_partitions(chosen.contract, start, end)
    report_backfill(chosen, plan)
    if dry_run:
        return plan
    outcomes = load_partitions(chosen, plan.due)
    left = list_partitions(chosen.contract, start, end)
    report_backfill(chosen, plan, outcomes, left)
    if chosen.after and left.partitions:
        chosen.after(*left.days)
    return left
