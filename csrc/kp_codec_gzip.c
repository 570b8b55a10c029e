/* gzip through zlib's stream interface; one deflate state per context, reset for each batch. */
#include <stdlib.h>

#include "kp_codec_impl.h"

/* The layout of zlib's z_stream, part of its ABI since 1.0; used where zlib.h is missing. */
typedef struct abi_stream {
    const unsigned char *next_in;
    unsigned int avail_in;
    unsigned long total_in;
    unsigned char *next_out;
    unsigned int avail_out;
    unsigned long total_out;
    const char *msg;
    void *state;
    void *(*alloc)(void *, unsigned int, unsigned int);
    void (*release)(void *, void *);
    void *opaque;
    int data_type;
    unsigned long checksum;
    unsigned long reserved;
} abi_stream;

#ifdef KP_HAVE_ZLIB
#define ZLIB_CONST
#include <zlib.h>
typedef z_stream stream_t;
KP_STATIC_ASSERT(sizeof(abi_stream) == sizeof(z_stream), "z_stream differs from its published layout");
KP_STATIC_ASSERT(offsetof(abi_stream, next_out) == offsetof(z_stream, next_out), "z_stream.next_out moved");
KP_STATIC_ASSERT(offsetof(abi_stream, total_out) == offsetof(z_stream, total_out), "z_stream.total_out moved");
KP_STATIC_ASSERT(offsetof(abi_stream, opaque) == offsetof(z_stream, opaque), "z_stream.opaque moved");
#else
typedef abi_stream stream_t;
#endif

enum {
    FINISH = 4,
    STREAM_END = 1,
    STATUS_OK = 0,
    BUFFER_ERROR = -5,
    METHOD_DEFLATE = 8,
    WINDOW_32K_WITH_GZIP_HEADER = 15 + 16,
    MEMORY_LEVEL = 8,
    STRATEGY_DEFAULT = 0,
    GZIP_OVERHEAD = 18
};

/* zlib compares the first character only. */
static const char compatible_version[] = "1.2.11";

typedef int (*init_fn)(stream_t *, int level, int method, int window_bits, int mem_level, int strategy,
                       const char *version, int stream_size);
typedef int (*deflate_fn)(stream_t *, int flush);
typedef int (*stream_fn)(stream_t *);
typedef unsigned long (*bound_fn)(stream_t *, unsigned long);

enum { SYM_INIT, SYM_DEFLATE, SYM_RESET, SYM_END, SYM_BOUND, SYM_COUNT };

static const char *const symbol_names[SYM_COUNT] = {"deflateInit2_", "deflate", "deflateReset", "deflateEnd",
                                                    "deflateBound"};

#ifdef KP_HAVE_ZLIB
static const kp_codec_symbol builtin_symbols[SYM_COUNT] = {
    (kp_codec_symbol)deflateInit2_, (kp_codec_symbol)deflate, (kp_codec_symbol)deflateReset,
    (kp_codec_symbol)deflateEnd, (kp_codec_symbol)deflateBound};
#endif

static kp_status gzip_open(kp_codec_ctx *ctx) {
    const init_fn init = (init_fn)ctx->lib.symbols[SYM_INIT];
    stream_t *const stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        return KP_ERR_NOMEM;
    }
    const int result = init(stream, ctx->level, METHOD_DEFLATE, WINDOW_32K_WITH_GZIP_HEADER, MEMORY_LEVEL,
                            STRATEGY_DEFAULT, compatible_version, (int)sizeof *stream);
    if (result != STATUS_OK) {
        free(stream);
        return result == -4 /* Z_MEM_ERROR */ ? KP_ERR_NOMEM : KP_ERR_CODEC;
    }
    ctx->state = stream;
    return KP_OK;
}

static void gzip_close(kp_codec_ctx *ctx) {
    ((stream_fn)ctx->lib.symbols[SYM_END])(ctx->state);
    free(ctx->state);
}

static size_t gzip_bound(const kp_codec_ctx *ctx, size_t n) {
    return (size_t)((bound_fn)ctx->lib.symbols[SYM_BOUND])(ctx->state, (unsigned long)n) + GZIP_OVERHEAD;
}

static kp_status gzip_compress(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                               size_t *out_len) {
    stream_t *const stream = ctx->state;
    if (((stream_fn)ctx->lib.symbols[SYM_RESET])(stream) != STATUS_OK) {
        return KP_ERR_CODEC;
    }
    stream->next_in = src;
    stream->avail_in = (unsigned int)n;
    stream->next_out = dst;
    stream->avail_out = (unsigned int)cap;
    const int result = ((deflate_fn)ctx->lib.symbols[SYM_DEFLATE])(stream, FINISH);
    if (result == STATUS_OK || result == BUFFER_ERROR) {
        return KP_FULL;
    }
    if (result != STREAM_END) {
        return KP_ERR_CODEC;
    }
    *out_len = cap - stream->avail_out;
    return KP_OK;
}

const kp_codec kp_codec_gzip = {
    .id = KP_CODEC_GZIP,
    .name = "gzip",
    .level_min = 1,
    .level_max = 9,
    .level_default = -1,
    .symbol_count = SYM_COUNT,
    .symbol_names = symbol_names,
#ifdef KP_HAVE_ZLIB
    .builtin = builtin_symbols,
#endif
    .open = gzip_open,
    .close = gzip_close,
    .bound = gzip_bound,
    .compress = gzip_compress,
};

KP_STATIC_ASSERT(SYM_COUNT <= KP_CODEC_SYMBOLS_MAX, "raise KP_CODEC_SYMBOLS_MAX");
