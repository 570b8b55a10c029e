"""Configurations that no producer can be made of."""

from __future__ import annotations

import decimal
from typing import Any, Final

from kproducer import ConfigError, UnsupportedConfigError
from tests.unit.core.bad_input.rows import BadConfig

_WHOLE = "allowed is a whole number from 0 to 2147483647$"
_HOSTS = r"allowed is host:port, \[ipv6\]:port or PLAINTEXT://host:port, as a list or joined by commas$"
_ACKS = r"allowed is 'all' \(or -1\), 0 or 1$"
_YIELD = r"allowed is acks=all with retries above 0, or enable\.idempotence=false$"
_TRANSACTIONAL_ID = "allowed is None or text of 1 to 32767 bytes in UTF-8$"
_POSITIVE = "allowed is a whole number from 1 to 2147483647$"
_CALLABLE = "allowed is a callable or None$"
_PARTITIONER = (
    r"allowed is a callable, an object or class with partition\(\), .*\.RoundRobinPartitioner or None$"
)
_NOT_A_CLASS = r"\(give an instance or a function instead of the class\)"
_CODECS = "allowed is one of none, gzip, snappy, lz4, zstd$"
_IN_FLIGHT = r"allowed is 1 to 5, or enable\.idempotence=false$"


class SerializerClass:
    """Its instances are serializers."""

    def __call__(self, data: object) -> bytes:
        return b""


class NoPartitioner:
    """It has neither `partition()` nor `__call__()`."""


def _whole(value: object, shown: str, hint: str = "") -> BadConfig:
    note = f" \\({hint}\\)" if hint else ""
    return BadConfig(
        "B2", ConfigError, f"^batch\\.size={shown} is not valid{note}; {_WHOLE}", {"batch.size": value}
    )


def _hosts(value: object, hint: str) -> BadConfig:
    return BadConfig(
        "B3",
        ConfigError,
        rf"^bootstrap\.servers=.* is not valid \({hint}\); {_HOSTS}",
        {"bootstrap.servers": value},
    )


BAD_CONFIGS: Final[dict[str, BadConfig]] = {
    "unknown dotted name": BadConfig(
        "B1",
        ConfigError,
        r"^unknown configuration key 'linger\.msec'; did you mean 'linger\.ms'\?$",
        {"linger.msec": 1},
    ),
    "unknown keyword": BadConfig(
        "B1",
        ConfigError,
        r"^unknown configuration key 'batch_sise'; did you mean 'batch_size'\?$",
        {"batch_sise": 1},
    ),
    "unknown, none near": BadConfig("B1", ConfigError, "^unknown configuration key 'zzz'$", {"zzz": 1}),
    "name no text": BadConfig(
        "B1", ConfigError, "^a configuration key is of type int; allowed is str$", {1: 2}
    ),
    "bool for int": _whole(True, "True", "a bool is not a number"),
    "a unit": _whole("5ms", "'5ms'"),
    "float": _whole(1.0, r"1\.0", "got float"),
    "NaN": _whole(float("nan"), "nan", "got float"),
    "infinity": _whole(float("inf"), "inf", "got float"),
    "decimal": _whole(decimal.Decimal(5), r"Decimal\('5'\)", "got Decimal"),
    "text of a float": _whole("1.0", r"'1\.0'"),
    "underscores": _whole("1_000", "'1_000'"),
    "digits of another script": _whole("\u0663", "'\u0663'"),
    "empty text": _whole("", "''"),
    "None": _whole(None, "None", "got NoneType"),
    "bytes": _whole(b"5", "b'5'", "got bytes"),
    "a list": _whole([5], r"\[5\]", "got list"),
    "> int32": _whole(2**31, "2147483648"),
    "> int64": BadConfig(
        "B2",
        ConfigError,
        r"^buffer\.memory=9223372036854775808 is not valid; allowed is a whole number from 0 to 9223372036854775807$",
        {"buffer.memory": 2**63},
    ),
    "ten thousand digits": BadConfig(
        "B2", ConfigError, rf"^batch\.size='9+.* is not valid; {_WHOLE}", {"batch.size": "9" * 10_000}
    ),
    "negative": BadConfig(
        "B2",
        ConfigError,
        r"^linger\.ms=-1 is not valid; allowed is a whole number from 0 to",
        {"linger.ms": -1},
    ),
    "int for bool": BadConfig(
        "B2",
        ConfigError,
        r"^partitioner\.ignore\.keys=1 is not valid \(got int\); allowed is True, False, 'true' or 'false'$",
        {"partitioner.ignore.keys": 1},
    ),
    "yes for bool": BadConfig(
        "B2",
        ConfigError,
        r"^partitioner\.ignore\.keys='yes' is not valid; allowed is True, False, 'true' or 'false'$",
        {"partitioner.ignore.keys": "yes"},
    ),
    "no bootstrap": BadConfig(
        "B3", ConfigError, r"^bootstrap\.servers is missing", {"bootstrap.servers": None}
    ),
    "bootstrap empty": _hosts("", "it is empty"),
    "bootstrap an empty list": _hosts([], "it is empty"),
    "bootstrap blank": _hosts("  , ", "it is empty"),
    "no port": _hosts("a:1,b", "entry 'b' has no port from 1 to 65535"),
    "port 0": _hosts("a:0", "entry 'a:0' has no port from 1 to 65535"),
    "port 65536": _hosts("a:65536", "entry 'a:65536' has no port from 1 to 65535"),
    "port -1": _hosts("a:-1", "entry 'a:-1' has no port from 1 to 65535"),
    "port text": _hosts("a:x", "entry 'a:x' has no port from 1 to 65535"),
    "no host": _hosts(":9092", "entry ':9092' has no valid host name"),
    "blank in a host": _hosts("a b:9092", "entry 'a b:9092' has no valid host name"),
    "bare IPv6": _hosts("::1:9092", r"entry '::1:9092' needs brackets around its IPv6 address: \[::1\]:9092"),
    "bad IPv6": _hosts("[::x]:9092", r"entry '\[::x\]:9092' has no valid IPv6 address"),
    "brackets around a name": _hosts("[a]:9092", r"entry '\[a\]:9092' has no valid IPv6 address"),
    "http": _hosts("http://a:9092", "entry 'http://a:9092' has a scheme other than PLAINTEXT://"),
    "SSL": _hosts("SSL://a:9092", "entry 'SSL://a:9092' has a scheme other than PLAINTEXT://"),
    "an int among them": _hosts(["a:1", 2], "got int"),
    "bootstrap bytes": _hosts(b"a:1", "got bytes"),
    "bootstrap int": _hosts(9092, "got int"),
    **{
        f"acks {value!r}": BadConfig("B4", ConfigError, _ACKS, {"acks": value})
        for value in ("ALL", 2, -2, True, "one", None, 1.0)
    },
    "acks=1 and idempotence": BadConfig(
        "B4",
        ConfigError,
        rf"^enable\.idempotence=true does not go with acks=1: .* {_YIELD}",
        {"enable_idempotence": True, "acks": 1},
    ),
    "acks=0 and idempotence": BadConfig(
        "B4",
        ConfigError,
        rf"^enable\.idempotence=true does not go with acks=0: .* {_YIELD}",
        {"enable_idempotence": True, "acks": 0},
    ),
    "no retries and idempotence": BadConfig(
        "B4",
        ConfigError,
        rf"^enable\.idempotence=true does not go with retries=0: .* {_YIELD}",
        {"enable_idempotence": True, "retries": 0},
    ),
    "six in flight": BadConfig(
        "B4",
        ConfigError,
        rf"^max\.in\.flight\.requests\.per\.connection=6 does not go with idempotence, .* {_IN_FLIGHT}",
        {"max_in_flight_requests_per_connection": 6},
    ),
    "six in flight and idempotence": BadConfig(
        "B4",
        ConfigError,
        _IN_FLIGHT,
        {"max_in_flight_requests_per_connection": 6, "enable_idempotence": True},
    ),
    "six in flight with acks=1": BadConfig(
        "B4", ConfigError, _IN_FLIGHT, {"max_in_flight_requests_per_connection": 6, "acks": 1}
    ),
    "transactions without idempotence": BadConfig(
        "B5",
        ConfigError,
        r"^transactional\.id does not go with enable\.idempotence=false; leave one of them out$",
        {"transactional_id": "tx", "enable_idempotence": False},
    ),
    "transactions with acks=1": BadConfig(
        "B5",
        ConfigError,
        r"^transactional\.id does not go with acks=1: ",
        {"transactional_id": "tx", "acks": 1},
    ),
    "transactional id empty": BadConfig(
        "B5",
        ConfigError,
        rf"^transactional\.id='' is not valid \(it is empty\); {_TRANSACTIONAL_ID}",
        {"transactional_id": ""},
    ),
    "transactional id bytes": BadConfig(
        "B5",
        ConfigError,
        rf"^transactional\.id=b'tx' is not valid \(got bytes\); {_TRANSACTIONAL_ID}",
        {"transactional_id": b"tx"},
    ),
    "transactional id int": BadConfig(
        "B5",
        ConfigError,
        rf"^transactional\.id=7 is not valid \(got int\); {_TRANSACTIONAL_ID}",
        {"transactional_id": 7},
    ),
    "transactional id too long": BadConfig(
        "B5", ConfigError, rf"\(it has 32768 bytes\); {_TRANSACTIONAL_ID}", {"transactional_id": "x" * 32_768}
    ),
    "transactional id too long in UTF-8": BadConfig(
        "B5",
        ConfigError,
        rf"\(it has 32768 bytes\); {_TRANSACTIONAL_ID}",
        {"transactional_id": "\u00e9" * 16_384},
    ),
    "transactional id surrogate": BadConfig(
        "B5",
        ConfigError,
        rf"\(it has a lone surrogate\); {_TRANSACTIONAL_ID}",
        {"transactional_id": "\ud800"},
    ),
    **{
        f"transaction timeout {value!r}": BadConfig(
            "B6",
            ConfigError,
            rf"^transaction\.timeout\.ms={value!r} is not valid.*; {_POSITIVE}",
            {"transaction_timeout_ms": value},
        )
        for value in (0, -1, 2**31, None, 1.5, True)
    },
    "delivery timeout too short": BadConfig(
        "B7",
        ConfigError,
        r"^delivery\.timeout\.ms=29 is too short; allowed is 30 or more, the sum of linger\.ms=10 and request",
        {"linger_ms": 10, "request_timeout_ms": 20, "delivery_timeout_ms": 29},
    ),
    "batch size negative": BadConfig(
        "B8", ConfigError, rf"^batch\.size=-1 is not valid; {_WHOLE}", {"batch_size": -1}
    ),
    "codec misspelt": BadConfig(
        "B10",
        ConfigError,
        rf"^compression\.type='ztsd' is not valid \(did you mean 'zstd'\?\); {_CODECS}",
        {"compression_type": "ztsd"},
    ),
    "codec in capitals": BadConfig(
        "B10",
        ConfigError,
        rf"^compression\.type='GZIP' is not valid \(did you mean 'gzip'\?\); {_CODECS}",
        {"compression_type": "GZIP"},
    ),
    "codec None": BadConfig(
        "B10",
        ConfigError,
        rf"^compression\.type=None is not valid \(got NoneType\); {_CODECS}",
        {"compression_type": None},
    ),
    "level of zstd": BadConfig(
        "B10",
        ConfigError,
        r"^compression\.zstd\.level=23 is not valid; allowed is a whole number from -131072 to 22$",
        {"compression_type": "lz4", "compression_zstd_level": 23},
    ),
    "level of gzip": BadConfig(
        "B10",
        ConfigError,
        r"^compression\.gzip\.level=0 is not valid; allowed is a whole number from 1 to 9, or -1$",
        {"compression_gzip_level": 0},
    ),
    "protocol unknown": BadConfig(
        "B11",
        ConfigError,
        r"^security\.protocol='TLS' is not valid.*; allowed is only PLAINTEXT$",
        {"security_protocol": "TLS"},
    ),
    "protocol SSL": BadConfig(
        "B11",
        UnsupportedConfigError,
        r"^security\.protocol='SSL' is not supported yet; allowed is only PLAINTEXT",
        {"security_protocol": "SSL"},
    ),
    "SASL without mechanism": BadConfig(
        "B11",
        ConfigError,
        r"^sasl\.mechanism is empty, and security\.protocol=SASL_SSL needs one",
        {"security_protocol": "SASL_SSL", "sasl_mechanism": ""},
    ),
    "SASL without credentials": BadConfig(
        "B11",
        UnsupportedConfigError,
        "not supported yet",
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"},
    ),
    "trust store missing": BadConfig(
        "B11",
        UnsupportedConfigError,
        r"^ssl\.truststore\.location is a key of Kafka's that is not supported yet",
        {"ssl_truststore_location": "/nowhere/at/all.pem"},
    ),
    "certificate without key": BadConfig(
        "B11",
        UnsupportedConfigError,
        r"^ssl\.keystore\.certificate\.chain is a key of Kafka's that is not supported yet",
        {"ssl_keystore_certificate_chain": "-----BEGIN CERTIFICATE-----"},
    ),
    "serializer not callable": BadConfig(
        "B12", ConfigError, rf"^value\.serializer=5 is not valid; {_CALLABLE}", {"value_serializer": 5}
    ),
    "serializer a class": BadConfig(
        "B12",
        ConfigError,
        rf"^key\.serializer=<class '.*SerializerClass'> is not valid {_NOT_A_CLASS}; {_CALLABLE}",
        {"key_serializer": SerializerClass},
    ),
    "serializer of Java": BadConfig(
        "B12",
        ConfigError,
        rf"\(Java class names are not understood but for .*\); {_CALLABLE}",
        {"key_serializer": "org.apache.kafka.common.serialization.LongSerializer"},
    ),
    "partitioner a number": BadConfig(
        "B12", ConfigError, rf"^partitioner\.class=7 is not valid; {_PARTITIONER}", {"partitioner_class": 7}
    ),
    "partitioner another class": BadConfig(
        "B12",
        ConfigError,
        rf"^partitioner\.class=<class '.*NoPartitioner'> is not valid; {_PARTITIONER}",
        {"partitioner_class": NoPartitioner},
    ),
    "partitioner another object": BadConfig(
        "B12",
        ConfigError,
        rf"^partitioner\.class=<.*NoPartitioner .*> is not valid; {_PARTITIONER}",
        {"partitioner_class": NoPartitioner()},
    ),
    "partitioner of Java": BadConfig(
        "B12",
        ConfigError,
        rf"^partitioner\.class='org\.x\.P' is not valid \(other Java class names are not understood\); {_PARTITIONER}",
        {"partitioner_class": "org.x.P"},
    ),
}

NO_MAPPINGS: Final[dict[str, Any]] = {"a list": [("linger.ms", 1)], "text": "linger.ms=1", "a number": 5}
