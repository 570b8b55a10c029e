# cython: language_level=3, freethreading_compatible=True
"""The hash functions of Kafka's partitioners and batches, for users and tests."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t

from kproducer._core.csrc cimport (
    KP_HASH_NONE,
    KP_OK,
    kp_crc32,
    kp_crc32c,
    kp_murmur2,
    kp_murmur2_partition,
    kp_partitioner,
    kp_partitioner_named,
    kp_route_hash,
)


def murmur2(data) -> int:
    """Return Kafka's murmur2 of a bytes-like object, as a signed 32-bit number."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return kp_murmur2(<const uint8_t *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


def murmur2_partition(key, int partition_count) -> int:
    """Return the partition where every Java client puts this key."""
    cdef Py_buffer view
    if partition_count < 1:
        raise ValueError(f"partition_count={partition_count}: must be at least 1")
    PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
    try:
        return kp_murmur2_partition(<const uint8_t *>view.buf, view.len, partition_count)
    finally:
        PyBuffer_Release(&view)


def key_hash(str partitioner, key):
    """Return the number of a key that is taken modulo the count of partitions, None if the key does not decide."""
    cdef kp_partitioner found
    cdef Py_buffer view
    if kp_partitioner_named(partitioner.encode(), &found) != KP_OK:
        raise ValueError(f"there is no partitioner {partitioner!r}")
    if key is None:
        if found.least_key_len >= 0 or found.hash == KP_HASH_NONE:
            return None
        return kp_route_hash(found.hash, NULL, -1)
    PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
    try:
        if view.len < found.least_key_len or found.hash == KP_HASH_NONE:
            return None
        return kp_route_hash(found.hash, <const uint8_t *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


def crc32c(data, crc: int = 0) -> int:
    """Return the CRC-32C of a bytes-like object; `crc` goes on from an earlier result."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return kp_crc32c(crc, view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


def crc32(data, crc: int = 0) -> int:
    """Return the CRC-32 (zlib's) of a bytes-like object; `crc` goes on from an earlier result."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return kp_crc32(crc, view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
