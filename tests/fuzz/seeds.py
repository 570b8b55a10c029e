"""Writes the corpus that fuzzing starts from: `python -m tests.fuzz.seeds`. Answers come from the real encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from kproducer.protocol.api import Api
from kproducer.protocol.messages.api_versions import API_VERSIONS, ApiVersion, ApiVersionsResponse
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import (
    PRODUCE,
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)
from kproducer.protocol.primitives import Writer
from kproducer.protocol.schema import (
    BOOLEAN,
    BYTES,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    UUID16,
    Array,
    Struct,
    Versions,
    WireType,
)
from kproducer.protocol.versions import SUPPORTED_APIS
from tests.wire.strategies import wires

CORPUS: Final = Path(__file__).parent / "corpus"

Seeds = dict[str, bytes]
SeedMaker = Callable[[], Seeds]


# --- answers of every API -----------------------------------------------------------------------------------

_SAMPLES: Final[list[tuple[WireType, object]]] = [
    (BOOLEAN, True),
    (INT8, -2),
    (INT16, 3),
    (INT32, 70_000),
    (INT64, -(2**40)),
    (UUID16, UUID(int=1)),
    (STRING, "topic"),
    (BYTES, b"\0\xff"),
]


def _value(wire_type: WireType, version: int) -> object:
    if isinstance(wire_type, Struct):
        return full_message(wire_type.message_class, version)
    if isinstance(wire_type, Array):
        return (_value(wire_type.element, version),) * 2
    return next(sample for kind, sample in _SAMPLES if kind is wire_type)


def full_message(message_class: type[Any], version: int) -> Any:
    """A message with every field that the version has, none at its default."""
    return message_class(
        **{
            name: _value(wire.type, version)
            for name, wire in wires(message_class).items()
            if version in Versions.parse(wire.versions)
        }
    )


def _answers_of(api: Api[Any, Any]) -> Seeds:
    found = {}
    for version in range(api.versions.low, api.versions.high + 1):
        message = full_message(api.response.message_class, version)
        frame = api.encode_response(message, version, correlation_id=1)[4:]
        found[f"{api.name}_{version}"] = bytes([api.key, version]) + frame
    return found


def responses() -> Seeds:
    """A full answer of every API in every version."""
    return {name: seed for api in SUPPORTED_APIS for name, seed in _answers_of(api).items()}


def api_versions() -> Seeds:
    """Answers in the version that was asked, in version 0, refusals, and what is no answer."""
    keys = tuple(ApiVersion(api_key=api.key, max_version=api.versions.high) for api in SUPPORTED_APIS)
    found = {"empty": b"\4", "no_body": b"\4\0\0\0\1\0"}
    for version in range(API_VERSIONS.versions.high + 1):
        message = full_message(ApiVersionsResponse, version)
        found[f"full_{version}"] = bytes([version]) + _frame(API_VERSIONS, message, version)
        answer = ApiVersionsResponse(api_keys=keys)
        found[f"plain_{version}"] = bytes([version]) + _frame(API_VERSIONS, answer, version)
        refusal = ApiVersionsResponse(error_code=35, api_keys=(ApiVersion(api_key=18, max_version=2),))
        found[f"refused_{version}"] = bytes([version]) + _frame(API_VERSIONS, refusal, 0)
    return found


def _frame(api: Api[Any, Any], message: object, version: int) -> bytes:
    return api.encode_response(message, version, correlation_id=1)[4:]


def frames() -> Seeds:
    """Streams in pieces: whole frames, cut ones, and sizes out of range."""
    stream = b"\0\0\0\4abcd\0\0\0\6abcdef"
    pieces = bytes([3, 1, 5, 4])
    return {
        "in_pieces": b"\3" + pieces + stream,
        "at_once": b"\5\0" + stream,
        "byte_by_byte": b"\4\17" + b"\1" * 15 + stream,
        "over_the_limit": b"\1" + pieces + stream,
        "too_small": b"\3" + pieces + b"\0\0\0\4abcd\0\0\0\3",
        "negative": b"\3\0\xff\xff\xff\xff",
        "cut": b"\3\1\2" + stream[:-2],
    }


def _turn(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


def conversation() -> Seeds:
    """Versions and metadata as a broker sends them, with a fallback, and noise."""
    keys = tuple(ApiVersion(api_key=api.key, max_version=api.versions.high) for api in SUPPORTED_APIS)
    newest = API_VERSIONS.versions.high
    versions = _frame(API_VERSIONS, ApiVersionsResponse(api_keys=keys), newest)[4:]
    # Such a broker cannot be told to create no topics.
    old = _frame(API_VERSIONS, ApiVersionsResponse(api_keys=(ApiVersion(api_key=3, max_version=3),)), newest)[
        4:
    ]
    high = METADATA.versions.high
    message = full_message(METADATA.response.message_class, high)
    metadata = METADATA.encode_response(message, high, correlation_id=1)[8:]
    return {
        "versions_and_metadata": _turn(1, versions) + _turn(2, metadata),
        "old_metadata": _turn(1, old),
        "fallback": _turn(1, b"\0\x23\0\0\0\1\0\x12\0\0\0\2") + _turn(2, versions),
        "noise": b"\x1c" + b"HTTP/1.",
        "another_correlation_id": _turn(3, b"\x09\0\0"),
    }


def config() -> Seeds:
    """Mappings with good values, bad values, unknown keys and other types."""
    return {
        "nothing": b"\1",
        "no_servers": b"\0",
        "a_text": b"\1" + b"\2\0\1" + b"\0\x05" + b"10000",
        "a_number": b"\1" + b"\2\0\4" + b"\3" + (7).to_bytes(6, "big"),
        "an_unknown_key": b"\1" + b"\0\4" + b"aks=" + b"\5\x08",
        "a_key_not_built": b"\1" + b"\1\0\2" + b"\5\0",
        "a_list": b"\0" + b"\2\0\0" + b"\x08\2" + b"\0\4a:12" + b"\0\4b:99",
        "a_mapping": b"\1" + b"\3\0\3" + b"\x07" + b"name" + b"\5\1",
    }


def properties() -> Seeds:
    """Values with what a .properties file must escape."""
    values = {
        "plain": "INFO, stdout",
        "backslash": "C:\\logs\\",
        "lines": "a\nb\rc\td\fe",
        "leading_blank": "  x",
        "not_latin": "/tmp/ä/€/\U0001f600",
        "separators": "a=b:c#d!e",
    }
    return {name: bytes([len(value.encode())]) + value.encode() for name, value in values.items()}


# --- the C core ---------------------------------------------------------------------------------------------


_REFUSED: Final = PartitionProduceResponse(
    error_code=87,
    record_errors=(BatchIndexAndErrorMessage(batch_index=1, batch_index_error_message="bad"),),
    error_message="why",
    current_leader=LeaderIdAndEpoch(leader_id=3, leader_epoch=11),
)
_TOPICS: Final = (
    ("topic", UUID(bytes=bytes([1, 2, 3]) + bytes(13)), (0, 1)),
    ("another", UUID(bytes=bytes([9, 8, 7]) + bytes(13)), (0, 0x01020304)),
)


def _produce_answer(*, is_rich: bool) -> ProduceResponse:
    """The answer to the request of fuzz_answers.c; `is_rich`: two batches are refused, with all that can be said."""

    def answer(index: int) -> PartitionProduceResponse:
        refused = _REFUSED if is_rich and index == 0 else PartitionProduceResponse()
        return replace(refused, index=index, base_offset=1000)

    return ProduceResponse(
        responses=tuple(
            TopicProduceResponse(
                name=name, topic_id=topic_id, partition_responses=tuple(answer(index) for index in indexes)
            )
            for name, topic_id, indexes in _TOPICS
        ),
        throttle_time_ms=250,
        node_endpoints=(NodeEndpoint(node_id=3, host="three", port=9092, rack="r"),) if is_rich else (),
    )


def answers() -> Seeds:
    """Plain and rich answers to a Produce request of four partitions."""
    found = {}
    for version in range(PRODUCE.versions.low, PRODUCE.versions.high + 1):
        for is_rich in (False, True):
            message = _produce_answer(is_rich=is_rich)
            body = PRODUCE.encode_response(message, version, correlation_id=77)[8:]
            name = f"{'rich' if is_rich else 'plain'}_{version}"
            found[name] = bytes([version - PRODUCE.versions.low]) + body
    return found


# Operations of fuzz_conn.c.
APPEND, ANSWER, ANSWER_WRONGLY, CONTROL, NOISE, NETWORK, CONNECT, DROP, TIME, FAIL = (
    0,
    2,
    4,
    5,
    7,
    8,
    9,
    10,
    11,
    12,
)
_IDEMPOTENT: Final = bytes([7, 4, 0])
_FIRE_AND_FORGET: Final = bytes([0, 4, 0])
_ONE_BATCH: Final = bytes([APPEND, 0, 2, 1, 0, 0])
_STEP: Final = bytes([TIME, 0])
_INVALID, _NOT_LEADER, _TOO_LARGE, _OUT_OF_ORDER = 15, 7, 8, 11


def _answer(code: int = 0, extras: int = 0, *, tail: int = 0) -> bytes:
    return bytes([ANSWER, 1, 1, 9, code, extras, tail, 1])


def _judge(action: int, *, restarts: bool) -> bytes:
    return bytes([CONTROL, action, 0, int(restarts), 1])


def conn() -> Seeds:
    """What can happen to a batch, one thing after the other."""
    sent = _IDEMPOTENT + _ONE_BATCH + _STEP
    return {
        "acked": sent + _answer(),
        "throttled": sent + _answer(tail=4) + _ONE_BATCH + bytes([TIME, 2]),
        "retried": sent + _answer(_NOT_LEADER, 0x39, tail=3) + _judge(1, restarts=False) + _STEP + _answer(),
        "split": sent + _answer(_TOO_LARGE) + _judge(2, restarts=False) + _STEP + _answer() + _answer(),
        "records_refused": sent + _answer(_INVALID, 7) + _judge(3, restarts=True) + _STEP + _answer(),
        "out_of_order": sent + _ONE_BATCH + _STEP + _answer(_OUT_OF_ORDER) + _judge(3, restarts=True),
        "left_out": sent + _answer(0, 0xC0),
        "twice": sent + _answer(0, 0x80, tail=8),
        "wrong_byte": sent + bytes([ANSWER_WRONGLY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0xFF, 0, 1]),
        "noise": sent + bytes([NOISE, 6]) + b"\0\0\0\2ab" + _STEP,
        "huge_size": sent + bytes([NOISE, 4]) + b"\x7f\xff\xff\xff" + _STEP,
        "byte_by_byte": _IDEMPOTENT + bytes([NETWORK, 3]) + _ONE_BATCH + _STEP + _answer(),
        "half_written": _IDEMPOTENT + bytes([NETWORK, 0x22]) + _ONE_BATCH + _STEP + bytes([NETWORK, 8]),
        "lost": sent + bytes([NETWORK, 8, CONTROL, CONNECT, 6]) + _STEP + _answer(),
        "request_times_out": sent + bytes([TIME, 4, CONTROL, CONNECT, 9]) + _answer(),
        "expired": sent + bytes([TIME, 5, CONTROL]) + _answer() + _ONE_BATCH,
        "drained": sent + bytes([DROP, 1, CONNECT, 0]) + _ONE_BATCH + _STEP,
        "fire_and_forget": _FIRE_AND_FORGET + _ONE_BATCH + _STEP + _answer(),
        "partition_fails": sent + bytes([FAIL, 0]) + _answer(),
        "all_fail": sent + bytes([FAIL, 5, 1]) + _ONE_BATCH,
    }


def _record(key: bytes | None, value: bytes | None, headers: bytes = b"\0") -> bytes:
    body = Writer()
    body.int8(0)
    body.varlong(5)
    body.varint(1)
    for part in (key, value):
        body.varint(-1 if part is None else len(part))
        body.raw(part or b"")
    body.raw(headers)
    whole = Writer()
    whole.varint(len(body))
    whole.raw(body.getvalue())
    return whole.getvalue()


def records() -> Seeds:
    """Encoded records, whole and damaged, and recipes for batches."""
    whole = _record(b"k", b"value") + _record(None, None) + _record(b"", b"", b"\2\2h\2v")
    return {
        "decode_whole": b"\1" + whole,
        "decode_cut": b"\1" + whole[:-3],
        "decode_negative_length": b"\1\x01",
        "build_one": b"\0\0\1" + b"\2\0\1\3abc",
        "build_every_kind": b"\0\1\2" + b"\x0f" + b"\x12" * 8 + b"\1k\2vw\1\0" + b"\0\0\1" + b"\3\0\0\0\0",
        "build_times_far_apart": b"\0\0\2" + b"\x0a\x7f" + b"\xff" * 7 + b"\1a" + b"\2\0\0\1b",
    }


def snappy() -> Seeds:
    """Text, repetition and noise, with the room that is needed and with less."""
    noise = bytes((i * i * 31 + i * 7) >> 3 & 0xFF for i in range(200))
    return {
        "text": b"\0\xff\xff\0" + b"key=value; key=other; key=value; " * 3,
        "xerial": b"\1\xff\xff\7" + b"0123456789" * 30,
        "two_blocks_of_noise": b"\1\xff\xff\7" + noise * 3,
        "zeros": b"\0\xff\xff\7" + bytes(100),
        "noise": b"\0\xff\xff\0" + noise,
        "too_little_room": b"\0\0\x20\0" + noise,
        "no_room_for_a_header": b"\1\0\x0f\0" + b"abc",
        "empty": b"\0\xff\xff\0",
    }


ALL: Final[tuple[SeedMaker, ...]] = (
    *(responses, api_versions, frames, conversation, config, properties),
    *(answers, conn, records, snappy),
)


def main() -> None:
    """Write every seed; files of findings beside them stay."""
    for target in ALL:
        folder = CORPUS / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for name, seed in target().items():
            (folder / name).write_bytes(seed)


if __name__ == "__main__":
    main()
