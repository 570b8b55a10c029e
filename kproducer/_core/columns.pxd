from cpython.buffer cimport Py_buffer

from kproducer._core.csrc cimport (
    int64_t,
    kp_arrow_array,
    kp_arrow_schema,
    kp_arrow_stream,
    kp_column,
    kp_column_use,
    kp_cursor,
    kp_row_block,
    kp_rows,
)

cdef class Column:
    cdef str what
    cdef kp_column_use use
    cdef int64_t length
    cdef kp_column *pieces
    cdef int64_t n_pieces
    cdef kp_arrow_array *arrays  # of the pieces, and perhaps one more, which was found bad
    cdef int64_t n_arrays
    cdef int64_t cap
    cdef kp_arrow_schema schema
    cdef kp_arrow_stream stream
    cdef Py_buffer view
    cdef bint has_view
    cdef int read(self, data) except -1
    cdef int read_array(self, tuple capsules) except -1
    cdef int read_stream(self, capsule) except -1
    cdef int ask_stream(self, int code) except -1
    cdef int make_room(self) except -1
    cdef int read_piece(self) except -1
    cdef int read_buffer(self, data) except -1
    cdef int read_bytes(self, str form) except -1
    cdef int read_numbers(self, str form) except -1
    cdef int check_numbers(self) except -1

cdef class Rows:
    cdef kp_rows rows
    cdef kp_row_block block
    cdef int at  # rows of the block that were taken out as objects
    cdef str topic
    cdef object same_headers
    cdef bytes encoded_headers
    cdef list columns
    cdef int64_t length
    cdef int add(self, str what, kp_column_use use, data, kp_cursor *cursor) except -1
    cdef int read_block(self) except -1

cdef Rows make_rows(str topic, values, keys, headers, partitions, timestamps_ms, int64_t limit)
