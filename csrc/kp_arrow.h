/* Purpose: the Arrow C data and C stream interfaces, whose layout is a stable ABI: memory that another library owns.
 * Thread:  any one at a time, as the library that filled them in allows.
 * Locks:   none.
 * Frees:   whoever holds a structure calls its release once; a release of NULL means released, or moved elsewhere. */
#ifndef KP_ARROW_H
#define KP_ARROW_H

#include "kp_base.h"

typedef struct kp_arrow_schema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct kp_arrow_schema **children;
    struct kp_arrow_schema *dictionary;
    void (*release)(struct kp_arrow_schema *);
    void *private_data;
} kp_arrow_schema;

typedef struct kp_arrow_array {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct kp_arrow_array **children;
    struct kp_arrow_array *dictionary;
    void (*release)(struct kp_arrow_array *);
    void *private_data;
} kp_arrow_array;

/* The calls return 0 or an errno, of which get_last_error (or NULL) tells more. An array whose release is NULL ends it. */
typedef struct kp_arrow_stream {
    int (*get_schema)(struct kp_arrow_stream *, kp_arrow_schema *out);
    int (*get_next)(struct kp_arrow_stream *, kp_arrow_array *out);
    const char *(*get_last_error)(struct kp_arrow_stream *);
    void (*release)(struct kp_arrow_stream *);
    void *private_data;
} kp_arrow_stream;

#endif
