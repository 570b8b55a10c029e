/* Purpose: what the codec files share among themselves; only kp_codec*.c include it.
 * Thread:  as kp_codec.h.
 * Locks:   none.
 * Frees:   close() frees what open() put into ctx->state. */
#ifndef KP_CODEC_IMPL_H
#define KP_CODEC_IMPL_H

#include "kp_codec.h"

typedef struct kp_codec {
    int id;
    const char *name;
    int level_min, level_max, level_default;
    size_t symbol_count;
    const char *const *symbol_names;
    const kp_codec_symbol *builtin; /* NULL if the library was not there at compile time */
    kp_status (*open)(kp_codec_ctx *ctx);
    void (*close)(kp_codec_ctx *ctx);
    size_t (*bound)(const kp_codec_ctx *ctx, size_t n);
    kp_status (*compress)(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap, size_t *out_len);
} kp_codec;

struct kp_codec_ctx {
    const kp_codec *codec;
    kp_codec_lib lib;
    int level;
    void *state;
};

extern const kp_codec kp_codec_gzip;
extern const kp_codec kp_codec_lz4;
extern const kp_codec kp_codec_zstd;

/* close() of a codec whose state is one plain allocation, or none. */
void kp_codec_free_state(kp_codec_ctx *ctx);

#endif
