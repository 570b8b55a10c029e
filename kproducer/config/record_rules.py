"""What a bundle asks of every record: its topic and its headers. Any thread."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from kproducer.errors import BundleViolationError


@dataclass(frozen=True, slots=True)
class RecordRules:
    """The rules of a bundle for records; checked by `send()` on its thread, before anything is done.

    bundle: how messages call it.
    required_headers: names that the headers of each record must hold.
    allowed_topics: globs (`*`, `?`, `[a-z]`), one of which the topic must match; empty for every topic.
    """

    bundle: str
    required_headers: tuple[str, ...] = ()
    allowed_topics: tuple[str, ...] = ()
    _topics: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        either = "|".join(map(fnmatch.translate, self.allowed_topics))
        object.__setattr__(self, "_topics", re.compile(either) if either else None)

    def check(self, topic: str, headers: object) -> None:
        """Raise BundleViolationError unless a record may be sent to this topic with these headers."""
        self.check_topic(topic)
        if self.required_headers:
            self._check_headers(topic, headers)

    def check_topic(self, topic: str) -> None:
        """Raise BundleViolationError unless records may be sent to this topic."""
        if self._topics is not None and self._topics.match(topic) is None:
            raise BundleViolationError(
                f"{self.bundle} does not allow this topic; allowed is {', '.join(self.allowed_topics)}",
                bundle=self.bundle, rule="allowed.topics", topic=topic,
            )  # fmt: skip

    def _check_headers(self, topic: str, headers: object) -> None:
        names = set(_header_names(headers))
        missing = [name for name in self.required_headers if name not in names]
        if missing:
            raise BundleViolationError(
                f"{self.bundle} requires headers that the record does not have: {', '.join(missing)}",
                bundle=self.bundle, rule="required.headers", topic=topic,
            )  # fmt: skip


def _header_names(headers: object) -> Iterable[object]:
    """Return the names; what is no pair is left for the append, which tells what is wrong with it."""
    if not headers:
        return ()
    if isinstance(headers, dict):
        return headers.keys()
    if not isinstance(headers, Iterable) or iter(headers) is headers:
        raise TypeError(
            f"headers must be a dict or a list of pairs, not {type(headers).__name__}: they are read twice"
        )
    return [
        pair[0] for pair in headers if isinstance(pair, tuple | list) and pair and isinstance(pair[0], str)
    ]
