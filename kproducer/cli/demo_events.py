"""Events of a small shop, made up but the same for each seed: users, their clicks and their orders.

An event's id and user stand at fixed places, so that the check finds them without a JSON parser.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

USERS = 20_000
_START_MS = 1_760_000_000_000
# Kind of event and how many of a hundred are of it.
_KINDS = {"click": 82, "order": 14, "user": 4}
_PAGES = (
    "/",
    "/search",
    "/cart",
    "/checkout",
    "/account",
    "/products/lamp",
    "/products/desk",
    "/products/chair",
)
_REFERRERS = ("direct", "search", "newsletter", "partner", "social")
_SKUS = tuple(f"SKU-{n:05d}" for n in range(500))
_NAMES = (
    "Ada Okafor",
    "Noor Haddad",
    "Jürgen Weiß",
    "Mei Tanaka",
    "Luis Ortega",
    "Zoë Dubois",
    "Ivan Petrov",
)
_CITIES = ("Lyon", "Osaka", "Kraków", "Lagos", "São Paulo", "Leipzig", "Toronto")
_PLANS = ("free", "plus", "family")

_HEAD = '{{"id":"{id:010d}","user":"{user}","ts":{ts},"type":"{kind}",'
_ID = slice(7, 17)
_USER = slice(27, 38)


@dataclass(slots=True)
class EventBlock:
    """Some events in the order of their ids."""

    keys: list[bytes]
    values: list[bytes]
    kinds: dict[str, int]
    size_bytes: int


def event_id(value: bytes) -> int:
    """The number which an event was given, counted from 0; ValueError if there is none."""
    return int(value[_ID])


def event_key(value: bytes) -> bytes:
    """The key that an event must have: its user."""
    return value[_USER]


def generate_events(records: int, block_size: int = 250_000, seed: int = 1) -> Iterator[EventBlock]:
    """Make `records` events in blocks; some users are much busier than others, as in life."""
    users = [f"user-{n:06d}" for n in range(USERS)]
    keys = [user.encode() for user in users]
    source = random.Random(seed)
    for first in range(0, records, block_size):
        size = min(block_size, records - first)
        chosen = [int(USERS * source.random() ** 3) for _ in range(size)]
        kinds = source.choices(list(_KINDS), list(_KINDS.values()), k=size)
        values = [
            _event(source, event, users[user], kind)
            for event, user, kind in zip(range(first, first + size), chosen, kinds, strict=True)
        ]
        yield EventBlock(
            keys=[keys[user] for user in chosen],
            values=values,
            kinds={kind: kinds.count(kind) for kind in _KINDS},
            size_bytes=sum(map(len, values)),
        )


def _event(source: random.Random, event: int, user: str, kind: str) -> bytes:
    head = _HEAD.format(id=event, user=user, ts=_START_MS + event, kind=kind)
    return (head + _BODIES[kind](source, event)).encode()


def _click(source: random.Random, _event: int) -> str:
    number = source.getrandbits(30)
    page, referrer = _PAGES[number & 7], _REFERRERS[(number >> 3) % len(_REFERRERS)]
    return f'"page":"{page}","referrer":"{referrer}","ms":{number >> 18}}}'


def _order(source: random.Random, event: int) -> str:
    number = source.getrandbits(40)
    sku, quantity, cents = _SKUS[number % len(_SKUS)], 1 + (number >> 10 & 3), 199 + (number >> 12) % 20_000
    return (
        f'"order":"o-{event:09d}","items":[{{"sku":"{sku}","quantity":{quantity},"cents":{cents}}}],'
        f'"total_cents":{quantity * cents},"currency":"EUR"}}'
    )


def _user(source: random.Random, _event: int) -> str:
    name, city, plan = source.choice(_NAMES), source.choice(_CITIES), source.choice(_PLANS)
    return f'"action":"profile","name":"{name}","city":"{city}","plan":"{plan}"}}'


_BODIES = {"click": _click, "order": _order, "user": _user}
