"""A made-up dataset whose columns have most types: its contract, its SQL and deliveries of any size."""

import random
import uuid
from functools import lru_cache
from pathlib import Path

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.types import DATE, INET, TEXT, TIMESTAMPTZ, UUID
from tasks.contracts.words import WORDS


def domain_of(text: str | None) -> str:
    return (text or "")[:255].lower() or "unknown"


VISITS = Contract(
    dataset="visits",
    table="visits_staging.visits",
    description="One row per visit.",
    columns=(
        Column("id", UUID, "Identifier.", nullable=False),
        Column("visited_at", TIMESTAMPTZ, "Instant.", source="timestamp", nullable=False),
        Column("visit_date", DATE, "Date.", source="timestamp", first=10, nullable=False),
        Column("email", TEXT, "E-mail address."),
        Column("domain", TEXT, "Domain of the address.", source="email", after="@", derive=domain_of, nullable=False),
        Column("country", TEXT, "Country."),
        Column("ip", INET, "Address of the visitor."),
        Column("uri", TEXT, "Page."),
        Column("action", TEXT, "Action."),
        Column("tags", WORDS, "Tags."),
    ),
    prefix="",
    key="{year:04d}/{month:02d}/visits.csv",
    partition=Partition(column="month", unit="month"),
)
SQL = Path(__file__).parent / "visits_sql"
"""A tree like `sql/`, without the ledger: a mart, a report and a view."""

COLUMNS = ("id", "timestamp", "email", "country", "ip", "uri", "action", "tags")
HEADER = ",".join(COLUMNS).encode() + b"\n"


@lru_cache(maxsize=2)
def visit_records(count: int, *, seed: int = 1) -> bytes:
    """Return valid records of April 2021, about 140 bytes each, without a header."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    return "".join(_record(rng) for _ in range(count)).encode()


def _record(rng: random.Random) -> str:
    day, second = rng.randrange(1, 31), rng.randrange(60)
    person, site = rng.randrange(12_000), rng.randrange(3_000)
    country = rng.choice(('"Korea, Republic of"', "Côte d'Ivoire", "Palau", ""))
    address = rng.choice(("192.0.2.59", "2001:db8::1f", ""))
    tags = rng.choice((""" "['Mr', 'new']" """.strip(), "[]", "\"['it''s', 'a, b']\"", ""))
    return (
        f"{uuid.UUID(int=rng.getrandbits(128))},2021-04-{day:02d}T10:20:{second:02d}Z,"
        f"person.{person}@mail.site{site}.example.org,{country},{address},category/books/{site},visit,{tags}\n"
    )
