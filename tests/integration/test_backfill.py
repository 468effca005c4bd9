"""The pipelines that `backfill` finds, and its form."""

import json
import subprocess
import sys

import pytest
from prefect.utilities.callables import parameter_schema

from flows.backfill import NAMES, PIPELINES, backfill
from tasks.engine.errors import BackfillError
from tasks.partition_runs import pipeline_of

WITHOUT_PIPELINES = """
import json
import tasks.pipeline_discovery
tasks.pipeline_discovery.find_pipelines = lambda package: ()
from flows.backfill import backfill
print(json.dumps(backfill.parameters.properties["pipeline"]))
"""


def test_every_pipeline_with_partitions_can_be_backfilled() -> None:
    for pipeline in PIPELINES:
        assert pipeline.contract.partition
        assert {pipeline.parameter, "force"} <= pipeline.flow.parameters.properties.keys()
        assert pipeline.inputs.builds
    assert [pipeline.name for pipeline in PIPELINES] == NAMES


def test_form_requires_one_of_the_pipelines() -> None:
    schema = parameter_schema(backfill).model_dump_for_openapi()
    assert schema["required"] == ["pipeline"]
    assert schema["properties"]["pipeline"].get("enum", []) == NAMES
    assert "default" not in schema["properties"]["pipeline"]


def test_form_without_any_pipeline_has_no_empty_list_of_choices() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PIPELINES], capture_output=True, text=True, check=True)
    assert "enum" not in json.loads(done.stdout)


def test_unknown_pipeline_is_refused_where_there_is_none() -> None:
    with pytest.raises(BackfillError, match="unknown pipeline 'visits': no flow declares a PIPELINE"):
        pipeline_of([], "visits")
