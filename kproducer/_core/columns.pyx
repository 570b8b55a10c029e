# cython: language_level=3, freethreading_compatible=True
"""The columns of send_columns(): buffers and Arrow's capsules, taken, checked and given back; csrc reads their rows."""
import re

from cpython.buffer cimport PyBUF_RECORDS_RO, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from kproducer._core.arguments cimport bytes_or_none, decode_headers, encode_headers, partition_of, timestamp_of
from kproducer._core.csrc cimport (
    KP_COLUMN_BYTES,
    KP_COLUMN_HEADERS,
    KP_COLUMN_PARTITIONS,
    KP_COLUMN_TIMESTAMPS,
    KP_ERR_INVALID,
    KP_ERR_MALFORMED,
    KP_NOW,
    KP_RECORD_MAX,
    KP_ROWS_FIXED,
    KP_ROWS_INTEGERS,
    KP_ROWS_PADDED,
    kp_arrow_array,
    kp_arrow_schema,
    kp_arrow_stream,
    kp_column,
    kp_column_fault,
    kp_column_find_outside,
    kp_column_free,
    kp_column_from_arrow,
    kp_column_from_memory,
    kp_column_use,
    kp_cursor,
    kp_record,
    kp_rows_free,
    kp_rows_next,
    kp_status,
)
from kproducer._core.status cimport check

from kproducer.types import ProducerRecord


cdef dict ARROW_NAMES = {
    "n": "null", "b": "bool", "c": "int8", "C": "uint8", "s": "int16", "S": "uint16", "i": "int32", "I": "uint32",
    "l": "int64", "L": "uint64", "e": "float16", "f": "float", "g": "double", "z": "binary", "Z": "large_binary",
    "u": "utf8", "U": "large_utf8", "vz": "binary_view", "vu": "utf8_view", "w": "fixed_size_binary", "d": "decimal",
    "tdD": "date32", "tdm": "date64", "tts": "time32", "ttm": "time32", "ttu": "time64", "ttn": "time64",
    "tss": "timestamp", "tsm": "timestamp", "tsu": "timestamp", "tsn": "timestamp", "tDs": "duration",
    "tDm": "duration", "tDu": "duration",
    "tDn": "duration", "tiM": "interval", "tiD": "interval", "tin": "interval", "+l": "list",
    "+L": "large_list", "+vl": "list_view", "+vL": "large_list_view", "+w": "fixed_size_list", "+m": "map",
    "+s": "struct", "+ud": "union", "+us": "union", "+r": "run_end_encoded",
}
cdef dict ALLOWED = {
    KP_COLUMN_BYTES: "binary, utf8, their large and view kinds, fixed_size_binary, a dictionary of these, or null",
    KP_COLUMN_TIMESTAMPS: "timestamp of any unit, int64 of milliseconds, or null",
    KP_COLUMN_PARTITIONS: "int32, int64 or null",
    KP_COLUMN_HEADERS: "list<struct<key: utf8, value: binary>>, its large kind, map<utf8, binary>, or null",
}
cdef object FIELD_NAMES = re.compile(r":[^:]*:")
cdef object PADDED_BYTES = re.compile(r"[@=<>!|]?[0-9]*s")
cdef object WHOLE_NUMBERS = re.compile(r"[@=]?[ilq]")
cdef str NOT_A_COLUMN = "must be a column: Arrow data, or a NumPy array or another buffer with a row for each record"


def is_column(data):
    """Whether send_columns() takes it for a column: Arrow data by capsule, or a buffer with rows.

    bytes, bytearray and str are none, nor are arrays of Python objects: to these a row is a value like any other.
    """
    cdef Py_buffer view
    if isinstance(data, (bytes, bytearray)):
        return False
    if has_capsules(data):
        return True
    if not PyObject_CheckBuffer(data):
        return False
    try:
        PyObject_GetBuffer(data, &view, PyBUF_RECORDS_RO)
    except (BufferError, ValueError):
        return False
    try:
        return view.ndim > 0 and "O" not in form_of(&view)
    finally:
        PyBuffer_Release(&view)


def read_columns(topic, values, keys=None, headers=None, partitions=None, timestamps_ms=None):
    """Iterate over the ProducerRecords that send_columns() makes of the same columns, with the same checks of these.

    For tests, and for what wants to see rows as objects.
    """
    return make_rows(topic, values, keys, headers, partitions, timestamps_ms, KP_RECORD_MAX)


cdef bint has_capsules(data):
    return hasattr(type(data), "__arrow_c_array__") or hasattr(type(data), "__arrow_c_stream__")


cdef str form_of(const Py_buffer *view):
    """A buffer's format without the names of fields."""
    return "B" if view.format is NULL else FIELD_NAMES.sub("", view.format.decode("utf-8", "replace"))


cdef Py_ssize_t stride_of(const Py_buffer *view, int dimension):
    """From one place to the next; ctypes leaves out what it is asked for, as its arrays are contiguous."""
    cdef Py_ssize_t stride = view.itemsize
    cdef int i
    if view.strides is not NULL:
        return view.strides[dimension]
    for i in range(dimension + 1, view.ndim):
        stride *= view.shape[i]
    return stride


cdef str name_of(const kp_arrow_schema *schema):
    if schema.format is NULL:
        return "unknown"
    text = schema.format.decode("utf-8", "replace")
    name = ARROW_NAMES.get(text.partition(":")[0], "unknown")
    if schema.dictionary is not NULL:
        return f"dictionary<{name}, {name_of(schema.dictionary)}>"
    if schema.n_children == 1:
        return f"{name}<{name_of(schema.children[0])}> (format {text!r})"
    return f"{name} (format {text!r})"


cdef class Column:
    """One column: memory of its owner, given back exactly once, when this object goes."""

    def __cinit__(self, what, kp_column_use use):
        self.what = what
        self.use = use

    def __dealloc__(self):
        cdef int64_t i
        for i in range(self.n_pieces):
            kp_column_free(&self.pieces[i])
        for i in range(self.n_arrays):
            if self.arrays[i].release is not NULL:
                self.arrays[i].release(&self.arrays[i])
        if self.schema.release is not NULL:
            self.schema.release(&self.schema)
        if self.stream.release is not NULL:
            self.stream.release(&self.stream)
        if self.has_view:
            PyBuffer_Release(&self.view)
        free(self.pieces)
        free(self.arrays)

    cdef int read(self, data) except -1:
        if hasattr(type(data), "__arrow_c_array__"):
            return self.read_array(tuple(data.__arrow_c_array__()))
        if hasattr(type(data), "__arrow_c_stream__"):
            return self.read_stream(data.__arrow_c_stream__())
        if isinstance(data, (bytes, bytearray, str)) or not PyObject_CheckBuffer(data):
            raise TypeError(f"{self.what} {NOT_A_COLUMN}, not {type(data).__name__}")
        return self.read_buffer(data)

    # --- Arrow: a structure is moved out of its capsule, whose destructor then finds it released ---

    cdef int read_array(self, tuple capsules) except -1:
        cdef kp_arrow_schema *schema
        cdef kp_arrow_array *array
        if len(capsules) != 2:
            raise ValueError(f"{self.what}: __arrow_c_array__ returned {len(capsules)} capsules instead of 2")
        self.make_room()
        schema = <kp_arrow_schema *>PyCapsule_GetPointer(capsules[0], "arrow_schema")
        array = <kp_arrow_array *>PyCapsule_GetPointer(capsules[1], "arrow_array")
        if schema.release is NULL or array.release is NULL:
            raise ValueError(f"{self.what}: the Arrow array was released already")
        self.schema = schema[0]
        schema.release = NULL
        self.arrays[0] = array[0]
        array.release = NULL
        self.n_arrays = 1
        return self.read_piece()

    cdef int read_stream(self, capsule) except -1:
        """All of it, before anything is sent: lengths are compared and every piece is checked first."""
        cdef kp_arrow_stream *stream = <kp_arrow_stream *>PyCapsule_GetPointer(capsule, "arrow_array_stream")
        cdef int code
        if stream.release is NULL:
            raise ValueError(f"{self.what}: the Arrow stream was released already")
        self.stream = stream[0]
        stream.release = NULL
        with nogil:
            code = self.stream.get_schema(&self.stream, &self.schema)
        if code != 0:
            self.schema.release = NULL  # whatever was left there is not ours
        self.ask_stream(code)
        while True:
            self.make_room()
            with nogil:
                code = self.stream.get_next(&self.stream, &self.arrays[self.n_arrays])
            self.ask_stream(code)
            if self.arrays[self.n_arrays].release is NULL:
                return 0
            self.n_arrays += 1
            self.read_piece()

    cdef int ask_stream(self, int code) except -1:
        cdef const char *text
        if code == 0:
            return 0
        text = self.stream.get_last_error(&self.stream)
        why = "no reason given" if text is NULL else text.decode("utf-8", "replace")
        raise OSError(code, f"{self.what}: the Arrow stream failed: {why}")

    cdef int make_room(self) except -1:
        cdef int64_t cap = max(4, 2 * self.cap)
        cdef void *grown
        if self.n_arrays < self.cap:
            return 0
        grown = realloc(self.arrays, cap * sizeof(kp_arrow_array))
        if grown is NULL:
            raise MemoryError
        self.arrays = <kp_arrow_array *>grown
        grown = realloc(self.pieces, cap * sizeof(kp_column))
        if grown is NULL:
            raise MemoryError
        self.pieces = <kp_column *>grown
        memset(&self.arrays[self.cap], 0, (cap - self.cap) * sizeof(kp_arrow_array))
        self.cap = cap
        return 0

    cdef int read_piece(self) except -1:
        """The array that came last."""
        cdef kp_column_fault fault
        cdef kp_status status
        with nogil:
            status = kp_column_from_arrow(&self.pieces[self.n_pieces], self.use, &self.schema,
                                          &self.arrays[self.n_arrays - 1], &fault)
        if status == KP_ERR_INVALID:
            hint = "; of a table give each column by itself" if self.schema.format == b"+s" else ""
            raise TypeError(f"{self.what}: the Arrow type {name_of(&self.schema)} is not taken here: "
                            f"must be {ALLOWED[self.use]}{hint}")
        if status == KP_ERR_MALFORMED:
            row = "" if fault.row < 0 else f" at row {self.length + fault.row}"
            raise ValueError(f"{self.what}: the Arrow array is malformed{row}: {fault.text.decode()}")
        check(status)
        self.n_pieces += 1
        self.check_numbers()
        self.length += self.pieces[self.n_pieces - 1].length
        return 0

    # --- buffers ---

    cdef int read_buffer(self, data) except -1:
        try:
            PyObject_GetBuffer(data, &self.view, PyBUF_RECORDS_RO)
        except (BufferError, ValueError) as error:  # dates of NumPy, for one
            raise TypeError(f"{self.what} {NOT_A_COLUMN}; this {type(data).__name__} cannot be one: {error}") from None
        self.has_view = True
        if self.view.ndim < 1:
            raise TypeError(f"{self.what} {NOT_A_COLUMN}, not a single value")
        if self.use == KP_COLUMN_HEADERS:
            raise TypeError(f"headers: a {type(data).__name__} holds none: must be (key, value) pairs for all rows, or "
                            f"Arrow's {ALLOWED[self.use]}")
        self.make_room()
        form = form_of(&self.view)
        if self.use == KP_COLUMN_BYTES:
            self.read_bytes(form)
        else:
            self.read_numbers(form)
        self.n_pieces = 1
        self.check_numbers()
        self.length = self.view.shape[0]
        return 0

    cdef int read_bytes(self, str form) except -1:
        cdef Py_ssize_t width = self.view.itemsize
        cdef int i
        if "O" in form:
            raise TypeError(f"{self.what}: an array of Python objects is no column; send_many() takes it as it is")
        if "w" in form or "u" in form:
            raise TypeError(f"{self.what}: text of four bytes a character is hardly what is meant: "
                            "np.char.encode(array), or an Arrow array, is UTF-8")
        if self.view.ndim == 1 and form in ("B", "c", "<B", "<c"):
            raise TypeError(f"{self.what}: a single block of bytes has no rows: "
                            "give it a second dimension, or use send_lines()")
        for i in range(self.view.ndim - 1, 0, -1):
            if stride_of(&self.view, i) != width and self.view.shape[i] > 1:
                raise ValueError(f"{self.what}: the bytes of a row must be contiguous: "
                                 "numpy.ascontiguousarray() copies them so")
            width *= self.view.shape[i]
        layout = KP_ROWS_PADDED if self.view.ndim == 1 and PADDED_BYTES.fullmatch(form) else KP_ROWS_FIXED
        kp_column_from_memory(&self.pieces[0], layout, self.view.buf, self.view.shape[0], stride_of(&self.view, 0),
                              width)
        return 0

    cdef int read_numbers(self, str form) except -1:
        is_wide_enough = self.view.itemsize == 8 or (self.view.itemsize == 4 and self.use == KP_COLUMN_PARTITIONS)
        if self.view.ndim != 1 or not is_wide_enough or not WHOLE_NUMBERS.fullmatch(form):
            raise TypeError(f"{self.what}: a buffer of {self.view.ndim} dimensions and format {form!r} is not taken "
                            f"here: must be one dimension of {ALLOWED[self.use]}")
        kp_column_from_memory(&self.pieces[0], KP_ROWS_INTEGERS, self.view.buf, self.view.shape[0],
                              stride_of(&self.view, 0), self.view.itemsize)
        return 0

    cdef int check_numbers(self) except -1:
        """The last piece; numbers are looked at as they stand, before they become milliseconds."""
        cdef const kp_column *piece = &self.pieces[self.n_pieces - 1]
        cdef int64_t row, most
        cdef int64_t found = 0
        if self.use == KP_COLUMN_PARTITIONS:
            most = 0x7FFFFFFE
            allowed = "from 0 to 2**31-2, or null"
        elif self.use == KP_COLUMN_TIMESTAMPS:
            most = 0x7FFFFFFFFFFFFFFF // max(1, piece.multiplier)
            allowed = "milliseconds since the epoch, 0 to 2**63-1, or null"
        else:
            return 0
        with nogil:
            row = kp_column_find_outside(piece, 0, most, &found)
        if row >= 0:
            raise ValueError(f"{self.what}: row {self.length + row} is {found}: must be {allowed}")
        return 0


cdef class Rows:
    """Columns side by side: for the append as blocks of C records, for whoever iterates as ProducerRecords."""

    def __dealloc__(self):
        kp_rows_free(&self.rows)

    cdef int add(self, str what, kp_column_use use, data, kp_cursor *cursor) except -1:
        cdef Column column = Column(what, use)
        column.read(data)
        if self.columns and column.length != self.length:
            raise ValueError(f"values has {self.length} rows, {what} has {column.length}")
        self.length = column.length
        self.columns.append(column)
        cursor.pieces = column.pieces
        return 0

    cdef int read_block(self) except -1:
        """The next rows; block.n is 0 at the end."""
        self.at = 0
        check(kp_rows_next(&self.rows, &self.block))
        return 0

    def __iter__(self):
        return self

    def __next__(self):
        cdef kp_record *record
        cdef int32_t partition
        if self.at == self.block.n:
            self.read_block()
        if self.block.n == 0:
            raise StopIteration
        record = &self.block.records[self.at]
        partition = self.block.partitions[self.at]
        if record.headers_len > KP_RECORD_MAX:
            raise ValueError(f"headers: those of a row have {record.headers_len} bytes: no record can hold them")
        self.at += 1
        return ProducerRecord(
            self.topic,
            bytes_or_none(record.value, record.value_len),
            bytes_or_none(record.key, record.key_len),
            decode_headers(record) if self.rows.headers.pieces is not NULL else self.same_headers,
            None if partition < 0 else partition,
            None if record.timestamp_ms == KP_NOW else record.timestamp_ms,
        )


cdef Rows make_rows(str topic, values, keys, headers, partitions, timestamps_ms, int64_t limit):
    """limit: headers of more bytes are not encoded, since the append refuses their record."""
    cdef Rows made = <Rows>Rows.__new__(Rows)
    made.topic = topic
    made.columns = []
    made.rows.limit = limit
    made.rows.partition = -1
    made.rows.same.timestamp_ms = KP_NOW
    made.rows.same.key_len = -1
    made.add("values", KP_COLUMN_BYTES, values, &made.rows.values)
    if keys is not None:
        made.add("keys", KP_COLUMN_BYTES, keys, &made.rows.keys)
    if is_column(partitions):
        made.add("partitions", KP_COLUMN_PARTITIONS, partitions, &made.rows.partitions)
    elif partitions is not None:
        made.rows.partition = partition_of(partitions)
    if is_column(timestamps_ms):
        made.add("timestamps_ms", KP_COLUMN_TIMESTAMPS, timestamps_ms, &made.rows.timestamps)
    elif timestamps_ms is not None:
        made.rows.same.timestamp_ms = timestamp_of(timestamps_ms)
    if is_column(headers):
        made.add("headers", KP_COLUMN_HEADERS, headers, &made.rows.headers)
    elif headers:
        made.same_headers = headers
        made.encoded_headers = encode_headers(headers)
        made.rows.same.headers = <const uint8_t *>PyBytes_AS_STRING(made.encoded_headers)
        made.rows.same.headers_len = PyBytes_GET_SIZE(made.encoded_headers)
    made.rows.left = made.length
    return made
