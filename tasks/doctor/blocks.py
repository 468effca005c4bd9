"""Checks of blocks: they exist, they can be read, and they name the same services as this environment."""

import os
from collections.abc import Iterable, Iterator

from prefect.client.schemas.objects import BlockDocument
from psycopg.conninfo import conninfo_to_dict

from tasks.connections import block_settings
from tasks.contracts.catalog import sources
from tasks.doctor.server import Server
from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, skipped, warning
from tasks.engine.errors import TallyError
from tasks.engine.lake.client import Lake
from tasks.engine.settings import LakeSettings, WarehouseSettings, read_lake, read_warehouse
from tasks.engine.warehouse.tables import connect

WAREHOUSE, LAKE = "warehouse", "lake"


def check_warehouse_block(server: Server) -> Iterator[Finding]:
    """Block `warehouse` names a database that answers, the same as WAREHOUSE_DSN. Containers have only the block."""
    try:
        found = read_warehouse({}, block_settings()[WAREHOUSE])
    except TallyError as error:
        yield _absent(server, WAREHOUSE, "WAREHOUSE_DSN", error)
        return
    if os.environ.get("WAREHOUSE_DSN") and (text := _other_warehouse(found)):
        yield warning(text, "the same database in both: containers use the block", server.deploy)
    try:
        with connect(found, "tally doctor", is_written=False):
            yield ok("block `warehouse` is valid, and its database answers")
    except TallyError as error:
        yield problem(
            f"block `warehouse`: {error}", "a database that answers", f"Correct WAREHOUSE_DSN, then: {server.deploy}"
        )


def _other_warehouse(block: WarehouseSettings) -> str:
    here, there = conninfo_to_dict(os.environ["WAREHOUSE_DSN"]), conninfo_to_dict(block.dsn.get_secret_value())
    keys = [
        key
        for key in ("host", "port", "dbname", "user", "password")
        if str(here.get(key) or "") != str(there.get(key) or "")
    ]
    return f"block `warehouse` and WAREHOUSE_DSN differ in {', '.join(keys)}" if keys else ""


def check_lake_block(server: Server) -> Iterator[Finding]:
    """Block `lake` names a bucket that answers, the same as LAKE_BUCKET. Containers have only the block."""
    try:
        found = read_lake({}, block_settings()[LAKE])
    except TallyError as error:
        yield _absent(server, LAKE, "LAKE_BUCKET", error)
        return
    if os.environ.get("LAKE_BUCKET") and (text := _other_lake(found)):
        yield warning(text, "the same bucket and key in both: containers use the block", server.deploy)
    try:
        with Lake(found) as lake:
            next(lake.list(""), None)
        yield ok("block `lake` is valid, and its bucket answers")
    except TallyError as error:
        step = f"Correct LAKE_BUCKET and the AWS variables, then: {server.deploy}"
        yield problem(f"block `lake`: {error}", "a bucket that answers", step)


def _other_lake(block: LakeSettings) -> str:
    here = read_lake(os.environ, dict)
    keys = [
        key
        for key in ("bucket", "endpoint_url", "access_key_id", "secret_access_key")
        if getattr(here, key) != getattr(block, key)
    ]
    return f"block `lake` and the variables differ in {', '.join(keys)}" if keys else ""


def _absent(server: Server, name: str, variable: str, error: TallyError) -> Finding:
    return problem(
        f"block `{name}` cannot be used: {error}",
        "a valid block: the containers of a pool know no other address",
        f"export {variable}=...\n{server.deploy}",
    )


def check_source_blocks(server: Server) -> Iterator[Finding]:
    """Each source has a block, or a variable in the environment of the runs."""
    if not sources():
        yield skipped("no pipeline copies a database")
        return
    names = {document.name for document in documents(server) if document.block_type_name == "AWS Secret"}
    for source in sources().values():
        if source.name in names:
            yield ok(f"block `{source.name}` exists")
        elif os.environ.get(source.dsn_variable) or os.environ.get(source.secret_variable):
            yield warning(
                f"block `{source.name}` does not exist; {source.dsn_variable} or {source.secret_variable} is set here",
                "the block, or the variable in the environment of the runs: containers lack this machine's variables",
                f"export {source.secret_variable}=<name of the secret>\n{server.deploy}",
            )
        else:
            yield skipped(f"source {source.name} is not in use: it has neither a block nor a variable")


def documents(server: Server) -> list[BlockDocument]:
    """All block documents of the server, with their secrets masked."""
    found: list[BlockDocument] = []
    while page := server.client.read_block_documents(offset=len(found), limit=100, include_secrets=False):
        found += page
    return found


REACH_CHECKS = (
    Check("block warehouse", check_warehouse_block),
    Check("block lake", check_lake_block),
)
"""The checks that also make sense in a container."""

WITH_BLOCKS = ("docker", "process")
"""Types of pools whose runs read addresses and secrets from blocks; other runs take secrets by reference."""


def _where_used(check: Check[Server]) -> Check[Server]:
    def run(server: Server) -> Iterable[Finding]:
        types = [server.pools[name].type for name in server.pool_names if name in server.pools]
        if types and not set(types).intersection(WITH_BLOCKS):
            return [skipped(f"runs of a {types[0]} pool take secrets by reference, and read no block")]
        return check.run(server)

    return Check(check.name, run)


BLOCK_CHECKS = (
    *map(_where_used, REACH_CHECKS),
    Check("blocks of the sources", check_source_blocks),
)
