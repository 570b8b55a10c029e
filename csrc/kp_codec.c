#include "kp_codec.h"

#include <stdlib.h>
#include <string.h>

#include "kp_codec_impl.h"
#include "kp_snappy.h"

/* ---- none ---- */

static kp_status none_open(kp_codec_ctx *ctx) {
    KP_UNUSED(ctx);
    return KP_OK;
}

static size_t none_bound(const kp_codec_ctx *ctx, size_t n) {
    KP_UNUSED(ctx);
    return n;
}

static kp_status none_compress(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                               size_t *out_len) {
    KP_UNUSED(ctx);
    if (n > cap) {
        return KP_FULL;
    }
    if (n > 0) {
        memcpy(dst, src, n);
    }
    *out_len = n;
    return KP_OK;
}

/* ---- snappy ---- */

static kp_status snappy_open(kp_codec_ctx *ctx) {
    ctx->state = malloc(sizeof(kp_snappy_scratch));
    return ctx->state != NULL ? KP_OK : KP_ERR_NOMEM;
}

static size_t snappy_bound(const kp_codec_ctx *ctx, size_t n) {
    KP_UNUSED(ctx);
    return kp_snappy_xerial_bound(n);
}

static kp_status snappy_compress(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                                 size_t *out_len) {
    return kp_snappy_xerial_compress(ctx->state, src, n, dst, cap, out_len);
}

void kp_codec_free_state(kp_codec_ctx *ctx) {
    free(ctx->state);
}

/* ---- the table ---- */

static const kp_codec codec_none = {
    .id = KP_CODEC_NONE,
    .name = "none",
    .open = none_open,
    .close = kp_codec_free_state,
    .bound = none_bound,
    .compress = none_compress,
};

static const kp_codec codec_snappy = {
    .id = KP_CODEC_SNAPPY,
    .name = "snappy",
    .open = snappy_open,
    .close = kp_codec_free_state,
    .bound = snappy_bound,
    .compress = snappy_compress,
};

static const kp_codec *find(int codec) {
    switch (codec) {
    case KP_CODEC_NONE: return &codec_none;
    case KP_CODEC_GZIP: return &kp_codec_gzip;
    case KP_CODEC_SNAPPY: return &codec_snappy;
    case KP_CODEC_LZ4: return &kp_codec_lz4;
    case KP_CODEC_ZSTD: return &kp_codec_zstd;
    default: return NULL;
    }
}

const char *kp_codec_name(int codec) {
    const kp_codec *const c = find(codec);
    return c != NULL ? c->name : NULL;
}

const char *const *kp_codec_symbol_names(int codec, size_t *count) {
    const kp_codec *const c = find(codec);
    *count = c != NULL ? c->symbol_count : 0;
    return c != NULL ? c->symbol_names : NULL;
}

kp_status kp_codec_lib_builtin(int codec, kp_codec_lib *out) {
    const kp_codec *const c = find(codec);
    if (c == NULL) {
        return KP_ERR_INVALID;
    }
    if (c->symbol_count > 0 && c->builtin == NULL) {
        return KP_ERR_CODEC;
    }
    memset(out, 0, sizeof *out);
    out->codec = codec;
    for (size_t i = 0; i < c->symbol_count; i++) {
        out->symbols[i] = c->builtin[i];
    }
    return KP_OK;
}

kp_status kp_codec_lib_resolve(int codec, kp_codec_resolve_fn resolve, void *arg, kp_codec_lib *out) {
    const kp_codec *const c = find(codec);
    if (c == NULL) {
        return KP_ERR_INVALID;
    }
    memset(out, 0, sizeof *out);
    out->codec = codec;
    for (size_t i = 0; i < c->symbol_count; i++) {
        void *const address = resolve(arg, c->symbol_names[i]);
        if (address == NULL) {
            return KP_ERR_CODEC;
        }
        out->symbols[i] = (kp_codec_symbol)(uintptr_t)address;
    }
    return KP_OK;
}

/* ---- contexts ---- */

static bool has_levels(const kp_codec *codec) { return codec->level_min != codec->level_max; }

static bool is_level_valid(const kp_codec *codec, int level) {
    return !has_levels(codec) || level == codec->level_default ||
           (level >= codec->level_min && level <= codec->level_max);
}

kp_status kp_codec_ctx_new(int codec, int level, const kp_codec_lib *lib, kp_codec_ctx **out) {
    const kp_codec *const c = find(codec);
    if (c != NULL && level == KP_CODEC_LEVEL_DEFAULT) {
        level = c->level_default;
    }
    if (c == NULL || lib == NULL || lib->codec != codec || !is_level_valid(c, level)) {
        return KP_ERR_INVALID;
    }
    kp_codec_ctx *const ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        return KP_ERR_NOMEM;
    }
    ctx->codec = c;
    ctx->lib = *lib;
    ctx->level = level;
    const kp_status status = c->open(ctx);
    if (status != KP_OK) {
        free(ctx);
        return status;
    }
    *out = ctx;
    return KP_OK;
}

void kp_codec_ctx_free(kp_codec_ctx *ctx) {
    if (ctx != NULL) {
        ctx->codec->close(ctx);
        free(ctx);
    }
}

int kp_codec_ctx_codec(const kp_codec_ctx *ctx) {
    return ctx->codec->id;
}

size_t kp_codec_bound(const kp_codec_ctx *ctx, size_t n) {
    return ctx->codec->bound(ctx, n);
}

kp_status kp_codec_compress(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                            size_t *out_len) {
    if (n > INT32_MAX) { /* lengths in a batch are 32 bits, and so is a parameter of every library */
        return KP_ERR_TOO_LARGE;
    }
    return ctx->codec->compress(ctx, src, n, dst, kp_min_size(cap, INT32_MAX), out_len);
}
