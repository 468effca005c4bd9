"""Give the roles of the `totesys` warehouse their rights: `python -m deployments.grants`.

`WAREHOUSE_DSN` is that of the role that owns the tables, which it makes where they are not there yet. That role, or an
administrator before it, creates the roles `totesys_loader` and `totesys_analyst`; logins are made members of them.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psycopg import sql

from tasks.contracts.totesys import TOTESYS
from tasks.engine.ddl import apply_ddl
from tasks.engine.errors import SettingsError, TallyError, errors_at
from tasks.engine.settings import read_warehouse
from tasks.engine.warehouse import Connection, connect

GRANTS = Path(__file__).with_name("grants.sql")
SCHEMAS = ("totesys_core", "totesys_warehouse")


def apply_grants(connection: Connection) -> None:
    """Bring the tables into being and apply `grants.sql`, all of it or nothing.

    Raises:
        WarehouseError: The connection's role does not own the tables, or may not create the roles.
    """
    apply_ddl(connection, TOTESYS, SCHEMAS)
    with errors_at("deployments/grants.sql"), connection.transaction():
        connection.execute(sql.SQL(GRANTS.read_text(encoding="utf-8")))


def _no_block() -> Mapping[str, Any]:
    raise SettingsError("WAREHOUSE_DSN is not set: set it to the DSN of the role that owns the tables")


def main() -> int:
    """Apply the grants to the warehouse of `WAREHOUSE_DSN`."""
    try:
        with connect(read_warehouse(os.environ, _no_block), "tally grants") as connection:
            apply_grants(connection)
    except TallyError as error:
        print(error, file=sys.stderr)
        return 1
    print("Granted: totesys_loader, totesys_analyst")
    return 0


if __name__ == "__main__":
    sys.exit(main())
