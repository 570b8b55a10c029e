"""Headers as a whole, and the trace context in them."""

from __future__ import annotations

import pytest

from kproducer import Header, ProducerRecord
from kproducer.headers import has_header, last_header, with_header, without_header
from kproducer.interceptors import InterceptorChain
from kproducer.tracing import TraceContext, TraceContextInterceptor, extract, inject

HEADERS = [("a", b"1"), ("b", None), ("a", b"2")]
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
CONTEXT = TraceContext(TRACE_ID, SPAN_ID)


# --- headers ------------------------------------------------------------------------------------------------


def test_the_last_header_of_a_name_counts() -> None:
    assert [last_header(HEADERS, key) for key in ("a", "b", "c")] == [b"2", None, None]
    assert last_header(None, "a") is None


def test_a_null_header_is_there() -> None:
    assert [has_header(HEADERS, key) for key in ("a", "b", "c")] == [True, True, False]
    assert not has_header(None, "a")


def test_a_header_is_replaced_wherever_it_stands() -> None:
    assert with_header(HEADERS, "a", b"3") == (Header("b", None), Header("a", b"3"))
    assert with_header(None, "a", None) == (Header("a", None),)
    assert without_header(HEADERS, "a") == (Header("b"),)
    assert HEADERS == [("a", b"1"), ("b", None), ("a", b"2")]


# --- trace context ------------------------------------------------------------------------------------------


def test_a_context_is_written_and_read() -> None:
    context = TraceContext(TRACE_ID, SPAN_ID, 1, "vendor=x,other=y")
    headers = inject([("h", b"1")], context)
    assert headers == (
        ("h", b"1"),
        ("traceparent", TRACEPARENT.encode()),
        ("tracestate", b"vendor=x,other=y"),
    )
    assert extract(headers) == context


def test_injecting_replaces_what_was_there() -> None:
    old = inject(None, TraceContext("1" * 32, "2" * 16, 0, "vendor=x"))
    assert inject(old, CONTEXT) == (("traceparent", TRACEPARENT.encode()),)


def test_several_tracestate_headers_are_one_list() -> None:
    headers = [
        ("traceparent", TRACEPARENT.encode()),
        ("tracestate", b"a=1"),
        ("tracestate", b""),
        ("tracestate", b"b=2"),
    ]
    found = extract(headers)
    assert found is not None
    assert found.tracestate == "a=1,b=2"


@pytest.mark.parametrize(
    ("traceparent", "flags"),
    [(TRACEPARENT, 1), (TRACEPARENT[:-1] + "0", 0), (f"cc-{TRACE_ID}-{SPAN_ID}-09-what-comes", 9)],
)
def test_versions_to_come_are_read_as_far_as_they_are_known(traceparent: str, flags: int) -> None:
    assert TraceContext.parse(traceparent) == TraceContext(TRACE_ID, SPAN_ID, flags)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACEPARENT.upper(),
        TRACEPARENT + "-more",
        TRACEPARENT + "\n",
        TRACEPARENT[:-1],
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"cc-{TRACE_ID}-{SPAN_ID}-01.what-comes",
    ],
)
def test_an_invalid_traceparent_is_no_context_and_its_tracestate_does_not_count(traceparent: str) -> None:
    assert TraceContext.parse(traceparent, "vendor=x") is None
    assert extract([("traceparent", traceparent.encode()), ("tracestate", b"vendor=x")]) is None


def test_an_invalid_tracestate_is_left_out() -> None:
    assert extract([("traceparent", TRACEPARENT.encode()), ("tracestate", b"\xff\x00")]) == CONTEXT


def test_headers_without_a_context_have_none() -> None:
    assert extract(None) is extract([]) is extract([("traceparent", None)]) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("x" * 32, SPAN_ID), "trace_id"),
        ((TRACE_ID, SPAN_ID + "0"), "span_id"),
        ((TRACE_ID, SPAN_ID, 256), "flags=256"),
        ((TRACE_ID, SPAN_ID, 1, "vendor=é"), "tracestate"),
    ],
)
def test_a_context_of_another_form_is_refused(arguments: tuple[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TraceContext(*arguments)


def test_a_trace_begins_with_random_ids_and_goes_on_in_its_children() -> None:
    first, second = TraceContext.begin(), TraceContext.begin(is_sampled=False)
    assert first.trace_id != second.trace_id
    assert (first.is_sampled, second.is_sampled) == (True, False)
    child = TraceContext(TRACE_ID, SPAN_ID, 0, "vendor=x").child()
    assert (child.trace_id, child.flags, child.tracestate) == (TRACE_ID, 0, "vendor=x")
    assert child.span_id != SPAN_ID


# --- the interceptor ----------------------------------------------------------------------------------------


def sent(headers: object, current: TraceContext | None) -> object:
    record = ProducerRecord("t", b"v", headers=headers)  # type: ignore[arg-type]
    return InterceptorChain([TraceContextInterceptor(lambda: current)]).on_send(record).headers


def test_the_interceptor_adds_the_current_context() -> None:
    assert sent(None, CONTEXT) == (("traceparent", TRACEPARENT.encode()),)


def test_the_interceptor_leaves_a_record_that_has_a_context() -> None:
    headers = (("traceparent", b"of another span"), ("tracestate", b"x=1"))
    assert sent(headers, CONTEXT) == headers


def test_the_interceptor_adds_nothing_outside_of_a_trace() -> None:
    assert sent((("h", b"1"),), None) == (("h", b"1"),)
