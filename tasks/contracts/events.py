"""Contract of `events`: one row per user event, as the monthly files deliver them (specs: pipeline `events`)."""

import ipaddress
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.types import DATE, INET, TEXT, TIMESTAMPTZ, UUID
from tasks.contracts.words import WORDS

UNKNOWN = "unknown"
LONGEST_DOMAIN = 255
"""Bytes that a name may have in DNS (RFC 1035); a longer text is no domain."""


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


def company_of_domain(domain: str | None) -> str:
    """The label left of the public suffix of a domain, lower case: `Mail.Acme.co.uk` -> `acme`.

    By the bundled Public Suffix List, its ICANN section: the private section names hosting providers, whose customers'
    sites it keeps apart, while mail at such a domain is the provider's. A domain that is itself a suffix, an address
    literal, an empty domain or none at all is `unknown`.
    """
    name = (domain or "").strip()
    name = name.lower() if len(name) <= LONGEST_DOMAIN else ""
    private = None if _is_address(name.strip("[]")) else _suffixes().privatesuffix(name)
    return private.split(".")[0] if private else UNKNOWN


def _is_address(name: str) -> bool:
    if not (":" in name or name[-1:].isdigit()):
        return False  # as most are told, in a tenth of the time
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


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
            first=10,
            nullable=False,
        ),
        Column("email", TEXT, "E-mail address of the user as delivered."),
        Column(
            "company",
            TEXT,
            "Label left of the public suffix of the e-mail's domain, lower case; unknown where there is none.",
            source="email",
            after="@",
            derive=company_of_domain,
            nullable=False,
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
