/* Columns out of Arrow's structures: what a format means, and whether every row of a column can be read. */
#include "kp_columns_impl.h"

#include <stdlib.h>

/* --- checking: once for each column, so that no reader has to --- */

static kp_status refuse(kp_column_fault *fault, const char *text, int64_t row) {
    *fault = (kp_column_fault){.text = text, .row = row};
    return KP_ERR_MALFORMED;
}

static kp_status check_offsets(const kp_column *c, int64_t most, kp_column_fault *fault) {
    if (c->rows == NULL) {
        return c->length == 0 ? KP_OK : refuse(fault, "the buffer of offsets is missing", -1);
    }
    int64_t from = kp_column_offset_at(c, 0);
    if (from < 0) {
        return refuse(fault, "an offset is negative", 0);
    }
    for (int64_t row = 0; row < c->length; row++) {
        const int64_t to = kp_column_offset_at(c, row + 1);
        if (to < from) {
            return refuse(fault, "its offsets decrease", row);
        }
        if (to > most) {
            return refuse(fault, "an offset lies behind the end of what it counts in", row);
        }
        from = to;
    }
    return KP_OK;
}

static kp_status check_bytes_by_offset(const kp_column *c, kp_column_fault *fault) {
    return check_offsets(c, c->data == NULL ? 0 : INT64_MAX, fault); /* how long the data is, Arrow does not say */
}

static bool is_view_inside(const kp_column *c, const uint8_t *view) {
    const int32_t len = kp_load_i32(view), buffer = kp_load_i32(view + 8), offset = kp_load_i32(view + 12);
    if (len < 0 || len <= KP_VIEW_INLINE) {
        return len >= 0;
    }
    return buffer >= 0 && buffer < c->n_buffers && offset >= 0 && c->buffers[buffer] != NULL &&
           (int64_t)offset + len <= c->buffer_sizes[buffer];
}

static kp_status check_views(const kp_column *c, kp_column_fault *fault) {
    if (c->rows == NULL) {
        return c->length == 0 ? KP_OK : refuse(fault, "the buffer of views is missing", -1);
    }
    for (int64_t row = 0; row < c->length; row++) {
        if (!kp_column_is_null(c, row) && !is_view_inside(c, kp_column_entry(c, row))) {
            return refuse(fault, "a view points outside of its buffer", row);
        }
    }
    return KP_OK;
}

static kp_status check_codes(const kp_column *c, kp_column_fault *fault) {
    if (c->rows == NULL && c->length > 0) {
        return refuse(fault, "the buffer of dictionary indices is missing", -1);
    }
    int64_t code;
    const int64_t row = kp_column_find_outside(c, 0, c->children[0].length - 1, &code);
    return row < 0 ? KP_OK : refuse(fault, "a dictionary index is outside of the dictionary", row);
}

static kp_status check_lists(const kp_column *c, kp_column_fault *fault) {
    const kp_status status = check_offsets(c, kp_min_i64(c->children[0].length, c->children[1].length), fault);
    for (int64_t row = 0; status == KP_OK && row < c->length; row++) {
        int64_t from, to;
        for (kp_column_list_bounds(c, row, &from, &to); from < to; from++) {
            kp_slice key;
            kp_column_slices(&c->children[0], from, 1, &key);
            if (key.len < 0) {
                return refuse(fault, "the key of a header is null", row);
            }
        }
    }
    return status;
}

static kp_status check_rows(const kp_column *c, kp_column_fault *fault) {
    switch (c->layout) {
    case KP_ROWS_NULL:
        return KP_OK;
    case KP_ROWS_OFFSETS32:
    case KP_ROWS_OFFSETS64:
        return check_bytes_by_offset(c, fault);
    case KP_ROWS_VIEWS:
        return check_views(c, fault);
    case KP_ROWS_CODES:
        return check_codes(c, fault);
    case KP_ROWS_LISTS32:
    case KP_ROWS_LISTS64:
        return check_lists(c, fault);
    default:
        return c->rows != NULL || c->length == 0 || c->width == 0 ? KP_OK : refuse(fault, "the buffer of its rows is missing", -1);
    }
}

/* --- Arrow's formats --- */

typedef struct format {
    const char *text; /* as it stands in a schema; with a ':' at the end something follows */
    kp_column_layout layout;
    int8_t width; /* of an entry; 0: it follows the ':' */
    bool is_signed;
    int16_t multiplier;
    int32_t divisor;
} format;

static const format bytes_formats[] = {
    {.text = "n", .layout = KP_ROWS_NULL},
    {.text = "z", .layout = KP_ROWS_OFFSETS32, .width = 4},
    {.text = "u", .layout = KP_ROWS_OFFSETS32, .width = 4},
    {.text = "Z", .layout = KP_ROWS_OFFSETS64, .width = 8},
    {.text = "U", .layout = KP_ROWS_OFFSETS64, .width = 8},
    {.text = "vz", .layout = KP_ROWS_VIEWS, .width = KP_VIEW_BYTES},
    {.text = "vu", .layout = KP_ROWS_VIEWS, .width = KP_VIEW_BYTES},
    {.text = "w:", .layout = KP_ROWS_FIXED},
};

static const format timestamp_formats[] = {
    {.text = "n", .layout = KP_ROWS_NULL},
    {.text = "l", .layout = KP_ROWS_INTEGERS, .width = 8, .is_signed = true, .multiplier = 1, .divisor = 1},
    {.text = "tss:", .layout = KP_ROWS_INTEGERS, .width = 8, .is_signed = true, .multiplier = 1000, .divisor = 1},
    {.text = "tsm:", .layout = KP_ROWS_INTEGERS, .width = 8, .is_signed = true, .multiplier = 1, .divisor = 1},
    {.text = "tsu:", .layout = KP_ROWS_INTEGERS, .width = 8, .is_signed = true, .multiplier = 1, .divisor = 1000},
    {.text = "tsn:", .layout = KP_ROWS_INTEGERS, .width = 8, .is_signed = true, .multiplier = 1, .divisor = 1000000},
};

static const format partition_formats[] = {
    {.text = "n", .layout = KP_ROWS_NULL},
    {.text = "i", .layout = KP_ROWS_INTEGERS, .width = 4, .is_signed = true, .multiplier = 1, .divisor = 1},
    {.text = "l", .layout = KP_ROWS_INTEGERS, .width = 8, .is_signed = true, .multiplier = 1, .divisor = 1},
};

static const format header_formats[] = {
    {.text = "n", .layout = KP_ROWS_NULL},
    {.text = "+l", .layout = KP_ROWS_LISTS32, .width = 4},
    {.text = "+L", .layout = KP_ROWS_LISTS64, .width = 8},
    {.text = "+m", .layout = KP_ROWS_LISTS32, .width = 4},
};

static const format code_formats[] = {
    {.text = "c", .layout = KP_ROWS_CODES, .width = 1, .is_signed = true},
    {.text = "C", .layout = KP_ROWS_CODES, .width = 1},
    {.text = "s", .layout = KP_ROWS_CODES, .width = 2, .is_signed = true},
    {.text = "S", .layout = KP_ROWS_CODES, .width = 2},
    {.text = "i", .layout = KP_ROWS_CODES, .width = 4, .is_signed = true},
    {.text = "I", .layout = KP_ROWS_CODES, .width = 4},
    {.text = "l", .layout = KP_ROWS_CODES, .width = 8, .is_signed = true},
    {.text = "L", .layout = KP_ROWS_CODES, .width = 8},
};

static bool is_format(const format *f, const char *text) {
    const size_t n = strlen(f->text);
    return f->text[n - 1] == ':' ? strncmp(f->text, text, n) == 0 : strcmp(f->text, text) == 0;
}

static const format *find_among(const format *formats, size_t n, const char *text) {
    for (size_t i = 0; i < n; i++) {
        if (is_format(&formats[i], text)) {
            return &formats[i];
        }
    }
    return NULL;
}

#define FIND_AMONG(formats, text) find_among(formats, KP_ARRAY_LEN(formats), text)

static const format *find_format(kp_column_use use, const kp_arrow_schema *schema) {
    if (schema->format == NULL) {
        return NULL;
    }
    if (schema->dictionary != NULL) {
        return use == KP_COLUMN_BYTES ? FIND_AMONG(code_formats, schema->format) : NULL;
    }
    switch (use) {
    case KP_COLUMN_BYTES:
        return FIND_AMONG(bytes_formats, schema->format);
    case KP_COLUMN_TIMESTAMPS:
        return FIND_AMONG(timestamp_formats, schema->format);
    case KP_COLUMN_PARTITIONS:
        return FIND_AMONG(partition_formats, schema->format);
    default:
        return FIND_AMONG(header_formats, schema->format);
    }
}

/* The number behind "w:"; -1 if there is none that fits. */
static int64_t fixed_width(const char *text) {
    int64_t width = 0;
    if (*text == '\0') {
        return -1;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || width > INT32_MAX / 10) {
            return -1;
        }
        width = width * 10 + (*text - '0');
    }
    return width;
}

/* --- building --- */

static bool is_list(const kp_column *c) { return c->layout == KP_ROWS_LISTS32 || c->layout == KP_ROWS_LISTS64; }

static kp_status make_children(kp_column *c, int32_t n) {
    c->children = calloc((size_t)n, sizeof *c->children);
    c->n_children = c->children == NULL ? 0 : n;
    return c->children == NULL ? KP_ERR_NOMEM : KP_OK;
}

static kp_status read_dictionary(kp_column *c, const kp_arrow_schema *schema, const kp_arrow_array *array,
                                 kp_column_fault *fault) {
    if (schema->dictionary->dictionary != NULL) {
        return KP_ERR_INVALID; /* whose readers would nest as deep as the input says */
    }
    if (array->dictionary == NULL) {
        return refuse(fault, "the dictionary is missing", -1);
    }
    const kp_status status = make_children(c, 1);
    return status != KP_OK ? status
                           : kp_column_from_arrow(&c->children[0], KP_COLUMN_BYTES, schema->dictionary, array->dictionary, fault);
}

static bool has_null_struct(const kp_arrow_array *structs) {
    const kp_column c = {.first = structs->offset, .validity = structs->n_buffers > 0 ? structs->buffers[0] : NULL, .layout = KP_ROWS_FIXED};
    for (int64_t row = 0; c.validity != NULL && row < structs->length; row++) {
        if (kp_column_is_null(&c, row)) {
            return true;
        }
    }
    return false;
}

/* The children of a struct are not cut with it: its offset is added to theirs, its length holds for them. */
static kp_status read_field(kp_column *field, const kp_arrow_schema *schema, const kp_arrow_array *structs, int i,
                            kp_column_fault *fault) {
    const kp_status status = kp_column_from_arrow(field, KP_COLUMN_BYTES, schema, structs->children[i], fault);
    if (status != KP_OK) {
        return status;
    }
    if (structs->offset > field->length || structs->length > field->length - structs->offset) {
        return refuse(fault, "a field of a header is shorter than the headers", -1);
    }
    field->first += structs->offset;
    field->length = structs->length;
    return KP_OK;
}

static kp_status read_headers(kp_column *c, const kp_arrow_schema *schema, const kp_arrow_array *array, kp_column_fault *fault) {
    const kp_arrow_schema *entry_schema = schema->n_children == 1 ? schema->children[0] : NULL;
    if (entry_schema == NULL || entry_schema->format == NULL || strcmp(entry_schema->format, "+s") != 0 || entry_schema->n_children != 2) {
        return KP_ERR_INVALID;
    }
    const kp_arrow_array *structs = array->n_children == 1 ? array->children[0] : NULL;
    if (structs == NULL || structs->n_children != 2 || structs->length < 0 || structs->offset < 0) {
        return refuse(fault, "the key and the value of headers are missing", -1);
    }
    if (has_null_struct(structs)) {
        return refuse(fault, "a header is null", -1);
    }
    kp_status status = make_children(c, 2);
    for (int i = 0; status == KP_OK && i < 2; i++) {
        status = read_field(&c->children[i], entry_schema->children[i], structs, i, fault);
    }
    return status;
}

static kp_status read_variadic(kp_column *c, const kp_arrow_array *array, kp_column_fault *fault) {
    c->n_buffers = array->n_buffers - 3; /* validity, views, then these and last their sizes */
    c->buffers = (const void *const *)(array->buffers + 2);
    c->buffer_sizes = array->buffers[array->n_buffers - 1];
    if (c->n_buffers > 0 && c->buffer_sizes == NULL) {
        return refuse(fault, "the sizes of the variadic buffers are missing", -1);
    }
    return KP_OK;
}

static int64_t fewest_buffers(kp_column_layout layout) {
    switch (layout) {
    case KP_ROWS_NULL:
        return 0;
    case KP_ROWS_OFFSETS32:
    case KP_ROWS_OFFSETS64:
    case KP_ROWS_VIEWS:
        return 3;
    default:
        return 2;
    }
}

static kp_status read_buffers(kp_column *c, const kp_arrow_array *array, kp_column_fault *fault) {
    const int64_t fewest = fewest_buffers(c->layout);
    if (array->length < 0 || array->offset < 0 || array->offset > INT64_MAX / 64 || array->length > INT64_MAX / 64 - array->offset) {
        return refuse(fault, "its length or offset is not possible", -1);
    }
    if (array->n_buffers < fewest || (fewest > 0 && array->buffers == NULL)) {
        return refuse(fault, "it has too few buffers", -1);
    }
    if (fewest > 0) {
        c->validity = array->buffers[0];
        c->rows = array->buffers[1];
    }
    if (c->layout == KP_ROWS_VIEWS) {
        return read_variadic(c, array, fault);
    }
    c->data = fewest == 3 ? array->buffers[2] : NULL;
    return KP_OK;
}

kp_status kp_column_from_arrow(kp_column *c, kp_column_use use, const kp_arrow_schema *schema, const kp_arrow_array *array,
                               kp_column_fault *fault) {
    *c = (kp_column){0};
    const format *f = find_format(use, schema);
    const int64_t width = f == NULL ? -1 : f->layout == KP_ROWS_FIXED ? fixed_width(schema->format + 2) : f->width;
    if (width < 0) {
        return KP_ERR_INVALID;
    }
    kp_column_from_memory(c, f->layout, NULL, array->length, width, width);
    c->first = array->offset;
    c->is_signed = f->is_signed;
    c->multiplier = f->multiplier;
    c->divisor = f->divisor;
    kp_status status = read_buffers(c, array, fault);
    if (status == KP_OK && c->layout == KP_ROWS_CODES) {
        status = read_dictionary(c, schema, array, fault);
    } else if (status == KP_OK && is_list(c)) {
        status = read_headers(c, schema, array, fault);
    }
    if (status == KP_OK) {
        status = check_rows(c, fault);
    }
    if (status != KP_OK) {
        kp_column_free(c);
    }
    return status;
}
