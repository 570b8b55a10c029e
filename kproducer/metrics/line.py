"""The line that logger kproducer.statistics gets each interval."""

from __future__ import annotations

from typing import Final

from kproducer.metrics.view import View

_MEGABYTE: Final = 1_000_000


def statistics_line(view: View) -> str:
    """Return the producer over an interval in one line."""
    used = view.total("buffer_total_bytes") - view.total("buffer_available_bytes")
    return (
        f"{view.rate('records_acked'):.0f} records/s, {view.rate('bytes_acked') / _MEGABYTE:.2f} MB/s, "
        f"{view.total('requests_in_flight'):.0f} requests in flight, "
        f"p99 of queue {view.times('queue').p99:.1f} ms, request {view.times('request').p99:.1f} ms, "
        f"delivery {view.times('delivery').p99:.1f} ms, "
        f"buffer {used / max(view.total('buffer_total_bytes'), 1):.0%} used, "
        f"{view.gained('record_retries'):.0f} retries, {view.gained('records_failed'):.0f} errors"
    )
