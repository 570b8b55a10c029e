/* Every codec from both sources (linked in, resolved at run time) against the libraries' own decoders.
 * Needs the headers of zlib, liblz4 and libzstd; kp_codec_*.c are built without them in the `runtime` variant. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "kp_codec.h"
#include "kp_endian.h"
#include "kp_test.h"

enum { SAMPLE_MAX = 1 << 20 };

/* ---- decoders ---- */

static size_t gzip_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
    z_stream s;
    memset(&s, 0, sizeof s);
    if (inflateInit2(&s, 15 + 16) != Z_OK) {
        return SIZE_MAX;
    }
    s.next_in = (Bytef *)(uintptr_t)src;
    s.avail_in = (uInt)n;
    s.next_out = dst;
    s.avail_out = (uInt)cap;
    const int result = inflate(&s, Z_FINISH);
    const size_t len = result == Z_STREAM_END && s.avail_in == 0 ? s.total_out : SIZE_MAX;
    inflateEnd(&s);
    return len;
}

/* Also checks what Java readers ask for: independent blocks of at most 64 KiB. */
static size_t lz4_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
    LZ4F_dctx *dctx = NULL;
    LZ4F_frameInfo_t info;
    size_t used = n, len = 0, at = 0, hint;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&dctx, LZ4F_VERSION))) {
        return SIZE_MAX;
    }
    hint = LZ4F_getFrameInfo(dctx, &info, src, &used);
    if (LZ4F_isError(hint) || info.blockMode != LZ4F_blockIndependent || info.blockSizeID != LZ4F_max64KB) {
        LZ4F_freeDecompressionContext(dctx);
        return SIZE_MAX;
    }
    for (at = used; hint != 0 && at < n; at += used) {
        size_t room = cap - len;
        used = n - at;
        hint = LZ4F_decompress(dctx, dst + len, &room, src + at, &used, NULL);
        if (LZ4F_isError(hint)) {
            break;
        }
        len += room;
    }
    LZ4F_freeDecompressionContext(dctx);
    return hint == 0 && at == n ? len : SIZE_MAX;
}

static size_t zstd_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
    const size_t len = ZSTD_decompress(dst, cap, src, n);
    return ZSTD_isError(len) ? SIZE_MAX : len;
}

static size_t plain_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t cap) {
    if (n > cap) {
        return SIZE_MAX;
    }
    memcpy(dst, src, n);
    return n;
}

typedef size_t (*decode_fn)(const uint8_t *src, size_t n, uint8_t *dst, size_t cap);

/* snappy's decoder is in test_leaves.c. */
static const struct {
    int codec;
    decode_fn decode;
} decoders[] = {{KP_CODEC_NONE, plain_decode},
                {KP_CODEC_GZIP, gzip_decode},
                {KP_CODEC_LZ4, lz4_decode},
                {KP_CODEC_ZSTD, zstd_decode}};

/* ---- sources ---- */

static void *resolve_linked(void *arg, const char *symbol) {
    KP_UNUSED(arg);
    return dlsym(RTLD_DEFAULT, symbol);
}

static void *resolve_all_but(void *missing, const char *symbol) {
    return strcmp(symbol, missing) == 0 ? NULL : dlsym(RTLD_DEFAULT, symbol);
}

/* Source 0 is what was linked in, source 1 what run time finds. */
static kp_status open_lib(int codec, int source, kp_codec_lib *lib) {
    return source == 0 ? kp_codec_lib_builtin(codec, lib) : kp_codec_lib_resolve(codec, resolve_linked, NULL, lib);
}

static kp_codec_ctx *open_ctx(int codec, int level) {
    kp_codec_lib lib;
    kp_codec_ctx *ctx = NULL;
    if (open_lib(codec, 1, &lib) != KP_OK || kp_codec_ctx_new(codec, level, &lib, &ctx) != KP_OK) {
        abort();
    }
    return ctx;
}

static void fill(uint8_t *data, size_t n, bool is_random, uint64_t seed) {
    for (size_t i = 0; i < n; i++) {
        const uint64_t r = kp_test_random(&seed) >> 24;
        data[i] = is_random ? (uint8_t)r : (uint8_t)("key=value; "[i % 11] + (r % 31 == 0));
    }
}

/* ---- tests ---- */

static void check_round_trip(kp_codec_ctx *ctx, decode_fn decode, const uint8_t *src, size_t n, uint8_t *back) {
    const size_t bound = kp_codec_bound(ctx, n);
    uint8_t *const packed = malloc(bound + 1);
    size_t len = 0;
    CHECK(packed != NULL);
    const kp_status status = kp_codec_compress(ctx, src, n, packed, bound, &len);
    const size_t got = status == KP_OK && len <= bound ? decode(packed, len, back, SAMPLE_MAX) : SIZE_MAX;
    free(packed);
    CHECK_INT(status, KP_OK);
    CHECK_INT(got, n);
    CHECK_BYTES(src, back, n);
}

static void check_source(int source) {
    const size_t sizes[] = {0, 1, 2, 13, 100, 1000, 16384, 65535, 65536, 65537, 200000, SAMPLE_MAX};
    uint8_t *const src = malloc(SAMPLE_MAX), *const back = malloc(SAMPLE_MAX);
    CHECK(src != NULL && back != NULL);
    for (size_t d = 0; d < KP_ARRAY_LEN(decoders); d++) {
        kp_codec_lib lib;
        kp_codec_ctx *ctx = NULL;
        const kp_status status = open_lib(decoders[d].codec, source, &lib);
        if (source == 0 && status == KP_ERR_CODEC) {
            printf("%s: not linked in\n", kp_codec_name(decoders[d].codec));
            continue;
        }
        CHECK_INT(status, KP_OK);
        CHECK_INT(kp_codec_ctx_new(decoders[d].codec, KP_CODEC_LEVEL_DEFAULT, &lib, &ctx), KP_OK);
        CHECK_INT(kp_codec_ctx_codec(ctx), decoders[d].codec);
        for (size_t s = 0; s < 2 * KP_ARRAY_LEN(sizes); s++) {
            fill(src, sizes[s / 2], s % 2 != 0, 7 + s);
            check_round_trip(ctx, decoders[d].decode, src, sizes[s / 2], back);
        }
        kp_codec_ctx_free(ctx);
    }
    free(src);
    free(back);
}

static void linked_codecs_round_trip(void) { check_source(0); }
static void resolved_codecs_round_trip(void) { check_source(1); }

static void every_level_round_trips_and_others_are_refused(void) {
    static const struct {
        int codec, low, high, bad_low, bad_high;
    } ranges[] = {{KP_CODEC_GZIP, 1, 9, 0, 10}, {KP_CODEC_LZ4, 1, 17, 0, 18}, {KP_CODEC_ZSTD, -7, 22, -131073, 23}};
    static uint8_t src[20000], back[SAMPLE_MAX];
    fill(src, sizeof src, false, 3);
    for (size_t i = 0; i < KP_ARRAY_LEN(ranges); i++) {
        kp_codec_lib lib;
        kp_codec_ctx *ctx = NULL;
        CHECK_INT(open_lib(ranges[i].codec, 1, &lib), KP_OK);
        CHECK_INT(kp_codec_ctx_new(ranges[i].codec, ranges[i].bad_low, &lib, &ctx), KP_ERR_INVALID);
        CHECK_INT(kp_codec_ctx_new(ranges[i].codec, ranges[i].bad_high, &lib, &ctx), KP_ERR_INVALID);
        for (int level = ranges[i].low; level <= ranges[i].high; level++) {
            CHECK_INT(kp_codec_ctx_new(ranges[i].codec, level, &lib, &ctx), KP_OK);
            for (size_t d = 0; d < KP_ARRAY_LEN(decoders); d++) {
                if (decoders[d].codec == ranges[i].codec) {
                    check_round_trip(ctx, decoders[d].decode, src, sizeof src, back);
                }
            }
            kp_codec_ctx_free(ctx);
        }
    }
}

static void a_higher_level_packs_tighter(void) {
    const int levels[][3] = {{KP_CODEC_GZIP, 1, 9}, {KP_CODEC_LZ4, 9, 12}, {KP_CODEC_ZSTD, -50, 19}};
    static uint8_t src[100000], dst[200000];
    fill(src, sizeof src, false, 21);
    for (size_t i = 0; i < KP_ARRAY_LEN(levels); i++) {
        size_t len[2] = {0, 0};
        for (int k = 0; k < 2; k++) {
            kp_codec_ctx *const ctx = open_ctx(levels[i][0], levels[i][k + 1]);
            CHECK_INT(kp_codec_compress(ctx, src, sizeof src, dst, sizeof dst, &len[k]), KP_OK);
            kp_codec_ctx_free(ctx);
        }
        CHECK(len[1] < len[0]);
    }
}

/* Every capacity below the smallest one that is enough. */
static void check_full_below_the_result(kp_codec_ctx *ctx, const uint8_t *src, size_t n) {
    const size_t bound = kp_codec_bound(ctx, n);
    uint8_t *const full = malloc(bound);
    size_t len = 0, again = 0;
    CHECK(full != NULL);
    CHECK_INT(kp_codec_compress(ctx, src, n, full, bound, &len), KP_OK);
    for (size_t cap = 0; cap < len; cap++) {
        uint8_t *const exact = malloc(cap + 1); /* ASan sees a write past cap */
        CHECK(exact != NULL);
        const kp_status status = kp_codec_compress(ctx, src, n, exact + 1, cap, &again);
        free(exact);
        CHECK_INT(status, KP_FULL);
    }
    CHECK_INT(kp_codec_compress(ctx, src, n, full, bound, &again), KP_OK);
    CHECK_INT(again, len);
    free(full);
}

static void a_result_that_does_not_fit_is_full_and_the_context_goes_on(void) {
    uint8_t src[600];
    for (int codec = 0; codec < KP_CODEC_COUNT; codec++) {
        kp_codec_ctx *const ctx = open_ctx(codec, KP_CODEC_LEVEL_DEFAULT);
        for (int is_random = 0; is_random < 2; is_random++) {
            fill(src, sizeof src, is_random != 0, 5);
            check_full_below_the_result(ctx, src, sizeof src);
        }
        kp_codec_ctx_free(ctx);
    }
}

static void random_bytes_do_not_fit_in_less_room(void) {
    static uint8_t src[70000], dst[70000];
    fill(src, sizeof src, true, 5);
    for (int codec = 0; codec < KP_CODEC_COUNT; codec++) {
        kp_codec_ctx *const ctx = open_ctx(codec, KP_CODEC_LEVEL_DEFAULT);
        size_t len;
        CHECK_INT(kp_codec_compress(ctx, src, sizeof src, dst, sizeof src - 1, &len), KP_FULL);
        kp_codec_ctx_free(ctx);
    }
}

static void a_batch_that_shrinks_fits_in_its_own_size(void) {
    static uint8_t src[16384], dst[16383];
    fill(src, sizeof src, false, 6);
    for (int codec = KP_CODEC_GZIP; codec < KP_CODEC_COUNT; codec++) {
        kp_codec_ctx *const ctx = open_ctx(codec, KP_CODEC_LEVEL_DEFAULT);
        size_t len = 0;
        CHECK_INT(kp_codec_compress(ctx, src, sizeof src, dst, sizeof dst, &len), KP_OK);
        kp_codec_ctx_free(ctx);
    }
}

static void a_missing_function_is_a_codec_error(void) {
    for (int codec = 0; codec < KP_CODEC_COUNT; codec++) {
        size_t count;
        const char *const *const names = kp_codec_symbol_names(codec, &count);
        for (size_t i = 0; i < count; i++) {
            kp_codec_lib lib;
            CHECK_INT(kp_codec_lib_resolve(codec, resolve_all_but, (void *)(uintptr_t)names[i], &lib), KP_ERR_CODEC);
        }
    }
}

static void bad_arguments_are_refused(void) {
    kp_codec_lib lib;
    kp_codec_ctx *ctx = NULL;
    size_t count;
    uint8_t byte = 0;
    CHECK_INT(kp_codec_lib_builtin(KP_CODEC_COUNT, &lib), KP_ERR_INVALID);
    CHECK_INT(kp_codec_lib_resolve(-1, resolve_linked, NULL, &lib), KP_ERR_INVALID);
    CHECK(kp_codec_name(9) == NULL && kp_codec_symbol_names(9, &count) == NULL);
    CHECK_INT(kp_codec_lib_builtin(KP_CODEC_NONE, &lib), KP_OK);
    CHECK_INT(kp_codec_ctx_new(KP_CODEC_SNAPPY, KP_CODEC_LEVEL_DEFAULT, &lib, &ctx), KP_ERR_INVALID);
    CHECK_INT(kp_codec_ctx_new(KP_CODEC_NONE, 5, &lib, &ctx), KP_OK);
    CHECK_INT(kp_codec_compress(ctx, &byte, (size_t)INT32_MAX + 1, &byte, 1, &count), KP_ERR_TOO_LARGE);
    kp_codec_ctx_free(ctx);
    kp_codec_ctx_free(NULL);
}

static const kp_test tests[] = {
    KP_TEST(linked_codecs_round_trip),
    KP_TEST(resolved_codecs_round_trip),
    KP_TEST(every_level_round_trips_and_others_are_refused),
    KP_TEST(a_higher_level_packs_tighter),
    KP_TEST(a_result_that_does_not_fit_is_full_and_the_context_goes_on),
    KP_TEST(random_bytes_do_not_fit_in_less_room),
    KP_TEST(a_batch_that_shrinks_fits_in_its_own_size),
    KP_TEST(a_missing_function_is_a_codec_error),
    KP_TEST(bad_arguments_are_refused),
};

KP_TEST_MAIN(tests)
