/* zstd: one ZSTD_CCtx per context, which keeps its tables between batches. */
#include "kp_codec_impl.h"

#ifdef KP_HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#else
typedef struct ZSTD_CCtx_s ZSTD_CCtx;
typedef int ZSTD_cParameter;
typedef int ZSTD_ErrorCode;
#endif

/* Values that zstd promises to keep. */
enum { PARAM_LEVEL = 100, PARAM_WINDOW_LOG = 101, ERROR_DST_TOO_SMALL = 70 };

enum {
    WINDOW_LOG_MAX = 23, /* readers need not accept a window above 8 MiB (RFC 8878), and levels 20 to 22 ask for more */
    LEVEL_WINDOW_OVER_MAX = 20
};

#ifdef KP_HAVE_ZSTD
KP_STATIC_ASSERT((int)PARAM_LEVEL == (int)ZSTD_c_compressionLevel, "ZSTD_c_compressionLevel changed");
KP_STATIC_ASSERT((int)PARAM_WINDOW_LOG == (int)ZSTD_c_windowLog, "ZSTD_c_windowLog changed");
KP_STATIC_ASSERT((int)ERROR_DST_TOO_SMALL == (int)ZSTD_error_dstSize_tooSmall, "ZSTD_error_dstSize_tooSmall changed");
#endif

typedef ZSTD_CCtx *(*create_fn)(void);
typedef size_t (*free_fn)(ZSTD_CCtx *);
typedef size_t (*set_fn)(ZSTD_CCtx *, ZSTD_cParameter, int);
typedef size_t (*compress_fn)(ZSTD_CCtx *, void *dst, size_t cap, const void *src, size_t n);
typedef size_t (*bound_fn)(size_t);
typedef ZSTD_ErrorCode (*error_fn)(size_t);

enum { SYM_CREATE, SYM_FREE, SYM_SET, SYM_COMPRESS, SYM_BOUND, SYM_ERROR, SYM_COUNT };

static const char *const symbol_names[SYM_COUNT] = {"ZSTD_createCCtx", "ZSTD_freeCCtx",     "ZSTD_CCtx_setParameter",
                                                    "ZSTD_compress2",  "ZSTD_compressBound", "ZSTD_getErrorCode"};

#ifdef KP_HAVE_ZSTD
static const kp_codec_symbol builtin_symbols[SYM_COUNT] = {
    (kp_codec_symbol)ZSTD_createCCtx, (kp_codec_symbol)ZSTD_freeCCtx,      (kp_codec_symbol)ZSTD_CCtx_setParameter,
    (kp_codec_symbol)ZSTD_compress2,  (kp_codec_symbol)ZSTD_compressBound, (kp_codec_symbol)ZSTD_getErrorCode};
#endif

static int error_of(const kp_codec_ctx *ctx, size_t result) {
    return (int)((error_fn)ctx->lib.symbols[SYM_ERROR])(result);
}

static kp_status set_parameter(kp_codec_ctx *ctx, int parameter, int value) {
    const set_fn set = (set_fn)ctx->lib.symbols[SYM_SET];
    return error_of(ctx, set(ctx->state, (ZSTD_cParameter)parameter, value)) == 0 ? KP_OK : KP_ERR_CODEC;
}

static void zstd_close(kp_codec_ctx *ctx) {
    ((free_fn)ctx->lib.symbols[SYM_FREE])(ctx->state);
}

static kp_status zstd_open(kp_codec_ctx *ctx) {
    ctx->state = ((create_fn)ctx->lib.symbols[SYM_CREATE])();
    if (ctx->state == NULL) {
        return KP_ERR_NOMEM;
    }
    kp_status status = set_parameter(ctx, PARAM_LEVEL, ctx->level);
    if (status == KP_OK && ctx->level >= LEVEL_WINDOW_OVER_MAX) {
        status = set_parameter(ctx, PARAM_WINDOW_LOG, WINDOW_LOG_MAX);
    }
    if (status != KP_OK) {
        zstd_close(ctx);
    }
    return status;
}

static size_t zstd_bound(const kp_codec_ctx *ctx, size_t n) {
    return ((bound_fn)ctx->lib.symbols[SYM_BOUND])(n);
}

static kp_status zstd_compress(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                               size_t *out_len) {
    const size_t result = ((compress_fn)ctx->lib.symbols[SYM_COMPRESS])(ctx->state, dst, cap, src, n);
    switch (error_of(ctx, result)) {
    case 0: *out_len = result; return KP_OK;
    case ERROR_DST_TOO_SMALL: return KP_FULL;
    default: return KP_ERR_CODEC;
    }
}

const kp_codec kp_codec_zstd = {
    .id = KP_CODEC_ZSTD,
    .name = "zstd",
    .level_min = -131072,
    .level_max = 22,
    .level_default = 3,
    .symbol_count = SYM_COUNT,
    .symbol_names = symbol_names,
#ifdef KP_HAVE_ZSTD
    .builtin = builtin_symbols,
#endif
    .open = zstd_open,
    .close = zstd_close,
    .bound = zstd_bound,
    .compress = zstd_compress,
};

KP_STATIC_ASSERT(SYM_COUNT <= KP_CODEC_SYMBOLS_MAX, "raise KP_CODEC_SYMBOLS_MAX");
