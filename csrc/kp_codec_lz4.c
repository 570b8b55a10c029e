/* LZ4 frame. The frame is written here around liblz4's block functions, because LZ4F_* refuse to start unless the
 * worst case fits, and the pump asks for "only if it gets smaller". */
#include <stdlib.h>
#include <string.h>

#include "kp_codec_impl.h"
#include "kp_endian.h"

#ifdef KP_HAVE_LZ4
#include <lz4.h>
#include <lz4hc.h>
#endif

enum {
    BLOCK_SIZE = 65536,
    BLOCK_HEADER = 4,
    END_MARK = 4,
    ACCELERATION = 1,
    LEVEL_FAST = 9, /* as the Java client: 9, the default, means the fast compressor, any other level the high one */
    LEVEL_HIGH_MAX = 12
};

#define BLOCK_IS_RAW 0x80000000u

/* Magic, version 1 with independent blocks and no checksums, 64 KiB blocks, and the header checksum of these two. */
static const uint8_t frame_header[7] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82};

typedef int (*size_fn)(void);
typedef int (*compress_fn)(void *state, const char *src, char *dst, int n, int cap, int level);

enum { SYM_SIZEOF_FAST, SYM_FAST, SYM_SIZEOF_HIGH, SYM_HIGH, SYM_COUNT };

static const char *const symbol_names[SYM_COUNT] = {"LZ4_sizeofState", "LZ4_compress_fast_extState",
                                                    "LZ4_sizeofStateHC", "LZ4_compress_HC_extStateHC"};

#ifdef KP_HAVE_LZ4
static const kp_codec_symbol builtin_symbols[SYM_COUNT] = {
    (kp_codec_symbol)LZ4_sizeofState, (kp_codec_symbol)LZ4_compress_fast_extState, (kp_codec_symbol)LZ4_sizeofStateHC,
    (kp_codec_symbol)LZ4_compress_HC_extStateHC};
#endif

static bool is_fast(const kp_codec_ctx *ctx) { return ctx->level == LEVEL_FAST; }

static kp_status lz4_open(kp_codec_ctx *ctx) {
    const size_fn state_size = (size_fn)ctx->lib.symbols[is_fast(ctx) ? SYM_SIZEOF_FAST : SYM_SIZEOF_HIGH];
    const int size = state_size();
    if (size <= 0) {
        return KP_ERR_CODEC;
    }
    ctx->state = calloc(1, (size_t)size);
    return ctx->state != NULL ? KP_OK : KP_ERR_NOMEM;
}

static size_t lz4_bound(const kp_codec_ctx *ctx, size_t n) {
    KP_UNUSED(ctx);
    return sizeof frame_header + n + (n / BLOCK_SIZE + 1) * BLOCK_HEADER + END_MARK;
}

/* Bytes written, or 0 if the block would not get smaller or does not fit. */
static size_t compress_block(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
    const compress_fn compress = (compress_fn)ctx->lib.symbols[is_fast(ctx) ? SYM_FAST : SYM_HIGH];
    const int level = is_fast(ctx) ? ACCELERATION : (ctx->level < LEVEL_HIGH_MAX ? ctx->level : LEVEL_HIGH_MAX);
    const size_t limit = kp_min_size(cap, n - 1);
    if (limit == 0) {
        return 0;
    }
    const int written = compress(ctx->state, (const char *)src, (char *)dst, (int)n, (int)limit, level);
    return written > 0 ? (size_t)written : 0;
}

static kp_status lz4_compress(kp_codec_ctx *ctx, const uint8_t *src, size_t n, uint8_t *dst, size_t cap,
                              size_t *out_len) {
    if (cap < sizeof frame_header + END_MARK) {
        return KP_FULL;
    }
    uint8_t *p = dst;
    const uint8_t *const end = dst + cap - END_MARK;
    memcpy(p, frame_header, sizeof frame_header);
    p += sizeof frame_header;
    while (n > 0) {
        const size_t take = kp_min_size(n, BLOCK_SIZE);
        if ((size_t)(end - p) < BLOCK_HEADER) {
            return KP_FULL;
        }
        const size_t room = (size_t)(end - p) - BLOCK_HEADER;
        size_t written = compress_block(ctx, src, take, p + BLOCK_HEADER, room);
        kp_put_le32(p, (uint32_t)written);
        if (written == 0) {
            if (room < take) {
                return KP_FULL;
            }
            kp_put_le32(p, (uint32_t)take | BLOCK_IS_RAW);
            memcpy(p + BLOCK_HEADER, src, take);
            written = take;
        }
        p += BLOCK_HEADER + written;
        src += take;
        n -= take;
    }
    kp_put_le32(p, 0);
    *out_len = (size_t)(p + END_MARK - dst);
    return KP_OK;
}

const kp_codec kp_codec_lz4 = {
    .id = KP_CODEC_LZ4,
    .name = "lz4",
    .level_min = 1,
    .level_max = 17,
    .level_default = LEVEL_FAST,
    .symbol_count = SYM_COUNT,
    .symbol_names = symbol_names,
#ifdef KP_HAVE_LZ4
    .builtin = builtin_symbols,
#endif
    .open = lz4_open,
    .close = kp_codec_free_state,
    .bound = lz4_bound,
    .compress = lz4_compress,
};

KP_STATIC_ASSERT(SYM_COUNT <= KP_CODEC_SYMBOLS_MAX, "raise KP_CODEC_SYMBOLS_MAX");
