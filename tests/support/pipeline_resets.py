"""The reset of the datasets of one pipeline, with the tables of all pipelines in the warehouse."""

from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.engine.build import sql_files
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.schema.reset import ResetPlan, reset_dataset
from tasks.engine.warehouse.tables import Connection


def reset(postgres: Connection, contract: Contract) -> ResetPlan:
    """Create every table, reset a dataset, and check that the next run creates its tables again."""
    known = list(contracts().values())
    schemas = sorted({path.parent.parent.name for path in sql_files.ROOT.glob("*/*/table.sql")})
    apply_ddl(postgres, known, schemas)
    plan = reset_dataset(postgres, contract, known)
    assert {name for name, _ in plan.tables} <= set(apply_ddl(postgres, known, schemas))
    return plan
