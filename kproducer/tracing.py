"""W3C trace context in record headers: `traceparent` and `tracestate`, read, written, and added by an interceptor.

Needs no tracing library; one that has a current span is asked through a callable. Any thread.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from kproducer import Header, Headers, Interceptor, ProducerRecord
from kproducer.headers import has_header, last_header, with_header, without_header

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
SAMPLED: Final = 1

_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
_TRACEPARENT: Final = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<span_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)
_TRACESTATE: Final = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The place of a record in a trace, as https://www.w3.org/TR/trace-context writes it.

    Args:
        trace_id: 32 lower-case hexadecimal digits, not all zero.
        span_id: 16 of them: the span that is the parent of whatever the consumer does.
        flags: 0 to 255; bit 0 says that the trace is sampled (default 1).
        tracestate: the vendors' own list, as ASCII text (default empty).

    Raises:
        ValueError: one of them is not of this form.
    """

    trace_id: str
    span_id: str
    flags: int = SAMPLED
    tracestate: str = ""

    def __post_init__(self) -> None:
        if _TRACE_ID.fullmatch(self.trace_id) is None:
            raise ValueError(f"trace_id={self.trace_id!r}: must be 32 hexadecimal digits, not all zero")
        if _SPAN_ID.fullmatch(self.span_id) is None:
            raise ValueError(f"span_id={self.span_id!r}: must be 16 hexadecimal digits, not all zero")
        if not 0 <= self.flags <= 0xFF:
            raise ValueError(f"flags={self.flags}: must be from 0 to 255")
        if _TRACESTATE.fullmatch(self.tracestate) is None:
            raise ValueError("tracestate: must be printable ASCII")

    @classmethod
    def begin(cls, *, is_sampled: bool = True) -> Self:
        """Return the context of a new trace, with random ids."""
        return cls(secrets.token_hex(16), secrets.token_hex(8), SAMPLED if is_sampled else 0)

    @classmethod
    def parse(cls, traceparent: str, tracestate: str = "") -> Self | None:
        """Return what a pair of headers says, or None if `traceparent` is not valid: then neither counts.

        A `tracestate` that is not valid is left out. Versions to come are read as far as they are like 00.
        """
        found = _TRACEPARENT.fullmatch(traceparent)
        if found is None or (found["version"] == "00" and found["rest"]):
            return None
        state = tracestate if _TRACESTATE.fullmatch(tracestate) else ""
        try:
            return cls(found["trace_id"], found["span_id"], int(found["flags"], 16), state)
        except ValueError:  # an id of zeros
            return None

    def child(self) -> Self:
        """Return the context of a new span of the same trace, with a random id."""
        return type(self)(self.trace_id, secrets.token_hex(8), self.flags, self.tracestate)

    @property
    def is_sampled(self) -> bool:
        """Whether the caller may have recorded the trace."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """The value of the header `traceparent`, in version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def inject(headers: Headers | None, context: TraceContext) -> tuple[Header, ...]:
    """Return headers with this trace context in the place of another.

    Args:
        headers: of a record; None for none.
        context: where the record belongs.
    """
    found = with_header(without_header(headers, TRACESTATE), TRACEPARENT, context.traceparent.encode())
    return with_header(found, TRACESTATE, context.tracestate.encode()) if context.tracestate else found


def extract(headers: Headers | None) -> TraceContext | None:
    """Return the trace context of a record's headers, or None if they have none that is valid."""
    traceparent = last_header(headers, TRACEPARENT)
    if traceparent is None:
        return None
    # Several headers of this name are one list; a vendor's part may stand in each (W3C, section 3.3.1.1).
    states = [value for name, value in headers or () if name == TRACESTATE and value]
    return TraceContext.parse(_text(traceparent), ",".join(map(_text, states)))


class TraceContextInterceptor(Interceptor):
    """Adds the trace context that is current when a record is sent, unless the record has one.

    Args:
        current: returns it, or None for no trace; called for each record on the thread that sends.
    """

    def __init__(self, current: Callable[[], TraceContext | None]) -> None:
        self._current = current

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        """Return the record with the two headers."""
        if has_header(record.headers, TRACEPARENT):
            return record
        context = self._current()
        return record if context is None else record._replace(headers=inject(record.headers, context))


def _text(value: bytes) -> str:
    return value.decode("latin-1")  # what is not ASCII is refused as text, not here
