"""The rows of sample event files as CSV text: pools of values for ordinary rows, and the special rows."""

import functools
import random
import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TypeVar

_POOL_SIZE = 1 << 15
POOL_MASK = _POOL_SIZE - 1
_PEOPLE = 12_000


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST_NAMES = _words(
    "ada alan amara anders beatriz carlos chloe dmitri elena fatima felix grace hana hugo irene ivan jamal jun kofi "
    "leila liam lucia mei milan nadia noor olga omar paula priya quinn rosa samir sofia tomas uma viktor wen yara zoe"
)
_LAST_NAMES = _words(
    "abbott adeyemi ahmed almeida becker brown castillo chen cohen costa dubois eriksen fischer garcia haddad hansen "
    "hoffmann ito ivanova jensen johnson kaplan khan kim kowalski kumar larsen lee lopez martin meyer miller moreau "
    "murphy nakamura nguyen novak okafor oliveira olsen park patel peters popescu rahman rossi santos sato schmidt "
    "silva singh smith sousa suzuki tanaka torres walker weber williams yilmaz zhang"
)
_SUFFIXES = _words("com com com net org info biz de fr co.uk com.au co.jp com.br")
_SUBDOMAINS = ("", "", "", "", "mail.", "eu.mail.")
_COUNTRIES = (
    "Palau", "Brazil", "Korea, Republic of", "Côte d'Ivoire", "India", "Germany", "Réunion", "Kenya", "Åland Islands",
    "United Kingdom", "Bonaire, Sint Eustatius and Saba", "Türkiye", "Canada", "Lao People's Democratic Republic",
    "Curaçao", "Japan", "Mexico", "São Tomé and Príncipe", "France", "Nigeria", "Poland",
    "Tanzania, United Republic of", "Vietnam", "Australia", "Chile", "Egypt", "Fiji", "Greece", "Iceland", "Jordan",
    "Kiribati", "Latvia", "Malta", "Nepal", "Oman", "Peru", "Qatar", "Rwanda", "Samoa", "Tonga", "Uruguay", "Vanuatu",
    "Yemen", "Zambia", "Italy", "Spain", "Norway", "Morocco", "Ghana", "Cuba",
)  # fmt: skip
_URIS = _words("index home faq about login search privacy terms category/books category/tools app/main posts?page=2")
_ACTIONS = _words("visit visit visit click click search login logout purchase")
_WORDS = _words(
    "Mr eat PM above board cause civil decade early every face final garden growth half heart idea join key large "
    "light major many night nearly offer option peace people quite radio reach safe season table trade under until "
    "value voice water white wonder year young"
)

_Item = TypeVar("_Item")


def first_day(month: str) -> date:
    """Return the first day of a month, `YYYY-MM` from 1900 to 2099.

    Raises:
        ValueError: The text is not such a month.
    """
    if not re.fullmatch(r"(19|20)[0-9]{2}-(0[1-9]|1[0-2])", month):
        raise ValueError(f"expected a month YYYY-MM from 1900-01 to 2099-12, found {month!r}")
    return date.fromisoformat(f"{month}-01")


def next_month(month: str) -> date:
    """Return the first day of the month after this one."""
    return (first_day(month) + timedelta(days=31)).replace(day=1)


def generator(*parts: object) -> random.Random:
    """Return a random generator seeded by these parts. It gives the same values on every machine and Python version."""
    return random.Random(":".join(map(str, parts)))  # noqa: S311 - sample data, no secrets


def stamps(month: str, seed: int) -> list[str]:
    """Return a pool of timestamps. Nine in ten are dates, the others date-times. Weekdays are more frequent."""
    rng = generator(seed, month, "stamps")
    first, following = first_day(month), next_month(month)
    days = [first + timedelta(days=number) for number in range((following - first).days)]
    busy = [day for day in days for _ in range(3 if day.weekday() < 5 else 2)]
    pool = []
    for _ in range(_POOL_SIZE):
        chance = rng.random()
        # One row in a hundred has the date of the day before the month.
        day = first - timedelta(days=1) if chance < 0.01 else _pick(rng, busy)
        pool.append(f"{day}{_time(rng)}" if chance > 0.9 else day.isoformat())
    return pool


@functools.lru_cache(maxsize=2)
def people(seed: int) -> list[str]:
    """Return a pool of `email,country,ip`. Some people are much more frequent than others."""
    rng = generator(seed, "people")
    persons = [(_email(rng), _pick(rng, _COUNTRIES, skew=2)) for _ in range(_PEOPLE)]
    pool = []
    for _ in range(_POOL_SIZE):
        email, country = _pick(rng, persons, skew=2)
        chance = rng.random()
        if chance < 0.03:
            email = f" {email.title()} "
        elif chance < 0.05:
            email = ""
        elif chance < 0.06:
            email = email.replace("@", ".at.")
        pool.append(f"{email},{_field(country if rng.random() > 0.01 else None)},{_ip(rng)}")
    return pool


@functools.lru_cache(maxsize=2)
def activities(seed: int) -> list[str]:
    """Return a pool of `uri,action,tags`."""
    rng = generator(seed, "activities")
    pool = []
    for _ in range(_POOL_SIZE):
        tags = repr([_pick(rng, _WORDS, skew=2) for _ in range(int(rng.random() * 6))])
        pool.append(f"{_pick(rng, _URIS)},{_pick(rng, _ACTIONS)},{_field(tags if rng.random() > 0.02 else None)}")
    return pool


def boundary_records(first: date, seed: int) -> list[str]:
    """Return rows that the files of two consecutive months share, dated the day before `first`."""
    rng = generator(seed, first.isoformat(), "boundary")
    day = (first - timedelta(days=1)).isoformat()
    persons, acts = people(seed), activities(seed)
    return [f"{_uuid(rng)},{day},{_pick(rng, persons)},{_pick(rng, acts)}" for _ in range(3)]


def showcase(month: str, seed: int) -> list[str]:
    """Return one row for each unusual but valid value in the specification of the events file."""
    rng = generator(seed, month, "showcase")
    first, following = first_day(month), next_month(month)
    last = following - timedelta(days=1)
    repeated = _uuid(rng)

    def row(**changed: str | None) -> str:
        usual: dict[str, str | None] = {
            "id": _uuid(rng),
            "timestamp": f"{month}-15",
            "email": "ann.lee@mail.acme.co.uk",
            "country": "Palau",
            "ip": "192.0.2.59",
            "uri": "index",
            "action": "visit",
            "tags": "['Mr', 'eat', 'PM']",
        }
        return ",".join(_field(value) for value in (usual | changed).values())

    return [
        # The month differs from the file's month, by its date or after conversion to UTC.
        row(timestamp=(first - timedelta(days=1)).isoformat()),
        row(timestamp=following.isoformat()),
        row(timestamp=f"{first}T00:30:00+02:00"),
        row(timestamp=f"{last}T23:30:00-05:00"),
        *(
            row(timestamp=stamp)
            for stamp in (
                f"{first}T00:00:00",
                f"{last} 23:59:59.999999",
                f"{month}-10T12:34:56.5Z",
                f"{month}-10 12:34:56.123+05:30",
            )
        ),
        *[row(id=repeated)] * 2,
        row(id=repeated, action="click", country="Côte d'Ivoire"),
        row(id=_uuid(rng).upper()),
        *(
            row(email=email)
            for email in (
                None,
                "",
                "   ",
                "no-at-sign.example.info",
                " Ann.Lee@Mail.ACME.co.uk ",
                "zoë.ÅKERBLOM@Bücher.de",
                "j@a.b.c.globex.com.au",
                "x@co.uk",
                "x@localhost",
                "x@company.internal",
                "x@[192.0.2.1]",
                "x@192.0.2.1",
                "x@alice.github.io",
                "x@www.ck",
                "x@initech.ck",
                '"a@b"@hooli.com',
            )
        ),
        *(row(country=country) for country in (None, "", "Korea, Republic of", "Türkiye", "中国", "日本 🗾")),
        *(row(ip=ip) for ip in (None, "2001:db8::1", "2001:DB8:0:0:0:0:0:A", "::1", "::ffff:192.0.2.1", "0.0.0.0")),  # noqa: S104 - data
        *(row(uri=uri) for uri in (None, "", "search?q=a,b", 'say "hi"', "line one\nline two", "one\r\ntwo", "'")),
        *(row(action=action) for action in (None, "", "click\n\nagain")),
        *(
            row(tags=tags)
            for tags in (
                None,
                "[]",
                "[ ]",
                "['one']",
                "['twice', 'twice']",
                "[\"double\", 'single']",
                '["it\'s", \'say "hi"\']',
                r"['it\'s', 'back\\slash', 'tab\tline\n', '\x41\u00e9']",
                "['a, b', 'c,d', '[e]']",
                "['été', '日本']",
                "['one',\n 'two']",
                "['']",
                "['a','b']",
            )
        ),
        ",".join(
            f'"{value}"' for value in (_uuid(rng), first, "q@acme.com.au", "Fiji", "10.0.0.1", "faq", "visit", "[]")
        ),
    ]


def bad_records(month: str, seed: int, count: int) -> Iterator[tuple[str, str, str]]:
    """Yield rows that must be rejected, as text, invalid column and reason. The kinds of errors alternate."""
    rng = generator(seed, month, "bad")
    persons, acts = people(seed), activities(seed)
    kinds = [
        ("id", "not-a-uuid", "not a UUID"),
        ("timestamp", f"{month[:4]}-02-30", "a day that does not exist"),
        ("ip", "999.0.2.1", "an IPv4 part above 255"),
        ("id", "", "missing"),
        ("timestamp", "31/03/2021", "a date that is not ISO 8601"),
        ("ip", "2001:db8::zz", "an IPv6 part that is not hexadecimal"),
        ("tags", "['cut', 'off", "a list without a closing bracket"),
        ("id", "d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5g", "a UUID with a character that is not hexadecimal"),
        ("timestamp", "", "missing"),
        ("ip", "192.0.2", "an IPv4 address with three parts"),
        ("timestamp", f"{month}-10T25:00:00", "an hour above 23"),
        ("tags", "eat, PM", "not a list"),
    ]
    for index in range(count):
        column, value, reason = kinds[index % len(kinds)]
        if column == "ip":
            tail = f"late.{index}@acme.com,Palau,{value},{_pick(rng, acts)}"
        elif column == "tags":
            tail = f"{_pick(rng, persons)},index,visit,{_field(value)}"
        else:
            tail = f"{_pick(rng, persons)},{_pick(rng, acts)}"
        identity = value if column == "id" else _uuid(rng)
        stamp = value if column == "timestamp" else f"{month}-{1 + index % 28:02d}"
        yield f"{identity},{stamp},{tail}", column, reason


def _pick(rng: random.Random, items: Sequence[_Item], skew: int = 1) -> _Item:
    """Pick an item. A greater skew makes the first items more likely.

    `random.choice` is not used, because its results may change between Python versions.
    """
    return items[int(rng.random() ** skew * len(items))]


def _uuid(rng: random.Random) -> str:
    digits = rng.randbytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _email(rng: random.Random) -> str:
    company, suffix = _pick(rng, _LAST_NAMES, skew=2), _pick(rng, _SUFFIXES)
    return f"{_pick(rng, _FIRST_NAMES)}.{_pick(rng, _LAST_NAMES)}@{_pick(rng, _SUBDOMAINS)}{company}.{suffix}"


def _ip(rng: random.Random) -> str:
    """Return an address from the ranges for documentation and private use, or sometimes an empty text."""
    chance, number = rng.random(), rng.getrandbits(24)
    if chance < 0.03:
        return ""
    if chance < 0.15:
        return f"2001:db8::{number >> 16:x}:{number & 0xFFFF:x}"
    return f"10.{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


def _time(rng: random.Random) -> str:
    second = int(rng.random() * 86_400)
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return _pick(rng, "T ") + clock + _pick(rng, ("", ".25", ".123456")) + _pick(rng, ("", "Z", "+02:00", "-05:30"))


def _field(value: str | None) -> str:
    """Format a CSV field: a missing value is empty, an empty text is quoted."""
    if value is None:
        return ""
    if not value or any(character in value for character in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value
