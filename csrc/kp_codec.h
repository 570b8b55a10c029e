/* Purpose: compression of record batches by Kafka's codec ids, run without the GIL.
 *          The functions of zlib, liblz4 and libzstd are linked in (KP_HAVE_ZLIB, KP_HAVE_LZ4, KP_HAVE_ZSTD)
 *          or handed in by address at run time; "none" and "snappy" are always there.
 * Thread:  a kp_codec_ctx belongs to one thread at a time; everything else is pure.
 * Locks:   none.
 * Frees:   kp_codec_ctx_free. A kp_codec_lib is copied; the library behind it must stay loaded. */
#ifndef KP_CODEC_H
#define KP_CODEC_H

#include "kp_base.h"

/* The ids are those of the attributes of record batch v2. */
enum { KP_CODEC_NONE = 0, KP_CODEC_GZIP = 1, KP_CODEC_SNAPPY = 2, KP_CODEC_LZ4 = 3, KP_CODEC_ZSTD = 4, KP_CODEC_COUNT = 5 };

#define KP_CODEC_SYMBOLS_MAX 6

#define KP_CODEC_LEVEL_DEFAULT INT32_MIN

typedef void (*kp_codec_symbol)(void);

typedef struct kp_codec_lib {
    int codec;
    kp_codec_symbol symbols[KP_CODEC_SYMBOLS_MAX];
} kp_codec_lib;

/* Gives the address of a library function, or NULL. */
typedef void *(*kp_codec_resolve_fn)(void *arg, const char *symbol);

typedef struct kp_codec_ctx kp_codec_ctx;

/* NULL for an unknown id. */
const char *kp_codec_name(int codec);

/* The library functions that the codec calls; *count is 0 for "none" and "snappy". NULL for an unknown id. */
const char *const *kp_codec_symbol_names(int codec, size_t *count);

/* KP_ERR_CODEC if the codec was not compiled in. */
kp_status kp_codec_lib_builtin(int codec, kp_codec_lib *out);

/* KP_ERR_CODEC if a function is missing. */
kp_status kp_codec_lib_resolve(int codec, kp_codec_resolve_fn resolve, void *arg, kp_codec_lib *out);

/* level: KP_CODEC_LEVEL_DEFAULT, or gzip -1 (its default) and 1..9, lz4 1..17 (default 9), zstd -131072..22 (default 3);
 * "none" and "snappy" ignore it. KP_ERR_INVALID if out of range or if lib is another codec's, KP_ERR_NOMEM. */
kp_status kp_codec_ctx_new(int codec, int level, const kp_codec_lib *lib, kp_codec_ctx **out);

/* ctx may be NULL. */
void kp_codec_ctx_free(kp_codec_ctx *ctx);

int kp_codec_ctx_codec(const kp_codec_ctx *ctx);

/* Room with which compressing n bytes cannot answer KP_FULL. */
size_t kp_codec_bound(const kp_codec_ctx *ctx, size_t n);

/* KP_FULL if the result does not fit in cap (so cap = n - 1 asks "only if it gets smaller"); dst is then undefined;
 * zstd says so also when the few spare bytes it works in are missing.
 * KP_ERR_TOO_LARGE if n > INT32_MAX, KP_ERR_CODEC if the library fails. The context can be used again after each. */
kp_status kp_codec_compress(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap, size_t *out_len);

#endif
