# cython: language_level=3, freethreading_compatible=True
"""What a record has beside topic, key and value, checked, and encoded: headers (and back), timestamp, partition."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int32_t, int64_t, uint8_t

from kproducer._core.csrc cimport KP_OK, kp_record, kp_varint_get32, kp_varint_put32

import inspect
import types


cdef int check_callback(str what, fn) except -1:
    if not callable(fn):
        raise TypeError(f"{what} must be callable, not {type(fn).__name__}")
    if inspect.iscoroutinefunction(fn) or \
            (type(fn) is not types.FunctionType and inspect.iscoroutinefunction(type(fn).__call__)):
        raise TypeError(f"{what} must be a plain function: it runs on the delivery thread, which awaits nothing")
    return 0


cdef bytes header_field(data):
    """Varint length and bytes; null is length -1."""
    cdef uint8_t head[5]
    cdef int32_t n = -1 if data is None else <int32_t>len(data)
    cdef uint8_t *end = kp_varint_put32(head, n)
    prefix = PyBytes_FromStringAndSize(<const char *>head, end - head)
    return prefix if data is None else prefix + data


cdef bytes header_key(n, key):
    try:
        return str.encode(key, "utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"header {n}: key has a lone surrogate, which UTF-8 cannot hold") from None


cdef bytes header_value(key, value):
    if value is None or type(value) is bytes:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"header {key!r}: value must be bytes or None, not {type(value).__name__}")


cdef bytes encode_headers(headers):
    """The headers of a record as they stand on the wire. (key, value) pairs in order, or a dict."""
    cdef list parts = []
    cdef uint8_t head[5]
    pairs = headers.items() if isinstance(headers, dict) else headers
    if isinstance(pairs, (str, bytes)) or not hasattr(type(pairs), "__iter__"):
        raise TypeError(f"headers must be (key, value) pairs, not {type(headers).__name__}")
    n = 0
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"header {n}: must be a (str, bytes | None) pair, not {type(pair).__name__}")
        key, value = pair
        if not isinstance(key, str):
            raise TypeError(f"header {n}: key must be str, not {type(key).__name__}")
        parts.append(header_field(header_key(n, key)))
        parts.append(header_field(header_value(key, value)))
        n += 1
    end = kp_varint_put32(head, n)
    parts.insert(0, PyBytes_FromStringAndSize(<const char *>head, end - head))
    return b"".join(parts)


cdef object bytes_or_none(const uint8_t *data, int64_t n):
    return None if n < 0 else PyBytes_FromStringAndSize(<const char *>data, n)


cdef int32_t next_number(const uint8_t **p, const uint8_t *end) except? -2:
    cdef int32_t n = 0
    if kp_varint_get32(p, end, &n) != KP_OK:
        raise SystemError("our own headers cannot be read back")
    return n


cdef object next_field(const uint8_t **p, const uint8_t *end):
    """A length and its bytes; null is length -1."""
    cdef int32_t n = next_number(p, end)
    if n > end - p[0]:
        raise SystemError("our own headers cannot be read back")
    data = bytes_or_none(p[0], n)
    p[0] += max(0, n)
    return data


cdef tuple decode_headers(const kp_record *record):
    """The pairs that encode_headers() was given."""
    cdef const uint8_t *p = record.headers
    cdef const uint8_t *end = p + record.headers_len
    cdef int32_t n = next_number(&p, end)
    cdef list headers = []
    for _ in range(n):
        key = next_field(&p, end).decode()
        headers.append((key, next_field(&p, end)))
    return tuple(headers)


cdef enum:
    MOST_BITS_TOLD = 4096


cdef str shortened(str digits):
    return digits if len(digits) <= 40 else f"{digits[:40]}... ({len(digits)} digits)"


cdef str told(number):
    """Digits of a huge int are not even made: the interpreter refuses to."""
    bits = number.bit_length()
    return shortened(int.__repr__(number)) if bits <= MOST_BITS_TOLD else f"an int of {bits} bits"


cdef int64_t whole_number(str what, value, int64_t highest, str allowed) except -1:
    """A number from 0 to `highest`; read once, so that no __index__ can change its mind after the check."""
    cdef int overflow = 0
    cdef int64_t n
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{what} must be int or None, not {type(value).__name__}: {allowed}")
    number = PyNumber_Index(value)
    n = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow != 0 or not 0 <= n <= highest:
        raise ValueError(f"{what}={told(number)}: must be {allowed}")
    return n


cdef int64_t timestamp_of(value) except -1:
    return whole_number("timestamp_ms", value, 0x7FFFFFFFFFFFFFFF, "milliseconds since the epoch, 0 to 2**63-1")


cdef int32_t partition_of(value) except -1:
    return <int32_t>whole_number("partition", value, 0x7FFFFFFE, "from 0 to 2**31-2, or None")
