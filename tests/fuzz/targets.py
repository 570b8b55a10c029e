"""What is fuzzed in Python: each target takes any bytes, returns, and raises only if there is a finding."""

from __future__ import annotations

import logging
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any, Final

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.connection import Answer, BrokerConnection, ConnectionSettings
from kproducer.client.metadata import ClusterView, MetadataPolicy
from kproducer.config import KEYS, NOT_BUILT, parse_config
from kproducer.config_files import parse_properties
from kproducer.errors import ConfigError, InvalidFrameSizeError, KafkaError, ProtocolError
from kproducer.protocol.api import Api
from kproducer.protocol.frames import FrameSplitter
from kproducer.protocol.messages.api_versions import API_VERSIONS
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.versions import SUPPORTED_APIS, BrokerVersions, Fallback, read_api_versions
from kproducer.testing.properties import render
from tests.fuzz.choices import Choices

Target = Callable[[bytes], None]

# The smallest elements are a byte or four, and become an object of Python with its place in a list and a tuple.
_BYTES_PER_BYTE: Final = 80
_FREE_BYTES: Final = 64 * 1024
# Tracing every allocation makes a run four times slower; the sample is the input's, so a finding repeats itself.
MEASURED_IN = 32

APIS: Final[dict[int, Api[Any, Any]]] = {api.key: api for api in SUPPORTED_APIS}


def within_memory(size: int, sample: int, parse: Callable[[], object]) -> None:
    """Call `parse`; for one sample in MEASURED_IN, check that it takes at most a small multiple of `size` bytes."""
    if sample % MEASURED_IN or tracemalloc.is_tracing():
        parse()
        return
    tracemalloc.start()
    try:
        parse()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= _FREE_BYTES + _BYTES_PER_BYTE * size, f"{peak} bytes of memory for {size} bytes of input"


# --- answers ------------------------------------------------------------------------------------------------


def responses(data: bytes) -> None:
    """Every API and version: an answer is read or refused, and one that was read can be written and read again.

    Input: the key of the API, its version, the frame.
    """
    choices = Choices(data)
    key = choices.byte()
    api = APIS.get(key) or list(APIS.values())[key % len(APIS)]
    wish = choices.byte()
    version = (
        wish if wish in api.versions else api.versions.low + wish % (api.versions.high - api.versions.low + 1)
    )
    frame = choices.rest()
    within_memory(len(frame), zlib.crc32(data), lambda: _read_answer(api, version, frame))


def _read_answer(api: Api[Any, Any], version: int, frame: bytes) -> None:
    try:
        _, response = api.decode_response(frame, version)
    except ProtocolError:
        return
    try:
        written = api.response.encode(response, version)
    except ValueError:
        return  # a compact string may come longer than we would write one
    assert api.response.decode(written, version) == response


def api_versions(data: bytes) -> None:
    """The answer to ApiVersions: versions, an older version to ask with, or an error of ours.

    Input: the version, the frame.
    """
    choices = Choices(data)
    version = choices.byte() % (API_VERSIONS.versions.high + 1)
    frame = choices.rest()
    within_memory(len(frame), zlib.crc32(data), lambda: _negotiate(version, frame))


def _negotiate(version: int, frame: bytes) -> None:
    try:
        outcome = read_api_versions(frame, version, broker="broker 1")
    except KafkaError:
        return
    if isinstance(outcome, Fallback):
        assert 0 <= outcome.version < version, "the negotiation would never end"
        return
    for api in SUPPORTED_APIS:
        _check_pick(outcome, api)


def _check_pick(versions: BrokerVersions, api: Api[Any, Any]) -> None:
    try:
        version = versions.pick(api)
    except KafkaError:
        return
    assert version in api.versions
    assert version in versions.ranges[api.key]


# --- frames -------------------------------------------------------------------------------------------------


def frames(data: bytes) -> None:
    """The splitter gives the same frames whatever the pieces; a size out of range is refused and nothing else.

    Input: the limit, the number of pieces, their sizes, the stream.
    """
    choices = Choices(data)
    limit = choices.pick((4, 5, 16, 255, 4096, 1 << 24))
    sizes = [choices.byte() for _ in range(choices.byte() % 16)]
    stream = choices.rest()
    expected, is_damaged = _split_slowly(stream, limit)
    found, is_refused = _split_in_pieces(stream, limit, sizes)
    assert is_refused == is_damaged
    # Frames that arrive in one piece with a bad size are not handed out: the connection is closed anyway.
    assert found == (expected[: len(found)] if is_damaged else expected)


def _split_in_pieces(stream: bytes, limit: int, sizes: list[int]) -> tuple[list[bytes], bool]:
    splitter = FrameSplitter(limit)
    pieces = Choices(stream)
    found: list[bytes] = []
    try:
        for size in sizes:
            found += splitter.feed(pieces.take(size))
            assert splitter.buffered_bytes < 4 + limit
        found += splitter.feed(pieces.rest())
    except InvalidFrameSizeError:
        return found, True
    assert sum(4 + len(frame) for frame in found) + splitter.buffered_bytes == len(stream)
    return found, False


def _split_slowly(stream: bytes, limit: int) -> tuple[list[bytes], bool]:
    expected: list[bytes] = []
    while len(stream) >= 4:
        size = int.from_bytes(stream[:4], "big", signed=True)
        if not 4 <= size <= limit:
            return expected, True
        if len(stream) < 4 + size:
            break
        expected.append(stream[4 : 4 + size])
        stream = stream[4 + size :]
    return expected, False


# --- a conversation -----------------------------------------------------------------------------------------

_SETTINGS: Final = ConnectionSettings("fuzz", "1", request_timeout_ms=1000, frame_limit=1 << 16)
_POLICY: Final = MetadataPolicy(
    max_age_ms=5000,
    max_idle_ms=5000,
    rebootstrap_trigger_ms=5000,
    max_block_ms=1000,
    allows_auto_creation=False,
    backoff=ExponentialBackoff(100, 1000, jitter=0.2),
)
_TOPICS: Final = ("a", "topic")


def conversation(data: bytes) -> None:
    """A connection from its first byte: versions, then metadata into the view of the cluster; KafkaError may end it.

    Input: turns, each of a length and as many bytes; a turn's first two bits say what comes in front of them.
    """
    choices = Choices(data)
    conn = BrokerConnection("broker 1", _SETTINGS, setup_deadline=1e9)
    view = ClusterView(_POLICY, jitter=lambda: 0.5, now=0)
    for topic in _TOPICS:
        view.want(topic, 1, 0)
    conn.connected(0)
    try:
        for now in range(16):
            _ask_metadata(conn, view, now * 1000)
            for answer in conn.receive(_turn(choices), now * 1000):
                _take_metadata(view, answer, now * 1000)
    except KafkaError:
        conn.close()
        view.failed(20_000)


def _turn(choices: Choices) -> bytes:
    """Bytes as they are, or a whole frame with the correlation id that is expected next."""
    kind = choices.byte()
    body = choices.take(kind >> 2 or choices.number(2) & 0x3FF)
    if kind & 3 == 0:
        return body
    correlation_id = (kind & 3) - 1 if kind & 3 < 3 else choices.byte()
    return (len(body) + 4).to_bytes(4, "big") + correlation_id.to_bytes(4, "big") + body


def _ask_metadata(conn: BrokerConnection, view: ClusterView, now: float) -> None:
    if conn.is_ready and not conn.is_awaiting(METADATA):
        conn.send(METADATA, view.begin_request(now), now)


def _take_metadata(view: ClusterView, answer: Answer, now: float) -> None:
    update = view.answered(answer.response, now)
    for snapshot in update.changed:
        assert snapshot.topic in _TOPICS
        partitions = view.partitions_of(snapshot.topic)
        assert [info.partition for info in partitions] == list(range(len(snapshot.leaders)))


# --- text ---------------------------------------------------------------------------------------------------

_SPELLINGS: Final = tuple(
    spelling
    for key in KEYS.values()
    for name in (key.name, *key.aliases)
    for spelling in (name, name.replace(".", "_"))
)
_OTHERS: Final = tuple(NOT_BUILT)


def config(data: bytes) -> None:
    """The configuration: any mapping gives a ProducerConfig that shows itself, or ConfigError.

    Input: keys and values, each of a kind and its content.
    """
    choices = Choices(data)
    mapping: dict[str, object] = {"bootstrap.servers": "a:1"} if choices.byte() & 1 else {}
    while choices.remaining and len(mapping) < 40:
        mapping[_config_key(choices)] = _config_value(choices, depth=2)
    try:
        parsed = parse_config(mapping)
    except ConfigError:
        return
    assert repr(parsed)
    assert set(parsed.effective()) == set(KEYS)


def _config_key(choices: Choices) -> str:
    kind = choices.byte() % 8
    if kind == 0:
        return choices.text(choices.byte())
    names = _OTHERS if kind == 1 else _SPELLINGS
    return names[(choices.number(2) & 0x7FFF) % len(names)]


def _config_value(choices: Choices, depth: int) -> object:
    kind = choices.byte() % (10 if depth else 7)
    if kind < 2:
        return choices.text(choices.byte())
    if kind < 4:
        return choices.number(kind * 4 - 6)
    if kind < 7:
        return choices.pick(
            (None, True, False, 0.5, float("nan"), b"", object, 2**70, "all", "true", "-1", str)
        )
    if kind == 7:
        return {choices.text(4): _config_value(choices, depth - 1)}
    items = [_config_value(choices, depth - 1) for _ in range(choices.byte() % 5)]
    return items if kind == 8 else tuple(items)


def properties(data: bytes) -> None:
    """The text of a node's properties, read as Java reads it, gives the properties again; any text is read or refused.

    Input: values, each of a length and its text; and the whole as a file.
    """
    choices = Choices(data)
    written: dict[str, str] = {}
    while choices.remaining and len(written) < 16:
        value = choices.take(choices.byte()).decode("utf-8", "ignore")
        written[f"name.{len(written)}"] = value
    # The file is written in UTF-8, and Kafka reads it as Latin-1.
    assert parse_properties(render(written).encode().decode("latin-1"), "written") == written
    try:
        parse_properties(data.decode("latin-1"), "input")
    except ConfigError:
        assert b"\\u" in data


TARGETS: Final[dict[str, Target]] = {
    target.__name__: target for target in (responses, api_versions, frames, conversation, config, properties)
}


def prepare() -> None:
    """Silence what the targets log: a fuzzer's output is read by eye."""
    logging.getLogger("kproducer").setLevel(logging.CRITICAL)
