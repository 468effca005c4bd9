"""Contract of `events`: one row per user event, as the monthly files deliver them (specs: pipeline `events`)."""

import ipaddress
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.expectations import Expected
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

    The suffixes come from the ICANN section of the bundled Public Suffix List. The private section is not used. It
    lists domains of hosting providers as suffixes, but mail at such a domain belongs to the provider. A domain that is
    itself a suffix, an address literal, an empty domain and None give `unknown`.
    """
    name = (domain or "").strip()
    name = name.lower() if len(name) <= LONGEST_DOMAIN else ""
    private = None if _is_address(name.strip("[]")) else _suffixes().privatesuffix(name)
    return private.split(".")[0] if private else UNKNOWN


def _is_address(name: str) -> bool:
    if not (":" in name or name[-1:].isdigit()):
        return False  # decides most domains in a tenth of the time
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


EVENTS = Contract(
    dataset="events",
    table="events_staging.events",
    description="One row per event as delivered; ids may repeat.",
    is_read=True,
    columns=(
        Column(
            "id",
            UUID,
            "Identifier of the event as delivered; it may repeat within a file and across files.",
            nullable=False,
        ),
        Column(
            "occurred_at",
            TIMESTAMPTZ,
            "Instant of the event; UTC if the source names no zone, midnight if the source has a date only.",
            source="timestamp",
            nullable=False,
        ),
        Column(
            "event_date",
            DATE,
            "Date of the event as the source states it.",
            source="timestamp",
            first=10,
            nullable=False,
        ),
        Column("email", TEXT, "E-mail address of the user as delivered.", sensitive=True),
        Column(
            "company",
            TEXT,
            "Label left of the public suffix of the e-mail's domain, in lower case; unknown if there is none.",
            source="email",
            after="@",
            derive=company_of_domain,
            nullable=False,
        ),
        Column("country", TEXT, "Country of the user as delivered."),
        Column("ip", INET, "Address that the event came from, IPv4 or IPv6.", sensitive=True),
        Column("uri", TEXT, "Page or resource of the event."),
        Column("action", TEXT, "Action of the user."),
        Column("tags", WORDS, "Tags of the event."),
    ),
    prefix="",
    key="{year:04d}/{month:02d}/events.csv",
    partition=Partition(column="month", unit="month"),
    expected=Expected(days=2),  # by the 2nd of the following month at 10:00 UTC
)
