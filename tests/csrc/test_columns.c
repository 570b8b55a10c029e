/* Columns: Arrow's layouts and plain memory read as slices, numbers and headers; what cannot be read is refused. */
#include <stdlib.h>

#include "kp_rows.h"
#include "kp_test.h"
#include "kp_trail.h"

enum { MOST_BUFFERS = 5 };

/* An Arrow array of one kind, as a library would fill it in. */
typedef struct sample {
    kp_arrow_schema schema;
    kp_arrow_array array;
    const void *buffers[MOST_BUFFERS];
} sample;

static sample make(const char *format, int64_t length, int64_t offset, int64_t n_buffers, const void *const *buffers) {
    sample s = {.schema = {.format = format}, .array = {.length = length, .offset = offset, .n_buffers = n_buffers}};
    for (int64_t i = 0; i < n_buffers; i++) {
        s.buffers[i] = buffers[i];
    }
    return s;
}

#define SAMPLE(format, length, offset, ...) \
    make(format, length, offset, (int64_t)KP_ARRAY_LEN(((const void *[]){__VA_ARGS__})), (const void *const[]){__VA_ARGS__})

static kp_status read_as(kp_column_use use, sample *s, kp_column *c, kp_column_fault *fault) {
    s->array.buffers = s->buffers;
    *fault = (kp_column_fault){.text = "", .row = -1};
    return kp_column_from_arrow(c, use, &s->schema, &s->array, fault);
}

/* The rows as text: one character for each byte, '-' for null, '|' after each. */
static const char *text_of(const kp_column *c) {
    static char text[4096];
    kp_slice slices[64];
    char *p = text;
    const int32_t n = (int32_t)c->length;
    if (n > 0) {
        kp_column_slices(c, 0, n, slices);
    }
    for (int32_t i = 0; i < n; i++) {
        if (slices[i].len < 0) {
            *p++ = '-';
        }
        for (int64_t k = 0; k < slices[i].len; k++) {
            *p++ = (char)slices[i].data[k];
        }
        *p++ = '|';
    }
    *p = '\0';
    return text;
}

#define CHECK_ROWS(s, expected)                                               \
    do {                                                                      \
        kp_column column_;                                                    \
        kp_column_fault fault_;                                               \
        CHECK_INT(read_as(KP_COLUMN_BYTES, s, &column_, &fault_), KP_OK);     \
        const char *text_ = text_of(&column_);                                \
        const bool same_ = strcmp(text_, expected) == 0;                      \
        if (!same_) {                                                         \
            printf("rows are %s, expected %s\n", text_, expected);            \
        }                                                                     \
        kp_column_free(&column_);                                             \
        CHECK(same_);                                                         \
    } while (0)

#define CHECK_FAULT(use, s, status, part, at)                                 \
    do {                                                                      \
        kp_column column_;                                                    \
        kp_column_fault fault_;                                               \
        CHECK_INT(read_as(use, s, &column_, &fault_), status);                \
        CHECK(strstr(fault_.text, part) != NULL);                             \
        CHECK_INT(fault_.row, at);                                            \
    } while (0)

static const int32_t offsets32[] = {0, 1, 3, 3, 6};
static const int64_t offsets64[] = {0, 1, 3, 3, 6};
static const char letters[] = "abbccc";

static void test_offsets_of_both_widths_with_and_without_nulls(void) {
    const uint8_t validity[] = {0x0b}; /* the third row is null */
    const char *const narrow[] = {"z", "u"}, *const wide[] = {"Z", "U"};
    for (int i = 0; i < 2; i++) {
        sample s = SAMPLE(narrow[i], 4, 0, NULL, offsets32, letters);
        CHECK_ROWS(&s, "a|bb||ccc|");
        s = SAMPLE(wide[i], 4, 0, validity, offsets64, letters);
        CHECK_ROWS(&s, "a|bb|-|ccc|");
    }
}

static void test_a_cut_array_begins_in_the_middle_of_its_buffers_bits_included(void) {
    static int32_t offsets[22];
    uint8_t validity[3] = {0};
    for (int i = 0; i < 21; i++) {
        offsets[i + 1] = i + 1;
        if (i % 3 != 0) {
            validity[i / 8] = (uint8_t)(validity[i / 8] | 1 << i % 8);
        }
    }
    const char data[] = "abcdefghijklmnopqrstu";
    sample s = SAMPLE("z", 5, 13, validity, offsets, data);
    CHECK_ROWS(&s, "n|o|-|q|r|");
    s = SAMPLE("z", 3, 7, validity, offsets, data);
    CHECK_ROWS(&s, "h|i|-|");
}

static void test_views_are_in_place_or_in_their_buffer(void) {
    struct {
        int32_t len;
        union {
            char text[12];
            struct {
                char prefix[4];
                int32_t buffer, offset;
            } far;
        } as;
    } views[4] = {{.len = 12, .as.text = "twelve chars"}, {.len = 13, .as.far = {"thir", 1, 2}}, {.len = 0}, {.len = 99, .as.far = {"junk", 7, -1}}};
    const uint8_t validity[] = {0x07};
    const int64_t sizes[] = {3, 15};
    sample s = SAMPLE("vu", 4, 0, validity, views, "xyz", "..thirteen char", sizes);
    CHECK_ROWS(&s, "twelve chars|thirteen char||-|");
    s = SAMPLE("vz", 2, 1, validity, views, "xyz", "..thirteen char", sizes);
    CHECK_ROWS(&s, "thirteen char||");
    s = SAMPLE("vz", 4, 0, NULL, views, "xyz", "..thirteen char", sizes);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "view points outside", 3);
    const int64_t shorter[] = {3, 14};
    s = SAMPLE("vu", 4, 0, validity, views, "xyz", "..thirteen cha", shorter);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "view points outside", 1);
    s = SAMPLE("vu", 1, 0, NULL, views, "xyz", NULL);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "sizes", -1);
    views[0].len = -1;
    s = SAMPLE("vu", 1, 0, NULL, views, sizes);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "view points outside", 0);
}

static void test_rows_of_one_width(void) {
    const uint8_t validity[] = {0x05};
    sample s = SAMPLE("w:2", 3, 0, validity, letters);
    CHECK_ROWS(&s, "ab|-|cc|");
    s = SAMPLE("w:2", 2, 1, NULL, letters);
    CHECK_ROWS(&s, "bc|cc|");
    s = SAMPLE("w:0", 2, 0, NULL, NULL);
    CHECK_ROWS(&s, "||");
    s = SAMPLE("n", 2, 0, NULL);
    CHECK_ROWS(&s, "-|-|");
    kp_column c;
    kp_column_from_memory(&c, KP_ROWS_FIXED, letters + 4, 3, -2, 2);
    CHECK(strcmp(text_of(&c), "cc|bc|ab|") == 0);
    kp_column_from_memory(&c, KP_ROWS_PADDED, "a\0\0\0\0\0a\0b", 3, 3, 3);
    CHECK_INT(c.length, 3);
    kp_slice slices[3];
    kp_column_slices(&c, 0, 3, slices);
    CHECK_INT(slices[0].len, 1);
    CHECK_INT(slices[1].len, 0);
    CHECK_INT(slices[2].len, 3);
}

static void test_dictionaries_of_every_width_of_index(void) {
    static const struct {
        const char *format;
        int width;
    } widths[] = {{"c", 1}, {"C", 1}, {"s", 2}, {"S", 2}, {"i", 4}, {"I", 4}, {"l", 8}, {"L", 8}};
    const uint8_t validity[] = {0x3d}; /* the second row is null, and its index nonsense */
    const uint8_t none[] = {0x0b};     /* so is the third word */
    for (size_t w = 0; w < KP_ARRAY_LEN(widths); w++) {
        uint8_t codes[6 * 8];
        const int64_t numbers[] = {3, -1, 0, 1, 3, 2};
        for (int i = 0; i < 6; i++) {
            memcpy(codes + i * widths[w].width, &numbers[i], (size_t)widths[w].width); /* little-endian, as this machine */
        }
        sample words = SAMPLE("u", 4, 0, none, offsets32, letters);
        words.array.buffers = words.buffers;
        sample s = SAMPLE(widths[w].format, 6, 0, validity, codes);
        s.schema.dictionary = &words.schema;
        s.array.dictionary = &words.array;
        CHECK_ROWS(&s, "ccc|-|a|bb|ccc|-|");
        s.buffers[0] = NULL;
        CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "outside of the dictionary", 1);
        s.array.dictionary = NULL;
        CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "dictionary is missing", -1);
    }
}

static void test_a_dictionary_without_words_is_good_for_nulls_only(void) {
    const uint8_t validity[] = {0x00}, codes[] = {0};
    sample words = SAMPLE("u", 0, 0, NULL, NULL, NULL);
    words.array.buffers = words.buffers;
    sample s = SAMPLE("c", 1, 0, validity, codes);
    s.schema.dictionary = &words.schema;
    s.array.dictionary = &words.array;
    CHECK_ROWS(&s, "-|");
    s.buffers[0] = NULL;
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "outside of the dictionary", 0);
    kp_arrow_schema nested = words.schema;
    words.schema.dictionary = &nested;
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_INVALID, "", -1);
}

static void test_formats_of_another_use_are_refused(void) {
    static const char *const formats[] = {"b", "c", "l", "g", "zz", "w", "w:", "w:x", "w:99999999999", "+s", "+r", "d:9,2", "", "tsm:"};
    for (size_t i = 0; i < KP_ARRAY_LEN(formats); i++) {
        sample s = SAMPLE(formats[i], 0, 0, NULL, NULL, NULL);
        CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_INVALID, "", -1);
    }
    sample s = SAMPLE("u", 0, 0, NULL, offsets32, letters);
    CHECK_FAULT(KP_COLUMN_TIMESTAMPS, &s, KP_ERR_INVALID, "", -1);
    CHECK_FAULT(KP_COLUMN_PARTITIONS, &s, KP_ERR_INVALID, "", -1);
    CHECK_FAULT(KP_COLUMN_HEADERS, &s, KP_ERR_INVALID, "", -1);
    s.schema.format = NULL;
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_INVALID, "", -1);
}

static void test_what_cannot_be_read_is_refused_before_it_is(void) {
    const int32_t back[] = {0, 3, 2, 4}, below[] = {-1, 0, 1};
    sample s = SAMPLE("z", 3, 0, NULL, back, letters);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "offsets decrease", 1);
    s = SAMPLE("z", 2, 0, NULL, below, letters);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "negative", 0);
    s = SAMPLE("z", 4, 0, NULL, offsets32, NULL);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "behind the end", 0);
    s = SAMPLE("Z", 4, 0, NULL, NULL, letters);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "offsets is missing", -1);
    s = SAMPLE("z", 4, 0, NULL, offsets32);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "too few buffers", -1);
    s = SAMPLE("w:2", 4, 0, NULL, NULL);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "rows is missing", -1);
    s = SAMPLE("z", -1, 0, NULL, offsets32, letters);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "not possible", -1);
    s = SAMPLE("z", 1, -1, NULL, offsets32, letters);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "not possible", -1);
    s = SAMPLE("z", INT64_MAX, INT64_MAX, NULL, offsets32, letters);
    CHECK_FAULT(KP_COLUMN_BYTES, &s, KP_ERR_MALFORMED, "not possible", -1);
    s = SAMPLE("z", 0, 0, NULL, NULL, NULL);
    CHECK_ROWS(&s, "");
}

static void test_timestamps_become_milliseconds_and_null_is_told(void) {
    static const struct {
        const char *format;
        int64_t expected;
    } units[] = {{"l", 1999999}, {"tss:", 1999999000}, {"tsm:UTC", 1999999}, {"tsu:", 1999}, {"tsn:Europe/Paris", 1}};
    const int64_t numbers[] = {7, 1999999, -5, 0};
    const uint8_t validity[] = {0x0a};
    for (size_t i = 0; i < KP_ARRAY_LEN(units); i++) {
        sample s = SAMPLE(units[i].format, 3, 1, validity, numbers);
        kp_column c;
        kp_column_fault fault;
        CHECK_INT(read_as(KP_COLUMN_TIMESTAMPS, &s, &c, &fault), KP_OK);
        int64_t out[3], found;
        kp_column_integers(&c, 0, 3, KP_NOW, out);
        CHECK_INT(out[0], units[i].expected);
        CHECK(out[1] == KP_NOW);
        CHECK_INT(out[2], 0);
        CHECK_INT(kp_column_find_outside(&c, 0, INT64_MAX, &found), -1);
        CHECK_INT(kp_column_find_outside(&c, 0, 1000, &found), 0);
        CHECK_INT(found, 1999999);
        s.buffers[0] = NULL;
        CHECK_INT(read_as(KP_COLUMN_TIMESTAMPS, &s, &c, &fault), KP_OK);
        CHECK_INT(kp_column_find_outside(&c, 0, INT64_MAX, &found), 1);
        CHECK_INT(found, -5);
    }
}

/* --- headers --- */

static const int32_t list_offsets[] = {0, 1, 1, 3, 4};
static const int32_t key_offsets[] = {0, 1, 2, 3, 4, 5, 6};
static const int32_t value_offsets[] = {0, 0, 1, 1, 4, 4, 4};

typedef struct header_sample {
    sample lists, structs, keys, values;
    kp_arrow_schema *schema_children[2], *struct_schema[1];
    kp_arrow_array *array_children[2], *struct_array[1];
} header_sample;

/* Rows [first, first + n) of four lists over headers [1, 5) of six. */
static void make_headers(header_sample *h, const char *format, int64_t first, int64_t n, const uint8_t *validity) {
    static const uint8_t no_third_value[] = {0x3b};
    h->keys = SAMPLE("u", 6, 0, NULL, key_offsets, "abcdef");
    h->values = SAMPLE("z", 6, 0, no_third_value, value_offsets, "1222");
    h->structs = SAMPLE("+s", 4, 1, NULL);
    h->lists = SAMPLE(format, n, first, validity, list_offsets);
    h->keys.array.buffers = h->keys.buffers;
    h->values.array.buffers = h->values.buffers;
    h->structs.array.buffers = h->structs.buffers;
    h->schema_children[0] = &h->keys.schema;
    h->schema_children[1] = &h->values.schema;
    h->array_children[0] = &h->keys.array;
    h->array_children[1] = &h->values.array;
    h->struct_schema[0] = &h->structs.schema;
    h->struct_array[0] = &h->structs.array;
    h->structs.schema.children = h->schema_children;
    h->structs.schema.n_children = h->structs.array.n_children = 2;
    h->structs.array.children = h->array_children;
    h->lists.schema.children = h->struct_schema;
    h->lists.schema.n_children = h->lists.array.n_children = 1;
    h->lists.array.children = h->struct_array;
}

static void test_lists_and_maps_become_headers_as_they_stand_in_a_record(void) {
    const char *const formats[] = {"+l", "+m"};
    const uint8_t validity[] = {0x0b}; /* the third row has none */
    for (int i = 0; i < 2; i++) {
        header_sample h;
        make_headers(&h, formats[i], 0, 4, validity);
        kp_column c;
        kp_column_fault fault;
        CHECK_INT(read_as(KP_COLUMN_HEADERS, &h.lists, &c, &fault), KP_OK);
        static const uint8_t one[] = {2, 2, 'b', 2, '1'}, none[] = {0}, last[] = {2, 2, 'e', 0};
        const struct {
            const uint8_t *bytes;
            size_t len;
        } expected[] = {{one, sizeof one}, {none, 1}, {none, 1}, {last, sizeof last}};
        for (int row = 0; row < 4; row++) {
            uint8_t bytes[64];
            CHECK_INT(kp_column_headers_size(&c, row), (int64_t)expected[row].len);
            CHECK_INT(kp_column_put_headers(&c, row, bytes) - bytes, (int64_t)expected[row].len);
            CHECK_BYTES(bytes, expected[row].bytes, expected[row].len);
        }
        kp_column_free(&c);
        make_headers(&h, formats[i], 2, 2, NULL);
        CHECK_INT(read_as(KP_COLUMN_HEADERS, &h.lists, &c, &fault), KP_OK);
        static const uint8_t two[] = {4, 2, 'c', 1, 2, 'd', 6, '2', '2', '2'};
        uint8_t bytes[64];
        CHECK_INT(kp_column_put_headers(&c, 0, bytes) - bytes, (int64_t)sizeof two);
        CHECK_INT(kp_column_headers_size(&c, 0), (int64_t)sizeof two);
        CHECK_BYTES(bytes, two, sizeof two);
        kp_column_free(&c);
    }
}

static void test_headers_that_cannot_be_read_are_refused(void) {
    const uint8_t no_second[] = {0x3b};
    header_sample h;
    make_headers(&h, "+l", 0, 4, NULL);
    h.keys.buffers[0] = no_second;
    CHECK_FAULT(KP_COLUMN_HEADERS, &h.lists, KP_ERR_MALFORMED, "key of a header is null", 2);
    make_headers(&h, "+l", 0, 4, NULL);
    h.structs.buffers[0] = no_second;
    CHECK_FAULT(KP_COLUMN_HEADERS, &h.lists, KP_ERR_MALFORMED, "a header is null", -1);
    make_headers(&h, "+l", 0, 4, NULL);
    h.structs.array.length = 3;
    CHECK_FAULT(KP_COLUMN_HEADERS, &h.lists, KP_ERR_MALFORMED, "behind the end", 3);
    make_headers(&h, "+l", 0, 4, NULL);
    h.values.array.length = 4;
    CHECK_FAULT(KP_COLUMN_HEADERS, &h.lists, KP_ERR_MALFORMED, "shorter than the headers", -1);
    make_headers(&h, "+l", 0, 4, NULL);
    h.structs.array.n_children = 1;
    CHECK_FAULT(KP_COLUMN_HEADERS, &h.lists, KP_ERR_MALFORMED, "missing", -1);
    make_headers(&h, "+l", 0, 4, NULL);
    h.structs.schema.n_children = 1;
    CHECK_FAULT(KP_COLUMN_HEADERS, &h.lists, KP_ERR_INVALID, "", -1);
    make_headers(&h, "+l", 0, 4, NULL);
    h.values.schema.format = "l";
    CHECK_FAULT(KP_COLUMN_HEADERS, &h.lists, KP_ERR_INVALID, "", -1);
}

/* --- rows --- */

static void test_pieces_of_columns_need_not_begin_in_the_same_rows(void) {
    enum { ROWS = 200 };
    static uint8_t bytes[ROWS];
    static int32_t numbers[ROWS];
    for (int i = 0; i < ROWS; i++) {
        bytes[i] = (uint8_t)i;
        numbers[i] = i;
    }
    kp_column values[4], keys[2], partitions[1];
    const int64_t cuts[] = {0, 3, 3, 130, ROWS};
    for (int i = 0; i < 4; i++) {
        kp_column_from_memory(&values[i], KP_ROWS_FIXED, bytes + cuts[i], cuts[i + 1] - cuts[i], 1, 1);
    }
    kp_column_from_memory(&keys[0], KP_ROWS_FIXED, bytes, 64, 1, 1);
    kp_column_from_memory(&keys[1], KP_ROWS_FIXED, bytes + 64, ROWS - 64, 1, 1);
    kp_column_from_memory(&partitions[0], KP_ROWS_INTEGERS, numbers, ROWS, 4, 4);
    kp_rows rows = {.values.pieces = values, .keys.pieces = keys, .partitions.pieces = partitions, .left = ROWS,
                    .same = {.timestamp_ms = 77}, .partition = -1};
    kp_row_block block = {0};
    int row = 0;
    while (kp_rows_next(&rows, &block) == KP_OK && block.n > 0) {
        for (int32_t i = 0; i < block.n; i++, row++) {
            const kp_record *r = &block.records[i];
            CHECK_INT(*r->value, row);
            CHECK_INT(*r->key, row);
            CHECK_INT(r->value_len, 1);
            CHECK_INT(r->timestamp_ms, 77);
            CHECK(r->headers == NULL);
            CHECK_INT(block.partitions[i], row);
        }
    }
    CHECK_INT(row, ROWS);
    kp_rows_free(&rows);
}

static void test_headers_above_the_limit_are_measured_and_not_encoded(void) {
    header_sample h;
    make_headers(&h, "+l", 0, 4, NULL);
    kp_column c, values;
    kp_column_fault fault;
    CHECK_INT(read_as(KP_COLUMN_HEADERS, &h.lists, &c, &fault), KP_OK);
    kp_column_from_memory(&values, KP_ROWS_FIXED, letters, 4, 1, 1);
    kp_rows rows = {.values.pieces = &values, .headers.pieces = &c, .left = 4, .same = {.key_len = -1}, .limit = 5};
    kp_row_block block = {0};
    CHECK_INT(kp_rows_next(&rows, &block), KP_OK);
    CHECK_INT(block.n, 4);
    CHECK_INT(block.records[0].headers_len, 5);
    CHECK(block.records[0].headers != NULL && block.records[2].headers == NULL && block.records[3].headers != NULL);
    CHECK_INT(block.records[2].headers_len, 10);
    CHECK_INT(block.records[3].headers_len, 4);
    kp_column_free(&c);
    kp_rows_free(&rows);
}

/* --- trail --- */

static void test_a_trail_is_walked_as_it_was_laid_and_forgets_its_beginning(void) {
    enum { STEPS = 5000 };
    kp_trail t = {0};
    uint64_t random = 5;
    static int32_t partitions[STEPS];
    static int64_t counts[STEPS];
    int n = 0;
    for (int i = 0; i < STEPS; i++) {
        const int32_t partition = (int32_t)(kp_test_random(&random) % 300 * (kp_test_random(&random) % 3 == 0 ? 7000000 : 1));
        const int64_t count = kp_test_random(&random) % 2 == 0 ? 1 : (int64_t)(kp_test_random(&random) % 100000) + 1;
        CHECK_INT(kp_trail_reserve(&t), KP_OK);
        kp_trail_add(&t, partition, count);
        if (n > 0 && partitions[n - 1] == partition) {
            counts[n - 1] += count;
        } else {
            partitions[n] = partition;
            counts[n++] = count;
        }
        if (i % 700 == 699) { /* drops all but the last two entries, as if all before were delivered */
            kp_trail_entry e = {.at = t.begin, .row = t.first_row};
            int64_t row = t.first_row;
            for (int k = 0; k < n; k++) {
                CHECK(kp_trail_next(&t, &e));
                CHECK_INT(e.partition, partitions[k]);
                CHECK_INT(e.n, counts[k]);
                CHECK_INT(e.row, row);
                row += e.n;
                if (k < n - 2) {
                    kp_trail_drop(&t, &e);
                }
            }
            CHECK(!kp_trail_next(&t, &e));
            partitions[0] = partitions[n - 2];
            counts[0] = counts[n - 2];
            partitions[1] = partitions[n - 1];
            counts[1] = counts[n - 1];
            n = 2;
        }
    }
    CHECK(t.cap <= 32768);
    kp_trail_free(&t);
}

static const kp_test tests[] = {
    KP_TEST(test_offsets_of_both_widths_with_and_without_nulls),
    KP_TEST(test_a_cut_array_begins_in_the_middle_of_its_buffers_bits_included),
    KP_TEST(test_views_are_in_place_or_in_their_buffer),
    KP_TEST(test_rows_of_one_width),
    KP_TEST(test_dictionaries_of_every_width_of_index),
    KP_TEST(test_a_dictionary_without_words_is_good_for_nulls_only),
    KP_TEST(test_formats_of_another_use_are_refused),
    KP_TEST(test_what_cannot_be_read_is_refused_before_it_is),
    KP_TEST(test_timestamps_become_milliseconds_and_null_is_told),
    KP_TEST(test_lists_and_maps_become_headers_as_they_stand_in_a_record),
    KP_TEST(test_headers_that_cannot_be_read_are_refused),
    KP_TEST(test_pieces_of_columns_need_not_begin_in_the_same_rows),
    KP_TEST(test_headers_above_the_limit_are_measured_and_not_encoded),
    KP_TEST(test_a_trail_is_walked_as_it_was_laid_and_forgets_its_beginning),
};

KP_TEST_MAIN(tests)
