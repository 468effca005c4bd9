"""Contract of `events`: one row per user event, as the monthly files deliver them (specs: pipeline `events`)."""

import ipaddress
from functools import lru_cache

import polars as pl
from publicsuffixlist import PublicSuffixList

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.types import DATE, TEXT, TIMESTAMPTZ, by_distinct, parse_date_of_timestamp
from tasks.contracts.wire_types import INET, UUID
from tasks.contracts.words import WORDS

UNKNOWN = "unknown"


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


@lru_cache(maxsize=200_000)
def company_of_domain(domain: str) -> str:
    """The label left of the public suffix of a lower-case domain: `mail.acme.co.uk` -> `acme`.

    By the bundled Public Suffix List, its ICANN section: the private section names hosting providers, whose customers'
    sites it keeps apart, while mail at such a domain is the provider's. A domain that is itself a suffix, an address
    literal or an empty domain is `unknown`.
    """
    try:
        ipaddress.ip_address(domain.strip("[]"))
    except ValueError:
        private = _suffixes().privatesuffix(domain)
        return private.split(".")[0] if private else UNKNOWN
    return UNKNOWN


def _company_batch(emails: pl.Series) -> pl.Series:
    domains = emails.str.splitn("@", 2).struct.field("field_1")
    if domains.str.contains("@", literal=True).any():  # it is the last one that counts
        domains = emails.str.extract(r"(?s)@([^@]*)$")
    domains = domains.str.strip_chars().str.to_lowercase()
    return by_distinct(domains, company_of_domain, pl.String).fill_null(UNKNOWN)


def parse_company(expr: pl.Expr) -> pl.Expr:
    """The company behind an e-mail address; `unknown` without an `@` or without an address."""
    return expr.map_batches(_company_batch, return_dtype=pl.String, is_elementwise=True)


EVENTS = Contract(
    dataset="events",
    table="events_staging.events",
    description="One row per event as delivered; ids may repeat, repeats are data.",
    columns=(
        Column("id", UUID, "Identifier of the event as delivered; may repeat within and across files.", nullable=False),
        Column(
            "occurred_at",
            TIMESTAMPTZ,
            "Instant of the event; UTC where the source names no zone, midnight where it is a date.",
            source="timestamp",
            nullable=False,
        ),
        Column(
            "event_date",
            DATE,
            "The event's own date, as written in the source.",
            source="timestamp",
            nullable=False,
            parse=parse_date_of_timestamp,
        ),
        Column("email", TEXT, "E-mail address of the user as delivered."),
        Column(
            "company",
            TEXT,
            "Label left of the public suffix of the e-mail's domain, lower case; unknown where there is none.",
            source="email",
            nullable=False,
            parse=parse_company,
        ),
        Column("country", TEXT, "Country of the user as delivered."),
        Column("ip", INET, "Address that the event came from, IPv4 or IPv6."),
        Column("uri", TEXT, "What was acted upon."),
        Column("action", TEXT, "What was done."),
        Column("tags", WORDS, "Words that the event was tagged with."),
    ),
    prefix_setting="events_prefix",
    key_setting="events_key",
    partition=Partition(column="month", unit="month"),
)

QUESTIONS = {
    "countries": pl.col("country").replace("", None).fill_null(UNKNOWN),
    "users": pl.col("email").str.strip_chars().str.to_lowercase().replace("", None).fill_null(UNKNOWN),
    "companies": pl.col("company"),
    "dates": pl.col("event_date").dt.to_string("%Y-%m-%d"),
}
"""The four questions, over staged rows: what `sql/events_insights` asks of the marts."""
