"""The only declaration of csrc to Cython."""
from libc.stdint cimport int16_t, int32_t, int64_t, intptr_t, uint8_t, uint32_t, uint64_t

cdef extern from "<stdbool.h>" nogil:
    ctypedef int c_bool "bool"

cdef extern from "kp_base.h" nogil:
    ctypedef int kp_status
    enum:
        KP_OK
        KP_AGAIN
        KP_FULL
        KP_ERR_NOMEM
        KP_ERR_INVALID
        KP_ERR_TOO_LARGE
        KP_ERR_MALFORMED
        KP_ERR_CODEC
        KP_ERR_CLOSED
        KP_ERR_STATE
        KP_ERR_IO

cdef extern from "kp_os.h" nogil:
    ctypedef intptr_t kp_handle
    int64_t KP_NEVER
    int64_t kp_clock_ns()
    void kp_socket_close(kp_handle h)
    void kp_wake_clear(kp_handle h)
    int64_t kp_wall_ms()

cdef extern from "kp_murmur2.h" nogil:
    int32_t kp_murmur2(const uint8_t *data, size_t n)
    int32_t kp_murmur2_partition(const uint8_t *key, size_t n, int32_t count)

cdef extern from "kp_crc32.h" nogil:
    uint32_t kp_crc32(uint32_t crc, const void *data, size_t n)

cdef extern from "kp_crc32c.h" nogil:
    uint32_t kp_crc32c(uint32_t crc, const void *data, size_t n)

cdef extern from "kp_varint.h" nogil:
    size_t kp_varint_size32(int32_t v)
    uint8_t *kp_varint_put32(uint8_t *p, int32_t v)
    kp_status kp_varint_get32(const uint8_t **p, const uint8_t *end, int32_t *out)

cdef extern from "kp_codec.h" nogil:
    int KP_CODEC_LEVEL_DEFAULT
    ctypedef struct kp_codec_lib:
        pass
    ctypedef void *(*kp_codec_resolve_fn)(void *arg, const char *symbol) noexcept
    kp_status kp_codec_lib_builtin(int codec, kp_codec_lib *out)
    kp_status kp_codec_lib_resolve(int codec, kp_codec_resolve_fn fn, void *arg, kp_codec_lib *out)

cdef extern from "kp_record.h" nogil:
    int64_t KP_NOW
    enum:
        KP_RECORD_MAX
    ctypedef struct kp_record:
        const uint8_t *key
        const uint8_t *value
        const uint8_t *headers
        int64_t key_len
        int64_t value_len
        int64_t headers_len
        int64_t timestamp_ms
    ctypedef struct kp_slice:
        const uint8_t *data
        int64_t len

cdef extern from "kp_arrow.h" nogil:
    ctypedef struct kp_arrow_schema:
        const char *format
        int64_t n_children
        kp_arrow_schema **children
        kp_arrow_schema *dictionary
        void (*release)(kp_arrow_schema *) noexcept nogil
    ctypedef struct kp_arrow_array:
        int64_t length
        int64_t n_children
        void (*release)(kp_arrow_array *) noexcept nogil
    ctypedef struct kp_arrow_stream:
        int (*get_schema)(kp_arrow_stream *, kp_arrow_schema *out) noexcept nogil
        int (*get_next)(kp_arrow_stream *, kp_arrow_array *out) noexcept nogil
        const char *(*get_last_error)(kp_arrow_stream *) noexcept nogil
        void (*release)(kp_arrow_stream *) noexcept nogil

cdef extern from "kp_columns.h" nogil:
    ctypedef enum kp_column_use:
        KP_COLUMN_BYTES
        KP_COLUMN_TIMESTAMPS
        KP_COLUMN_PARTITIONS
        KP_COLUMN_HEADERS
    ctypedef enum kp_column_layout:
        KP_ROWS_FIXED
        KP_ROWS_PADDED
        KP_ROWS_INTEGERS
    ctypedef struct kp_column:
        int64_t length
        int64_t multiplier
    ctypedef struct kp_column_fault:
        const char *text
        int64_t row
    void kp_column_from_memory(kp_column *c, kp_column_layout layout, const void *rows, int64_t length, int64_t stride,
                               int64_t width)
    kp_status kp_column_from_arrow(kp_column *c, kp_column_use use, const kp_arrow_schema *schema,
                                   const kp_arrow_array *array, kp_column_fault *fault)
    void kp_column_free(kp_column *c)
    int64_t kp_column_find_outside(const kp_column *c, int64_t least, int64_t most, int64_t *found)

cdef extern from "kp_rows.h" nogil:
    enum:
        KP_ROWS_BLOCK
    ctypedef struct kp_cursor:
        const kp_column *pieces
    ctypedef struct kp_rows:
        kp_cursor values
        kp_cursor keys
        kp_cursor timestamps
        kp_cursor partitions
        kp_cursor headers
        int64_t left
        kp_record same
        int32_t partition
        int64_t limit
    ctypedef struct kp_row_block:
        int32_t n
        kp_record *records
        int32_t *partitions
    kp_status kp_rows_next(kp_rows *rows, kp_row_block *block)
    void kp_rows_free(kp_rows *rows)

cdef extern from "kp_pool.h" nogil:
    ctypedef struct kp_chunk:
        uint8_t *data
        size_t size
    ctypedef struct kp_pool:
        size_t limit
    ctypedef struct kp_pool_waiter:
        kp_chunk granted
    void kp_pool_wait_begin(kp_pool *pool, kp_pool_waiter *w, size_t size)
    kp_status kp_pool_wait(kp_pool *pool, kp_pool_waiter *w, int64_t slice_deadline_ns)
    void kp_pool_wait_end(kp_pool *pool, kp_pool_waiter *w, bint timed_out)
    void kp_pool_give(kp_pool *pool, kp_chunk *chunk)
    ctypedef struct kp_pool_counts:
        size_t available
        uint64_t wait_ns
        uint64_t exhausted
        int waiting
    kp_pool_counts kp_pool_count(kp_pool *pool)

cdef extern from "kp_queue.h" nogil:
    ctypedef enum kp_msg_type:
        KP_EV_CONN_WANTED
        KP_EV_CONN_CLOSED
        KP_EV_BATCH_REFUSED
        KP_EV_PARTITION_QUIET
        KP_EV_EXPIRED
        KP_EV_METADATA_STALE
        KP_EV_TOPIC_WANTED
        KP_EV_THROTTLED
        KP_EV_STOPPED
        KP_EV_PUMP_FATAL
        KP_EV_TXN_PARTITION
        KP_EV_TXN_FAILED
        KP_EV_TXN_DRAINED
        KP_CMD_ADOPT
        KP_CMD_DROP
        KP_CMD_TOPIC
        KP_CMD_TOPIC_ERROR
        KP_CMD_FAIL_PARTITION
        KP_CMD_VERDICT
        KP_CMD_RESUME
        KP_CMD_PRODUCER_ID
        KP_CMD_FAIL_ALL
        KP_CMD_STOP
        KP_CMD_TXN_BEGIN
        KP_CMD_TXN_ALLOW
        KP_CMD_TXN_SEAL
        KP_CMD_TXN_DROP
    ctypedef enum kp_action:
        KP_ACK
    ctypedef struct kp_leader:
        int32_t node
        int32_t epoch
    ctypedef struct kp_msg:
        kp_msg *next
        kp_msg_type type
        kp_topic *topic
        int32_t partition
        uint32_t hold_gen
        uint32_t txn_gen
        int32_t node
        int32_t conn_gen
        int32_t code
        char *message
        uint64_t batch_id
        int32_t attempts
        int32_t records
        int32_t count
        int64_t offset
        int64_t producer_id
        int16_t producer_epoch
        int64_t delay_ns
        bint flag_a
        bint flag_b
        int32_t persisted
        kp_action action
        kp_handle handle
        int16_t version
        bint has_id
        uint8_t *id
        kp_leader *leaders
        kp_record_error *record_errors
        int32_t n_record_errors
        kp_leader hint
        char *hint_host
        int32_t hint_port
    ctypedef struct kp_queue:
        pass
    kp_msg *kp_msg_new(kp_msg_type type)
    void kp_msg_free(kp_msg *m)
    kp_msg *kp_queue_take_all(kp_queue *q)

cdef extern from "kp_result.h" nogil:
    ctypedef enum kp_state:
        KP_PENDING
        KP_DELIVERED
        KP_FAILED
        KP_SPLIT_UP
    enum:
        KP_CODE_EXPIRED
        KP_CODE_CLOSED
        KP_CODE_OUT_OF_MEMORY
        KP_CODE_INTERNAL
        KP_CODE_TXN_ABORTED
        KP_CODE_TXN_REFUSED
        KP_CODE_DROPPED
    ctypedef struct kp_listener:
        void *object
        int32_t index
        int32_t key_size
        int32_t value_size
        int64_t timestamp_ms
    ctypedef struct kp_record_error:
        int32_t index
        int32_t code
        char *message
    ctypedef struct kp_failure:
        int32_t code
        int32_t cause
        int persisted
        int32_t attempts
        int32_t node
        int64_t elapsed_ns
        char *message
    ctypedef struct kp_result:
        kp_core *core
        kp_partition *partition
        int32_t count
        int64_t base_offset
        int64_t log_append_ms
        kp_failure failure
        kp_record_error *record_errors
        int32_t n_record_errors
        kp_listener *listeners
        int32_t n_listeners
        kp_dead_letters *dead_letters
        kp_result *next
    void kp_result_retain(kp_result *r)
    void kp_result_release(kp_result *r)
    kp_result *kp_result_resolve(kp_result *r, int32_t *index)
    const kp_record_error *kp_result_record_error(const kp_result *r, int32_t index)
    kp_state kp_result_state(kp_result *r)
    char *kp_strdup(const char *text, size_t n)

cdef extern from "kp_stats.h" nogil:
    ctypedef struct kp_counter:
        pass
    enum:
        KP_HIST_BUCKETS
        KP_H_QUEUE
        KP_H_REQUEST
        KP_H_DELIVERY
        KP_HIST_COUNT
        KP_COUNTER_COUNT
        KP_PARTITION_COUNTER_COUNT
        KP_NODE_COUNTER_COUNT
        KP_MAX_COUNT
        KP_C_flush_ns
        KP_C_metadata_wait_ns
    ctypedef struct kp_max:
        kp_counter run
        kp_counter window
    ctypedef struct kp_hist:
        kp_counter *buckets
        kp_counter sum_ns
        kp_max max_ns
    ctypedef struct kp_node_stats:
        kp_node_stats *next
        int32_t id
        kp_counter *counters
        kp_max request_bytes
        kp_max throttle_ns
        kp_hist latency
    ctypedef struct kp_stats:
        kp_counter *counters
        kp_max *maxima
        kp_hist *hists
        kp_node_stats *nodes
    ctypedef int kp_counter_id
    ctypedef int kp_partition_counter_id
    ctypedef int kp_node_counter_id
    ctypedef int kp_max_id
    const char *kp_counter_name(kp_counter_id id)
    const char *kp_partition_counter_name(kp_partition_counter_id id)
    const char *kp_node_counter_name(kp_node_counter_id id)
    const char *kp_max_name(kp_max_id id)
    void kp_counter_add(kp_counter *c, uint64_t n)
    uint64_t kp_max_take(kp_max *m)
    int64_t kp_hist_bucket_limit_us(int bucket)
    uint64_t kp_counter_get(const kp_counter *c)

cdef extern from "kp_core.h" nogil:
    ctypedef int kp_key_hash
    enum:
        KP_HASH_NONE
    int64_t KP_IGNORE_KEYS
    ctypedef struct kp_partitioner:
        kp_key_hash hash
        int64_t least_key_len
    ctypedef struct kp_config:
        const char *client_id
        const char *transactional_id
        int16_t acks
        bint idempotent
        int32_t retries
        int32_t max_in_flight
        size_t batch_size
        size_t buffer_memory
        size_t max_request_size
        size_t max_response_bytes
        int64_t linger_ns
        int64_t request_timeout_ns
        int64_t delivery_timeout_ns
        int64_t idle_ns
        int codec
        int codec_level
        kp_codec_lib codec_lib
        bint drops_oldest
        kp_partitioner partitioner
        c_bool is_adaptive
        int64_t availability_timeout_ns
        size_t dead_letter_bytes
    ctypedef struct kp_partition:
        kp_topic *topic
        int32_t index
        kp_counter *counters
    ctypedef struct kp_partition_table:
        int32_t count
        kp_partition **items
    ctypedef struct kp_topic:
        char *name
        size_t name_len
        kp_topic *next
        bint takes_dead_letters
    ctypedef struct kp_topic_counts:
        uint64_t *sums
        uint64_t most_records
        int32_t partitions
    kp_topic_counts kp_topic_count(kp_topic *topic)
    ctypedef enum kp_life:
        KP_OPEN
        KP_CLOSING
        KP_CLOSED
        KP_FATAL
        KP_FORKED
    ctypedef struct kp_core:
        kp_config config
        kp_failure fatal
        kp_pool pool
        kp_queue events
        kp_stats stats
        uint64_t finished_put
    ctypedef struct kp_unobserved:
        kp_partition *partition
        int64_t count
        kp_result *first
    kp_core *kp_core_new(const kp_config *config, kp_handle pump_wake, kp_handle event_wake)
    void kp_core_retain(kp_core *core)
    void kp_core_release(kp_core *core)
    kp_topic *kp_core_topic(kp_core *core, const char *name, size_t n)
    int32_t kp_topic_live(kp_topic *t)
    kp_partition_table *kp_topic_table(kp_topic *t)
    bint kp_topic_take_used(kp_topic *t)
    kp_topic *kp_core_first_topic(kp_core *core)
    void kp_core_hurry(kp_core *core)
    void kp_core_command(kp_core *core, kp_msg *command)
    uint32_t kp_flush_begin(kp_core *core)
    kp_status kp_flush_wait(kp_core *core, uint32_t ticket, int64_t slice_deadline_ns)
    void kp_flush_end(kp_core *core)
    kp_status kp_result_wait(kp_core *core, kp_result *r, int32_t index, int64_t slice_deadline_ns)
    kp_status kp_result_listen(kp_core *core, kp_result *r, const kp_listener *l)
    void kp_result_unwatch(kp_result *r, int32_t index)
    void kp_result_unwatch_run(kp_result *r, int32_t first, int32_t n)
    kp_status kp_core_take_unobserved(kp_core *core, kp_unobserved **out, int32_t *n)
    kp_result *kp_core_take_finished(kp_core *core, int64_t slice_deadline_ns, c_bool *stopped)
    void kp_core_finished_done(kp_core *core, uint64_t n)
    uint64_t kp_core_finished_ticket(kp_core *core)
    kp_status kp_core_wait_delivered(kp_core *core, uint64_t ticket, int64_t slice_deadline_ns)
    void kp_core_stop_delivery(kp_core *core)
    kp_status kp_topic_wait(kp_topic *topic, int32_t partition, uint64_t error_gen, int64_t slice_deadline_ns)
    uint64_t kp_topic_want(kp_topic *topic, int32_t partitions)
    int32_t kp_topic_error(kp_topic *topic, char **message)
    void kp_core_close_appends(kp_core *core)
    void kp_core_abandon(kp_core *core)
    void kp_core_end(kp_core *core, kp_life life, const kp_failure *f)
    kp_life kp_core_life(kp_core *core)

cdef extern from "kp_route.h" nogil:
    kp_status kp_partitioner_named(const char *name, kp_partitioner *out)
    uint32_t kp_route_hash(kp_key_hash hash, const uint8_t *key, int64_t key_len)

cdef extern from "kp_txn.h" nogil:
    bint kp_is_transactional(const kp_core *core)
    kp_status kp_txn_check(kp_core *core)
    void kp_txn_open(kp_core *core, uint32_t gen, bint tells)
    void kp_txn_close(kp_core *core, const kp_failure *why)
    void kp_txn_forget(kp_core *core)
    uint32_t kp_txn_current(kp_core *core)
    void kp_txn_refuse(kp_core *core, uint32_t gen, const kp_failure *failure, kp_topic *topic)
    bint kp_txn_failure(kp_core *core, kp_failure *out)

cdef extern from "kp_dead_letters.h" nogil:
    ctypedef struct kp_dead_letters:
        int32_t count
    c_bool kp_dead_letters_next(const kp_dead_letters *kept, const uint8_t **p, kp_record *out)
    void kp_dead_letters_release(kp_core *core, kp_result *r)

cdef extern from "kp_many.h" nogil:
    ctypedef struct kp_many_run:
        kp_result *result
        int32_t first
        int32_t n
    ctypedef struct kp_many_span:
        kp_partition *partition
        int64_t offset
        int64_t n
    ctypedef struct kp_many_spans:
        kp_many_span *items
        int64_t n
    ctypedef struct kp_many:
        int64_t count
        kp_many_run *runs
        int64_t n_runs
        kp_result **held
        int32_t n_partitions
    kp_status kp_many_note(kp_many *m, kp_result *result, int32_t partition, int32_t index, int32_t n)
    void kp_many_free(kp_many *m, bint unwatched)
    kp_status kp_many_failed_rows(const kp_many *m, int64_t **rows, int64_t *n)
    kp_status kp_many_delivered(const kp_many *m, kp_many_spans *out)

cdef extern from "kp_accumulator.h" nogil:
    ctypedef struct kp_place:
        kp_result *result
        int32_t partition
        int32_t index
        int64_t timestamp_ms
    ctypedef struct kp_append_options:
        int32_t partition
        bint want_result
        kp_result **held
        int32_t n_held
        const kp_listener *listener
        c_bool only_notes
        uint32_t txn_gen
        kp_chunk *spare
    kp_status kp_append(kp_topic *topic, kp_record *record, const kp_append_options *options,
                        kp_place *place, size_t *needed)
    kp_status kp_append_plain(kp_topic *topic, const uint8_t *key, int64_t key_len, const uint8_t *value,
                              int64_t value_len, kp_place *place)
    kp_status kp_append_heard(kp_topic *topic, const uint8_t *key, int64_t key_len, const uint8_t *value,
                              int64_t value_len, const kp_listener *listener, kp_place *place)
    int32_t kp_append_run(kp_topic *topic, const kp_slice *values, int32_t n, const kp_append_options *options,
                          kp_place *place)
    int32_t kp_append_records(kp_topic *topic, kp_record *records, const int32_t *partitions, int32_t n, kp_many *many)
    size_t kp_record_limit(const kp_core *core)

cdef extern from "kp_pump.h" nogil:
    ctypedef struct kp_io:
        pass
    ctypedef struct kp_pump:
        pass
    const kp_io kp_pump_sockets
    kp_status kp_pump_new(kp_core *core, const kp_io *io, kp_handle wake_read, kp_pump **out)
    void kp_pump_free(kp_pump *pump)
    kp_status kp_pump_start(kp_pump *pump)
    void kp_pump_join(kp_pump *pump)
