/* A Kafka "broker" that only acknowledges, so that a benchmark measures the client and not a log.
 *
 * One thread, one epoll, loopback only.  It answers ApiVersions, Metadata, InitProducerId and Produce, counts
 * what arrives from the batch headers, and verifies one batch in N (CRC-32C, record count).  Commands come on
 * stdin, one a line, and each is answered by one JSON line on stdout; the end of stdin ends the process, so it
 * never outlives the run that started it.
 *
 * Every length of a request is checked against the bytes that are left; a request that does not parse closes
 * its connection and is counted in `malformed`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    API_PRODUCE = 0,
    API_FETCH = 1,
    API_METADATA = 3,
    API_FIND_COORDINATOR = 10,
    API_VERSIONS = 18,
    API_INIT_PRODUCER_ID = 22,
};

enum {
    ERR_NONE = 0,
    ERR_CORRUPT_MESSAGE = 2,
    ERR_UNKNOWN_TOPIC_OR_PARTITION = 3,
    ERR_UNSUPPORTED_VERSION = 35,
    ERR_INVALID_RECORD = 87,
    ERR_UNKNOWN_TOPIC_ID = 100,
};

enum {
    NODE_ID = 1,
    MAX_FRAME = 100 * 1024 * 1024, /* Kafka's socket.request.max.bytes */
    READ_BUFFER = 512 * 1024,      /* stays in the L2 cache, so that reading costs the sink little */
    READ_ROOM = 128 * 1024,        /* below this much room the unread rest moves to the front */
    TOPIC_ID_SIZE = 16,
    BATCH_HEADER = 61,
    BATCH_CRC_START = 21, /* the CRC covers the batch from `attributes` on */
    MAX_EVENTS = 64,
    COMMAND_SIZE = 256,
};

/* ---- small tools ---- */

static void die(const char *what)
{
    fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *grown(void *old, size_t size)
{
    void *p = realloc(old, size);
    if (p == NULL)
        die("out of memory");
    return p;
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    double whole = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec);
    return whole + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- CRC-32C, eight tables: one batch in N is verified, so portable code is fast enough ---- */

static uint32_t crc_table[8][256]; /* written once by crc_init */

static void crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = (c >> 1) ^ (0x82F63B78u & (0u - (c & 1u)));
        crc_table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            crc_table[t][i] = (crc_table[t - 1][i] >> 8) ^ crc_table[0][crc_table[t - 1][i] & 0xff];
}

static uint32_t crc32c(const uint8_t *p, size_t n)
{
    uint32_t c = 0xFFFFFFFFu;
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t lo = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        c = crc_table[7][lo & 0xff] ^ crc_table[6][lo >> 8 & 0xff] ^ crc_table[5][lo >> 16 & 0xff] ^
            crc_table[4][lo >> 24] ^ crc_table[3][p[4]] ^ crc_table[2][p[5]] ^ crc_table[1][p[6]] ^
            crc_table[0][p[7]];
    }
    for (; n > 0; p++, n--)
        c = (c >> 8) ^ crc_table[0][(c ^ *p) & 0xff];
    return ~c;
}

/* ---- reader: a bounds-checked cursor; the first overrun makes it `failed` and every later read gives 0 ---- */

typedef struct {
    const uint8_t *p, *end;
    bool failed;
} reader;

static const uint8_t *take(reader *r, size_t n)
{
    if (r->failed || n > (size_t)(r->end - r->p)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->p;
    r->p += n;
    return at;
}

static uint64_t read_be(reader *r, size_t n)
{
    const uint8_t *p = take(r, n);
    uint64_t v = 0;
    for (size_t i = 0; p != NULL && i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static int8_t read_i8(reader *r) { return (int8_t)read_be(r, 1); }
static int16_t read_i16(reader *r) { return (int16_t)read_be(r, 2); }
static int32_t read_i32(reader *r) { return (int32_t)read_be(r, 4); }
static int64_t read_i64(reader *r) { return (int64_t)read_be(r, 8); }

static uint32_t read_uvarint(reader *r)
{
    uint32_t v = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        const uint8_t *p = take(r, 1);
        if (p == NULL)
            return 0;
        v |= (uint32_t)(*p & 0x7f) << shift;
        if ((*p & 0x80) == 0)
            return v;
    }
    r->failed = true;
    return 0;
}

static int32_t read_varint(reader *r)
{
    uint32_t u = read_uvarint(r);
    return (int32_t)((u >> 1) ^ (0u - (u & 1u)));
}

static void skip_tags(reader *r)
{
    for (uint32_t n = read_uvarint(r); n > 0 && !r->failed; n--) {
        read_uvarint(r);
        take(r, read_uvarint(r));
    }
}

/* Elements of an array, -1 for null; each takes at least one byte, so a count beyond the bytes left is refused. */
static int32_t read_count(reader *r, bool flexible)
{
    int64_t n = flexible ? (int64_t)read_uvarint(r) - 1 : read_i32(r);
    if (n < -1 || n > r->end - r->p)
        r->failed = true;
    return r->failed ? 0 : (int32_t)n;
}

typedef struct {
    const uint8_t *data; /* NULL for null */
    size_t size;
} slice;

static slice read_sized(reader *r, int64_t size)
{
    slice s = {NULL, 0};
    if (size < -1)
        r->failed = true;
    if (size >= 0) {
        s.data = take(r, (size_t)size);
        s.size = s.data != NULL ? (size_t)size : 0;
    }
    return s;
}

static slice read_string(reader *r, bool flexible)
{
    return read_sized(r, flexible ? (int64_t)read_uvarint(r) - 1 : read_i16(r));
}

static slice read_bytes(reader *r, bool flexible)
{
    return read_sized(r, flexible ? (int64_t)read_uvarint(r) - 1 : read_i32(r));
}

/* ---- writer ---- */

typedef struct {
    uint8_t *data;
    size_t size, cap;
} buffer;

static void put(buffer *b, const void *data, size_t n)
{
    if (b->size + n > b->cap) {
        b->cap = (b->size + n) * 2;
        b->data = grown(b->data, b->cap);
    }
    if (n > 0)
        memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void put_be(buffer *b, uint64_t v, size_t n)
{
    uint8_t out[8];
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    put(b, out, n);
}

static void put_i8(buffer *b, int8_t v) { put_be(b, (uint8_t)v, 1); }
static void put_i16(buffer *b, int16_t v) { put_be(b, (uint16_t)v, 2); }
static void put_i32(buffer *b, int32_t v) { put_be(b, (uint32_t)v, 4); }
static void put_i64(buffer *b, int64_t v) { put_be(b, (uint64_t)v, 8); }

static void put_uvarint(buffer *b, uint32_t v)
{
    for (; v >= 0x80; v >>= 7)
        put_i8(b, (int8_t)(v | 0x80));
    put_i8(b, (int8_t)v);
}

static void put_tags(buffer *b, bool flexible)
{
    if (flexible)
        put_i8(b, 0);
}

static void put_count(buffer *b, int32_t n, bool flexible)
{
    if (flexible)
        put_uvarint(b, (uint32_t)(n + 1));
    else
        put_i32(b, n);
}

static void put_string(buffer *b, slice s, bool flexible)
{
    if (flexible)
        put_uvarint(b, s.data == NULL ? 0 : (uint32_t)s.size + 1);
    else
        put_i16(b, s.data == NULL ? (int16_t)-1 : (int16_t)s.size);
    put(b, s.data, s.size);
}

static slice text(const char *s)
{
    return (slice){(const uint8_t *)s, strlen(s)};
}

static const slice NULL_STRING = {NULL, 0};

/* ---- state ---- */

typedef struct {
    int64_t next_offset, records, bytes;
    int64_t producer_id; /* the last producer; a change of producer starts the sequence check again */
    int32_t next_sequence;
    int16_t epoch;
} partition;

typedef struct {
    char *name;
    uint8_t id[TOPIC_ID_SIZE];
    partition *partitions;
} topic;

typedef struct {
    int64_t ns;
    int64_t records;
} stamp;

typedef struct {
    int64_t records, bytes, batches, requests, bad, sequence_errors, malformed, first_ns, last_ns;
    double cpu_start;
} counters;

/* The bytes of `out` before `end` may leave at `due_ns`.  `end` counts from the first byte ever written. */
typedef struct {
    int64_t due_ns;
    uint64_t end;
} mark;

typedef struct conn {
    int fd;
    struct conn *prev, *next;
    uint8_t *in;
    size_t in_start, in_end, in_cap;
    buffer out;
    size_t out_start;
    uint64_t out_base; /* bytes of this connection before out.data[0] */
    uint64_t released; /* bytes of this connection that may leave, while marks hold the rest */
    mark *marks;       /* queue: marks[mark_start .. mark_end) */
    size_t mark_start, mark_end, mark_cap;
    bool wants_write;
} conn;

typedef struct {
    topic *topics;
    int32_t topic_count, partition_count;
    int32_t *topic_slots; /* open-addressed by name; -1 is empty */
    uint32_t slot_mask;
    int64_t delay_ns;
    int64_t verify_every;
    bool stamping;
    int16_t produce_max;
    int64_t next_producer_id;
    int64_t batches_seen;
    counters count;
    stamp *stamps;
    size_t stamp_count, stamp_cap;
    conn *conns;
    int epoll_fd, listen_fd, timer_fd, port;
    char command[COMMAND_SIZE];
    size_t command_size;
    bool quitting;
} sink;

/* ---- topics ---- */

static uint32_t name_hash(const uint8_t *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h;
}

static int32_t topic_by_name(const sink *s, slice name)
{
    if (name.data == NULL)
        return -1;
    for (uint32_t i = name_hash(name.data, name.size) & s->slot_mask;; i = (i + 1) & s->slot_mask) {
        int32_t at = s->topic_slots[i];
        if (at < 0)
            return -1;
        const char *have = s->topics[at].name;
        if (strlen(have) == name.size && memcmp(have, name.data, name.size) == 0)
            return at;
    }
}

static int32_t topic_by_id(const sink *s, const uint8_t *id)
{
    uint32_t at = (uint32_t)id[12] << 24 | (uint32_t)id[13] << 16 | (uint32_t)id[14] << 8 | (uint32_t)id[15];
    if (at >= (uint32_t)s->topic_count || memcmp(s->topics[at].id, id, TOPIC_ID_SIZE) != 0)
        return -1;
    return (int32_t)at;
}

static void add_topics(sink *s, const char *names)
{
    char *list = strdup(names), *rest = NULL;
    for (char *name = strtok_r(list, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        s->topics = grown(s->topics, sizeof(topic) * (size_t)(s->topic_count + 1));
        topic *t = &s->topics[s->topic_count];
        t->name = strdup(name);
        memcpy(t->id, "KPRODUCERSNK", 12);
        for (int i = 0; i < 4; i++)
            t->id[12 + i] = (uint8_t)(s->topic_count >> (24 - 8 * i));
        t->partitions = calloc((size_t)s->partition_count, sizeof(partition));
        if (t->name == NULL || t->partitions == NULL)
            die("out of memory");
        for (int32_t i = 0; i < s->partition_count; i++)
            t->partitions[i].producer_id = -1;
        s->topic_count++;
    }
    free(list);
    uint32_t slots = 4;
    while (slots < (uint32_t)s->topic_count * 2)
        slots *= 2;
    s->slot_mask = slots - 1;
    s->topic_slots = grown(NULL, sizeof(int32_t) * slots);
    memset(s->topic_slots, 0xff, sizeof(int32_t) * slots);
    for (int32_t t = 0; t < s->topic_count; t++) {
        uint32_t i = name_hash((const uint8_t *)s->topics[t].name, strlen(s->topics[t].name)) & s->slot_mask;
        while (s->topic_slots[i] >= 0)
            i = (i + 1) & s->slot_mask;
        s->topic_slots[i] = t;
    }
}

/* ---- one record batch ---- */

typedef struct {
    int64_t producer_id;
    int32_t record_count, base_sequence;
    int16_t producer_epoch;
    int16_t error;
} batch_info;

static bool holds_records(reader r, int32_t count)
{
    for (; count > 0 && !r.failed; count--) {
        int32_t size = read_varint(&r);
        if (size < 0)
            return false;
        take(&r, (size_t)size);
    }
    return !r.failed && r.p == r.end;
}

/* One batch must fill `records` exactly: since Produce v3 a partition has one batch in a request. */
static batch_info read_batch(slice records, bool verify)
{
    batch_info b = {.error = ERR_INVALID_RECORD};
    if (records.data == NULL || records.size < BATCH_HEADER)
        return b;
    reader r = {records.data, records.data + records.size, false};
    read_i64(&r); /* base offset */
    int32_t batch_length = read_i32(&r);
    read_i32(&r); /* partition leader epoch */
    int8_t magic = read_i8(&r);
    uint32_t crc = (uint32_t)read_i32(&r);
    int16_t attributes = read_i16(&r);
    int32_t last_offset_delta = read_i32(&r);
    take(&r, 16); /* base and max timestamp */
    b.producer_id = read_i64(&r);
    b.producer_epoch = read_i16(&r);
    b.base_sequence = read_i32(&r);
    b.record_count = read_i32(&r);
    if (magic != 2 || (int64_t)batch_length + 12 != (int64_t)records.size)
        return b;
    if (b.record_count <= 0 || last_offset_delta != b.record_count - 1)
        return b;
    b.error = ERR_NONE;
    if (verify) {
        if (crc32c(records.data + BATCH_CRC_START, records.size - BATCH_CRC_START) != crc)
            b.error = ERR_CORRUPT_MESSAGE;
        else if ((attributes & 7) == 0 && !holds_records(r, b.record_count))
            b.error = ERR_INVALID_RECORD;
    }
    return b;
}

static void check_sequence(sink *s, partition *p, const batch_info *b)
{
    if (b->producer_id < 0)
        return;
    bool is_same = p->producer_id == b->producer_id && p->epoch == b->producer_epoch;
    if (is_same && p->next_sequence != b->base_sequence)
        s->count.sequence_errors++;
    p->producer_id = b->producer_id;
    p->epoch = b->producer_epoch;
    p->next_sequence = (int32_t)(((uint32_t)b->base_sequence + (uint32_t)b->record_count) & 0x7fffffffu);
}

/* Count one batch and return the offset of its first record. */
static int64_t append_batch(sink *s, partition *p, const batch_info *b, size_t size_bytes)
{
    int64_t base_offset = p->next_offset;
    check_sequence(s, p, b);
    p->next_offset += b->record_count;
    p->records += b->record_count;
    p->bytes += (int64_t)size_bytes;
    s->count.records += b->record_count;
    s->count.bytes += (int64_t)size_bytes;
    s->count.batches++;
    return base_offset;
}

/* ---- requests ---- */

typedef struct {
    int16_t api_key, api_version;
    int32_t correlation_id;
} request_header;

static void put_partition_response(buffer *out, int16_t version, int32_t index, int16_t error, int64_t offset)
{
    put_i32(out, index);
    put_i16(out, error);
    put_i64(out, offset);
    put_i64(out, -1); /* log append time */
    if (version >= 5)
        put_i64(out, error == ERR_NONE ? 0 : -1); /* log start offset */
    if (version >= 8) {
        put_count(out, 0, version >= 9); /* record errors */
        put_string(out, NULL_STRING, version >= 9);
    }
    put_tags(out, version >= 9);
}

static int64_t produce_partition(sink *s, int32_t topic_at, reader *r, int16_t version, buffer *out)
{
    bool flexible = version >= 9;
    int32_t index = read_i32(r);
    slice records = read_bytes(r, flexible);
    if (flexible)
        skip_tags(r);
    if (r->failed)
        return 0;
    if (topic_at < 0 || index < 0 || index >= s->partition_count) {
        int16_t unknown = version >= 13 && topic_at < 0 ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION;
        put_partition_response(out, version, index, unknown, -1);
        return 0;
    }
    batch_info b = read_batch(records, s->batches_seen++ % s->verify_every == 0);
    if (b.error != ERR_NONE) {
        s->count.bad++;
        put_partition_response(out, version, index, b.error, -1);
        return 0;
    }
    int64_t offset = append_batch(s, &s->topics[topic_at].partitions[index], &b, records.size);
    put_partition_response(out, version, index, ERR_NONE, offset);
    return b.record_count;
}

static int64_t produce_topic(sink *s, reader *r, int16_t version, buffer *out)
{
    bool flexible = version >= 9;
    int32_t at = -1;
    if (version >= 13) {
        const uint8_t *id = take(r, TOPIC_ID_SIZE);
        if (id == NULL)
            return 0;
        at = topic_by_id(s, id);
        put(out, id, TOPIC_ID_SIZE);
    } else {
        slice name = read_string(r, flexible);
        at = topic_by_name(s, name);
        put_string(out, name, flexible);
    }
    int32_t count = read_count(r, flexible);
    put_count(out, count, flexible);
    int64_t records = 0;
    for (int32_t i = 0; i < count && !r->failed; i++)
        records += produce_partition(s, at, r, version, out);
    if (flexible)
        skip_tags(r);
    put_tags(out, flexible);
    return records;
}

static void add_stamp(sink *s, int64_t ns, int64_t records)
{
    if (s->stamp_count == s->stamp_cap) {
        s->stamp_cap = s->stamp_cap ? s->stamp_cap * 2 : 4096;
        s->stamps = grown(s->stamps, s->stamp_cap * sizeof(stamp));
    }
    s->stamps[s->stamp_count++] = (stamp){ns, records};
}

/* Returns the acks that were asked for: 0 means that no answer may be sent. */
static int16_t handle_produce(sink *s, int16_t version, reader *r, buffer *out, int64_t arrival_ns)
{
    bool flexible = version >= 9;
    read_string(r, flexible); /* transactional id */
    int16_t acks = read_i16(r);
    read_i32(r); /* timeout */
    int32_t count = read_count(r, flexible);
    put_count(out, count, flexible);
    int64_t records = 0;
    for (int32_t i = 0; i < count && !r->failed; i++)
        records += produce_topic(s, r, version, out);
    if (flexible)
        skip_tags(r);
    put_i32(out, 0); /* throttle */
    put_tags(out, flexible);
    if (r->failed)
        return acks;
    s->count.requests++;
    if (s->count.first_ns == 0)
        s->count.first_ns = arrival_ns;
    s->count.last_ns = arrival_ns;
    if (s->stamping)
        add_stamp(s, arrival_ns, records);
    return acks;
}

static void put_metadata_partitions(const sink *s, int16_t version, buffer *out)
{
    bool flexible = version >= 9;
    put_count(out, s->partition_count, flexible);
    for (int32_t i = 0; i < s->partition_count; i++) {
        put_i16(out, ERR_NONE);
        put_i32(out, i);
        put_i32(out, NODE_ID);
        if (version >= 7)
            put_i32(out, 0); /* leader epoch */
        for (int list = 0; list < 2; list++) { /* replicas, in-sync replicas */
            put_count(out, 1, flexible);
            put_i32(out, NODE_ID);
        }
        if (version >= 5)
            put_count(out, 0, flexible); /* offline replicas */
        put_tags(out, flexible);
    }
}

static void put_metadata_topic(const sink *s, int16_t version, int32_t at, slice asked, const uint8_t *id,
                               buffer *out)
{
    static const uint8_t no_id[TOPIC_ID_SIZE];
    bool flexible = version >= 9, is_known = at >= 0;
    int16_t unknown = id != NULL ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION;
    put_i16(out, is_known ? ERR_NONE : unknown);
    put_string(out, is_known ? text(s->topics[at].name) : asked, flexible);
    if (version >= 10)
        put(out, is_known ? s->topics[at].id : id != NULL ? id : no_id, TOPIC_ID_SIZE);
    if (version >= 1)
        put_i8(out, 0); /* is internal */
    if (is_known)
        put_metadata_partitions(s, version, out);
    else
        put_count(out, 0, flexible);
    if (version >= 8)
        put_i32(out, INT32_MIN); /* authorized operations: not asked for */
    put_tags(out, flexible);
}

static void put_asked_topic(const sink *s, int16_t version, reader *r, buffer *out)
{
    static const uint8_t no_id[TOPIC_ID_SIZE];
    bool flexible = version >= 9;
    const uint8_t *id = version >= 10 ? take(r, TOPIC_ID_SIZE) : NULL;
    slice name = read_string(r, flexible);
    if (flexible)
        skip_tags(r);
    if (r->failed)
        return;
    bool by_id = id != NULL && name.data == NULL && memcmp(id, no_id, TOPIC_ID_SIZE) != 0;
    int32_t at = by_id ? topic_by_id(s, id) : topic_by_name(s, name);
    put_metadata_topic(s, version, at, name, by_id ? id : NULL, out);
}

static void handle_metadata(const sink *s, int16_t version, reader *r, buffer *out)
{
    bool flexible = version >= 9;
    if (version >= 3)
        put_i32(out, 0); /* throttle */
    put_count(out, 1, flexible);
    put_i32(out, NODE_ID);
    put_string(out, text("127.0.0.1"), flexible);
    put_i32(out, s->port);
    if (version >= 1)
        put_string(out, NULL_STRING, flexible); /* rack */
    put_tags(out, flexible);
    if (version >= 2)
        put_string(out, text("kproducer-bench-sink--"), flexible);
    if (version >= 1)
        put_i32(out, NODE_ID); /* controller */
    int32_t count = read_count(r, flexible);
    bool is_all = version == 0 ? count == 0 : count < 0; /* v0 has no null array */
    put_count(out, is_all ? s->topic_count : count, flexible);
    for (int32_t i = 0; is_all && i < s->topic_count; i++)
        put_metadata_topic(s, version, i, NULL_STRING, NULL, out);
    for (int32_t i = 0; i < count && !r->failed; i++)
        put_asked_topic(s, version, r, out);
    if (version >= 8 && version <= 10)
        put_i32(out, INT32_MIN);
    put_tags(out, flexible);
}

static void handle_init_producer_id(sink *s, int16_t version, reader *r, buffer *out)
{
    bool flexible = version >= 2;
    int64_t producer_id = -1;
    int16_t epoch = -1;
    read_string(r, flexible); /* transactional id */
    read_i32(r);              /* transaction timeout */
    if (version >= 3) {
        producer_id = read_i64(r);
        epoch = read_i16(r);
    }
    bool is_bump = producer_id >= 0 && epoch >= 0 && epoch < INT16_MAX; /* KIP-360 */
    put_i32(out, 0);                                                    /* throttle */
    put_i16(out, ERR_NONE);
    put_i64(out, is_bump ? producer_id : s->next_producer_id++);
    put_i16(out, is_bump ? (int16_t)(epoch + 1) : 0);
    put_tags(out, flexible);
}

typedef struct {
    int16_t key, min, max;
} api_range;

/* Fetch and FindCoordinator are not served: librdkafka takes its batch format and its lz4 from their presence.
 * A real 4.x broker answers Produce from v0, for librdkafka's sake, although it serves v3 and later only. */
enum { API_COUNT = 6 };

static void api_ranges(const sink *s, api_range out[API_COUNT])
{
    const api_range ranges[API_COUNT] = {
        {API_PRODUCE, 0, s->produce_max}, {API_FETCH, 4, 16},    {API_METADATA, 0, 12},
        {API_FIND_COORDINATOR, 0, 6},     {API_VERSIONS, 0, 4}, {API_INIT_PRODUCER_ID, 0, 5},
    };
    memcpy(out, ranges, sizeof ranges);
}

static void handle_api_versions(const sink *s, int16_t version, buffer *out)
{
    bool is_known = version <= 4;
    int16_t answered = is_known ? version : 0; /* KIP-511: an unknown version is answered in v0 */
    bool flexible = answered >= 3;
    api_range ranges[API_COUNT];
    api_ranges(s, ranges);
    put_i16(out, is_known ? ERR_NONE : ERR_UNSUPPORTED_VERSION);
    put_count(out, API_COUNT, flexible);
    for (int i = 0; i < API_COUNT; i++) {
        put_i16(out, ranges[i].key);
        put_i16(out, ranges[i].min);
        put_i16(out, ranges[i].max);
        put_tags(out, flexible);
    }
    if (answered >= 1)
        put_i32(out, 0); /* throttle */
    put_tags(out, flexible);
}

static bool is_served(const sink *s, request_header h)
{
    switch (h.api_key) {
    case API_PRODUCE:
        return h.api_version >= 3 && h.api_version <= s->produce_max;
    case API_METADATA:
        return h.api_version >= 0 && h.api_version <= 12;
    case API_INIT_PRODUCER_ID:
        return h.api_version >= 0 && h.api_version <= 5;
    default:
        return h.api_key == API_VERSIONS && h.api_version >= 0;
    }
}

static bool is_flexible(request_header h)
{
    switch (h.api_key) {
    case API_INIT_PRODUCER_ID:
        return h.api_version >= 2;
    case API_VERSIONS:
        return h.api_version >= 3;
    default: /* Produce, Metadata */
        return h.api_version >= 9;
    }
}

static void push_mark(conn *c, int64_t due_ns)
{
    if (c->mark_start > c->mark_cap / 2) {
        memmove(c->marks, c->marks + c->mark_start, (c->mark_end - c->mark_start) * sizeof(mark));
        c->mark_end -= c->mark_start;
        c->mark_start = 0;
    }
    if (c->mark_end == c->mark_cap) {
        c->mark_cap = c->mark_cap ? c->mark_cap * 2 : 64;
        c->marks = grown(c->marks, c->mark_cap * sizeof(mark));
    }
    c->marks[c->mark_end++] = (mark){due_ns, c->out_base + c->out.size};
}

/* Handle one whole request; false when the connection must be closed. */
static bool handle_request(sink *s, conn *c, reader r, int64_t arrival_ns)
{
    request_header h;
    h.api_key = read_i16(&r);
    h.api_version = read_i16(&r);
    h.correlation_id = read_i32(&r);
    read_string(&r, false); /* client id: never compact */
    if (r.failed || !is_served(s, h))
        return false;
    bool flexible = is_flexible(h);
    if (flexible && h.api_key != API_VERSIONS)
        skip_tags(&r);
    buffer *out = &c->out;
    size_t start = out->size;
    put_i32(out, 0); /* the length, set below */
    put_i32(out, h.correlation_id);
    put_tags(out, flexible && h.api_key != API_VERSIONS);
    int16_t acks = -1;
    switch (h.api_key) {
    case API_PRODUCE:
        acks = handle_produce(s, h.api_version, &r, out, arrival_ns);
        break;
    case API_METADATA:
        handle_metadata(s, h.api_version, &r, out);
        break;
    case API_INIT_PRODUCER_ID:
        handle_init_producer_id(s, h.api_version, &r, out);
        break;
    default:
        handle_api_versions(s, h.api_version, out);
    }
    if (r.failed)
        return false;
    if (acks == 0) {
        out->size = start;
        return true;
    }
    uint32_t length = (uint32_t)(out->size - start - 4);
    for (int i = 0; i < 4; i++)
        out->data[start + (size_t)i] = (uint8_t)(length >> (24 - 8 * i));
    if (s->delay_ns > 0 || c->mark_start < c->mark_end)
        push_mark(c, h.api_key == API_PRODUCE ? arrival_ns + s->delay_ns : arrival_ns);
    return true;
}

/* ---- connections ---- */

static void watch(sink *s, int op, int fd, uint32_t events, void *data)
{
    struct epoll_event e = {.events = events, .data.ptr = data};
    if (epoll_ctl(s->epoll_fd, op, fd, &e) != 0)
        die(fd == STDIN_FILENO ? "stdin must be a pipe" : "epoll_ctl");
}

static void accept_conn(sink *s)
{
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return; /* the client went away again */
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        die("out of memory");
    c->fd = fd;
    c->in_cap = READ_BUFFER;
    c->in = grown(NULL, c->in_cap);
    c->next = s->conns;
    if (s->conns != NULL)
        s->conns->prev = c;
    s->conns = c;
    watch(s, EPOLL_CTL_ADD, fd, EPOLLIN, c);
}

static void close_conn(sink *s, conn *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    close(c->fd);
    free(c->in);
    free(c->out.data);
    free(c->marks);
    free(c);
}

/* Bytes of `out` that may leave now.  Due marks are dropped from the front only: answers keep the order of their
 * requests, whatever their due times are. */
static size_t releasable(conn *c, int64_t now)
{
    while (c->mark_start < c->mark_end && c->marks[c->mark_start].due_ns <= now)
        c->released = c->marks[c->mark_start++].end;
    if (c->mark_start == c->mark_end)
        c->released = c->out_base + c->out.size;
    return (size_t)(c->released - c->out_base) - c->out_start;
}

/* Forget what left; a few bytes moved now keep `out` small under a stream of held answers. */
static void drop_sent(conn *c)
{
    if (c->out_start == 0 || c->out_start < c->out.size / 2)
        return;
    memmove(c->out.data, c->out.data + c->out_start, c->out.size - c->out_start);
    c->out_base += c->out_start;
    c->out.size -= c->out_start;
    c->out_start = 0;
}

static bool flush_conn(sink *s, conn *c, int64_t now)
{
    size_t n = releasable(c, now);
    while (n > 0) {
        ssize_t sent = send(c->fd, c->out.data + c->out_start, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            break;
        c->out_start += (size_t)sent;
        n -= (size_t)sent;
    }
    drop_sent(c);
    if ((n > 0) != c->wants_write) {
        c->wants_write = n > 0;
        watch(s, EPOLL_CTL_MOD, c->fd, EPOLLIN | (n > 0 ? EPOLLOUT : 0), c);
    }
    return true;
}

/* Make room for the rest of a frame of `need` bytes (prefix included) that starts at in_start. */
static void make_room(conn *c, size_t need)
{
    if (c->in_start > 0 && (c->in_start + need > c->in_cap || c->in_cap - c->in_end < READ_ROOM)) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
    }
    if (need > c->in_cap) {
        c->in_cap = need + READ_ROOM;
        c->in = grown(c->in, c->in_cap);
    }
}

/* Handle every whole frame in the read buffer; false when the connection must be closed. */
static bool handle_frames(sink *s, conn *c, int64_t arrival_ns)
{
    size_t need = 4;
    while (c->in_end - c->in_start >= 4) {
        reader r = {c->in + c->in_start, c->in + c->in_end, false};
        int32_t length = read_i32(&r);
        if (length < 8 || length > MAX_FRAME)
            return false;
        need = (size_t)length + 4;
        if (c->in_end - c->in_start < need)
            break;
        r.end = r.p + length;
        if (!handle_request(s, c, r, arrival_ns))
            return false;
        c->in_start += need;
        need = 4;
    }
    if (c->in_start == c->in_end)
        c->in_start = c->in_end = 0;
    make_room(c, need);
    return true;
}

static bool read_conn(sink *s, conn *c)
{
    ssize_t got = recv(c->fd, c->in + c->in_end, c->in_cap - c->in_end, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return false;
    c->in_end += (size_t)got;
    if (handle_frames(s, c, now_ns()))
        return true;
    s->count.malformed++;
    return false;
}

static void serve_conn(sink *s, conn *c, uint32_t events)
{
    bool is_alive = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        is_alive = read_conn(s, c);
    if (!is_alive || !flush_conn(s, c, now_ns()))
        close_conn(s, c);
}

/* Send what is due on every connection, and set the timer for the next answer that is held back. */
static void release_due(sink *s)
{
    int64_t next = 0, now = now_ns();
    for (conn *c = s->conns, *following; c != NULL; c = following) {
        following = c->next;
        if (!flush_conn(s, c, now)) {
            close_conn(s, c);
            continue;
        }
        if (c->mark_start < c->mark_end && (next == 0 || c->marks[c->mark_start].due_ns < next))
            next = c->marks[c->mark_start].due_ns;
    }
    struct itimerspec when = {.it_value = {next / 1000000000, next % 1000000000}};
    if (timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        die("timerfd_settime");
}

/* ---- commands ---- */

static void reset(sink *s)
{
    s->count = (counters){.cpu_start = cpu_seconds()};
    s->stamp_count = 0;
    for (int32_t t = 0; t < s->topic_count; t++)
        for (int32_t i = 0; i < s->partition_count; i++)
            s->topics[t].partitions[i].records = s->topics[t].partitions[i].bytes = 0;
}

static void print_stats(const sink *s)
{
    const counters *n = &s->count;
    printf("{\"records\":%" PRId64 ",\"bytes\":%" PRId64 ",\"batches\":%" PRId64 ",\"requests\":%" PRId64
           ",\"bad\":%" PRId64 ",\"sequence_errors\":%" PRId64 ",\"malformed\":%" PRId64 ",\"first_ns\":%" PRId64
           ",\"last_ns\":%" PRId64 ",\"cpu_s\":%.6f}\n",
           n->records, n->bytes, n->batches, n->requests, n->bad, n->sequence_errors, n->malformed, n->first_ns,
           n->last_ns, cpu_seconds() - n->cpu_start);
}

static void print_stamps(const sink *s)
{
    printf("{\"stamps\":[");
    for (size_t i = 0; i < s->stamp_count; i++)
        printf("%s[%" PRId64 ",%" PRId64 "]", i > 0 ? "," : "", s->stamps[i].ns, s->stamps[i].records);
    printf("]}\n");
}

static void print_partitions(const sink *s)
{
    printf("{\"partitions\":[");
    for (int32_t t = 0; t < s->topic_count; t++)
        for (int32_t i = 0; i < s->partition_count; i++) {
            const partition *p = &s->topics[t].partitions[i];
            printf("%s[\"%s\",%" PRId32 ",%" PRId64 ",%" PRId64 "]", t + i > 0 ? "," : "", s->topics[t].name, i,
                   p->records, p->bytes);
        }
    printf("]}\n");
}

static int64_t ms_to_ns(const char *ms)
{
    char *end = NULL;
    double value = strtod(ms, &end);
    return end == ms || *end != '\0' || !(value >= 0 && value <= 1e6) ? -1 : (int64_t)(value * 1e6);
}

static void run_command(sink *s, char *line)
{
    if (strcmp(line, "stats") == 0) {
        print_stats(s);
    } else if (strcmp(line, "stamps") == 0) {
        print_stamps(s);
    } else if (strcmp(line, "partitions") == 0) {
        print_partitions(s);
    } else if (strcmp(line, "reset") == 0) {
        reset(s);
        printf("{}\n");
    } else if (strncmp(line, "delay ", 6) == 0 && ms_to_ns(line + 6) >= 0) {
        s->delay_ns = ms_to_ns(line + 6);
        printf("{}\n");
    } else if (strcmp(line, "quit") == 0) {
        s->quitting = true;
        printf("{}\n");
    } else {
        printf("{\"error\":\"unknown command; allowed: stats, reset, stamps, partitions, delay MS, quit\"}\n");
    }
    fflush(stdout);
}

static void read_commands(sink *s)
{
    ssize_t got = read(STDIN_FILENO, s->command + s->command_size, COMMAND_SIZE - 1 - s->command_size);
    if (got < 0 && errno == EINTR)
        return;
    if (got <= 0) {
        s->quitting = true; /* the starter is gone, or a line is longer than any command */
        return;
    }
    s->command_size += (size_t)got;
    s->command[s->command_size] = '\0';
    char *line = s->command;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        run_command(s, line);
    }
    s->command_size -= (size_t)(line - s->command);
    memmove(s->command, line, s->command_size);
}

/* ---- main ---- */

static void listen_on_loopback(sink *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&at, size) != 0 || listen(s->listen_fd, 128) != 0 ||
        getsockname(s->listen_fd, (struct sockaddr *)&at, &size) != 0)
        die("cannot listen on 127.0.0.1");
    s->port = ntohs(at.sin_port);
}

static void usage(void)
{
    fprintf(stderr, "usage: sink [--topics a,b] [--partitions N] [--delay-ms D] [--stamp] [--verify-every N] "
                    "[--produce-max 3..13]\n");
    exit(2);
}

static int64_t positive(const char *value, int64_t most)
{
    char *end = NULL;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || n < 1 || n > most)
        usage();
    return n;
}

static void parse_options(sink *s, int argc, char **argv)
{
    static const struct option options[] = {
        {"topics", required_argument, NULL, 't'},       {"partitions", required_argument, NULL, 'p'},
        {"delay-ms", required_argument, NULL, 'd'},     {"stamp", no_argument, NULL, 's'},
        {"verify-every", required_argument, NULL, 'v'}, {"produce-max", required_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    const char *topics = "bench";
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 't':
            topics = optarg;
            break;
        case 'p':
            s->partition_count = (int32_t)positive(optarg, 1000000);
            break;
        case 'd':
            s->delay_ns = ms_to_ns(optarg);
            break;
        case 's':
            s->stamping = true;
            break;
        case 'v':
            s->verify_every = positive(optarg, INT64_MAX);
            break;
        case 'm':
            s->produce_max = (int16_t)positive(optarg, 13);
            break;
        default:
            usage();
        }
    }
    if (optind != argc || s->delay_ns < 0 || s->produce_max < 3)
        usage();
    add_topics(s, topics);
}

static void serve(sink *s)
{
    struct epoll_event events[MAX_EVENTS];
    while (!s->quitting) {
        int n = epoll_wait(s->epoll_fd, events, MAX_EVENTS, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        bool is_delaying = s->delay_ns > 0;
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &s->listen_fd)
                accept_conn(s);
            else if (what == &s->timer_fd)
                is_delaying = true;
            else if (what == s->command)
                read_commands(s);
            else
                serve_conn(s, what, events[i].events);
        }
        if (is_delaying) /* after the events: it may close connections that they name */
            release_due(s);
    }
}

int main(int argc, char **argv)
{
    static sink s = {.partition_count = 6, .verify_every = 1000, .produce_max = 12, .next_producer_id = 1000};
    crc_init();
    parse_options(&s, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    listen_on_loopback(&s);
    s.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (s.epoll_fd < 0 || s.timer_fd < 0)
        die("epoll_create1 or timerfd_create");
    watch(&s, EPOLL_CTL_ADD, s.listen_fd, EPOLLIN, &s.listen_fd);
    watch(&s, EPOLL_CTL_ADD, s.timer_fd, EPOLLIN, &s.timer_fd);
    watch(&s, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, s.command);
    printf("{\"port\":%d}\n", s.port);
    fflush(stdout);
    serve(&s);
    while (s.conns != NULL)
        close_conn(&s, s.conns);
    return 0;
}
