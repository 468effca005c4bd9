"""Flow `backfill`: brings the partitions of a range up to date, for any pipeline with partitions."""

from typing import Annotated

from pydantic import Field, JsonValue

import flows
from tasks.alerts import send_catch_up_alert
from tasks.backfill import emptied_meanwhile, ended_backfill, list_partitions, report_backfill
from tasks.engine.backfill.planner import BackfillPlan
from tasks.flow_runs import flow
from tasks.parameters import PartitionName, named_by_range
from tasks.partition_runs import load_partitions, pipeline_of
from tasks.pipeline_discovery import find_pipelines
from tasks.run_summary import Ended, with_summary

PIPELINES = find_pipelines(flows)
NAMES: list[JsonValue] = [pipeline.name for pipeline in PIPELINES]
PipelineName = Annotated[
    str,
    # An empty list of choices would be an invalid schema.
    Field(description="The pipeline to run", json_schema_extra={"enum": NAMES} if NAMES else None),
]
ForceAll = Annotated[
    bool,
    Field(
        description="Load and build every partition of the range that the lake holds, even a partition that is"
        " already up to date"
    ),
]


@flow(name="backfill", flow_run_name=named_by_range("backfill"))
@with_summary
def backfill(
    pipeline: PipelineName,
    start: PartitionName = None,
    end: PartitionName = None,
    dry_run: bool = False,
    force: ForceAll = False,
) -> Ended[BackfillPlan]:
    """Plan a range of partitions, then run the pipeline for each partition whose files, other inputs or SQL changed.

    The flow reads the remaining work from the lake and the ledger. After a crash, start the flow again. Without a range
    the flow processes all delivered partitions.

    Args:
        pipeline: Name of the pipeline to run: the name of its flow.
        start: First partition of the range: a month (2021-01) or a day (2021-01-31). Empty: the first one.
        end: Last partition of the range, included: 2021-01 to 2021-12 is a year. Empty: the last one.
        dry_run: Publish the plan and run nothing.
        force: Load and build every partition of the range that the lake holds, even one that is already up to date.
    """
    chosen = pipeline_of(PIPELINES, pipeline)
    plan = list_partitions(chosen, start, end)
    report_backfill(chosen, plan)
    if dry_run:
        return ended_backfill(plan, plan, None)
    if not (start or end):
        send_catch_up_alert(chosen.name, plan)
    outcomes = load_partitions(chosen, plan.delivered if force else plan.due, force=force)
    left = list_partitions(chosen, start, end)
    if emptied := emptied_meanwhile(left, outcomes):
        outcomes += load_partitions(chosen, emptied)
        left = list_partitions(chosen, start, end)
    report_backfill(chosen, plan, outcomes, left)
    if chosen.after and left.loaded and (start or end):
        chosen.after(*left.days)
    return ended_backfill(left, plan, outcomes)
