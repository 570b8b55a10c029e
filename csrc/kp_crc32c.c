#include "kp_crc32c.h"

#include "kp_crc32c_tables.h"
#include "kp_endian.h"

#if defined(__x86_64__) || defined(_M_X64)
#define KP_CRC32C_X86 1
#include <nmmintrin.h>
#include <wmmintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#define KP_CRC32C_ARM 1
#endif

#if defined(_WIN32)
#include <windows.h>
#elif defined(KP_CRC32C_ARM) && defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(KP_CRC32C_ARM) && defined(_MSC_VER) && !defined(__clang__)
#include <arm64intr.h>
#endif

/* ---- portable: slicing by 8 ---- */

uint32_t kp_crc32c_portable(uint32_t crc, const void *data, size_t len) {
    const uint32_t(*t)[256] = kp_crc32c_slices;
    const uint8_t *p = data;
    crc = ~crc;
    for (; len >= 8; p += 8, len -= 8) {
        const uint32_t lo = crc ^ kp_get_le32(p);
        const uint32_t hi = kp_get_le32(p + 4);
        crc = t[7][lo & 0xff] ^ t[6][lo >> 8 & 0xff] ^ t[5][lo >> 16 & 0xff] ^ t[4][lo >> 24] ^
              t[3][hi & 0xff] ^ t[2][hi >> 8 & 0xff] ^ t[1][hi >> 16 & 0xff] ^ t[0][hi >> 24];
    }
    for (; len > 0; p++, len--) {
        crc = t[0][(crc ^ *p) & 0xff] ^ (crc >> 8);
    }
    return ~crc;
}

static bool is_always_supported(void) { return true; }

/* ---- x86-64: SSE4.2 crc32 on three streams, because the instruction takes 3 cycles and starts every cycle ---- */

#ifdef KP_CRC32C_X86

#if defined(__clang__) && __clang_major__ >= 14
#define KP_SSE42_FEATURES "sse4.2,crc32,pclmul" /* a baseline may turn off crc32 by itself there */
#else
#define KP_SSE42_FEATURES "sse4.2,pclmul"
#endif
#if defined(__GNUC__) || defined(__clang__)
#define KP_TARGET_SSE42 __attribute__((target(KP_SSE42_FEATURES)))
#define KP_INLINE_SSE42 __attribute__((target(KP_SSE42_FEATURES), always_inline)) static inline
#else
#define KP_TARGET_SSE42
#define KP_INLINE_SSE42 static __forceinline
#endif

KP_INLINE_SSE42 uint64_t fold(uint64_t crc, uint32_t multiplier) {
    const __m128i a = _mm_cvtsi64_si128((long long)crc);
    const __m128i b = _mm_cvtsi32_si128((int)multiplier);
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(a, b, 0));
}

/* Three streams of `stream` bytes each (a constant at every call); the last word of the third takes in the others. */
KP_INLINE_SSE42 uint64_t crc_three_streams(uint64_t crc, const uint8_t *p, size_t stream, uint32_t fold_1,
                                           uint32_t fold_2) {
    const size_t last = stream - 8;
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < last; i += 8) {
        a = _mm_crc32_u64(a, kp_get_le64(p + i));
        b = _mm_crc32_u64(b, kp_get_le64(p + stream + i));
        c = _mm_crc32_u64(c, kp_get_le64(p + 2 * stream + i));
    }
    a = _mm_crc32_u64(a, kp_get_le64(p + last));
    b = _mm_crc32_u64(b, kp_get_le64(p + stream + last));
    c = _mm_crc32_u64(c, kp_get_le64(p + 2 * stream + last));
    return _mm_crc32_u64(0, fold(a, fold_2) ^ fold(b, fold_1)) ^ c;
}

#define KP_CRC_RUN(stream, double_stream)                                                                \
    for (; len >= 3 * (stream); p += 3 * (stream), len -= 3 * (stream)) {                                 \
        crc64 = crc_three_streams(crc64, p, stream, KP_CRC32C_FOLD_##stream, KP_CRC32C_FOLD_##double_stream); \
    }

KP_TARGET_SSE42 static uint32_t crc32c_sse42(uint32_t crc, const void *data, size_t len) {
    const uint8_t *p = data;
    uint64_t crc64 = (uint32_t)~crc;
    KP_CRC_RUN(2048, 4096)
    KP_CRC_RUN(256, 512)
    KP_CRC_RUN(64, 128)
    for (; len >= 8; p += 8, len -= 8) {
        crc64 = _mm_crc32_u64(crc64, kp_get_le64(p));
    }
    for (; len > 0; p++, len--) {
        crc64 = _mm_crc32_u8((uint32_t)crc64, *p);
    }
    return ~(uint32_t)crc64;
}

static bool is_sse42_supported(void) {
#if defined(_WIN32)
    /* Every CPU with AVX has SSE4.2 and PCLMULQDQ, and this reads a shared page where cpuid would trap in a VM. */
    return IsProcessorFeaturePresent(39 /* PF_AVX_INSTRUCTIONS_AVAILABLE */) != 0;
#else
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
#endif
}

#endif

/* ---- ARMv8: crc32c on three streams, joined by tables because PMULL is a separate CPU feature ---- */

#ifdef KP_CRC32C_ARM

#if defined(__clang__)
#define KP_TARGET_CRC __attribute__((target("crc")))
#define kp_arm_crc8(crc, v) __builtin_arm_crc32cb(crc, v)
#define kp_arm_crc64(crc, v) __builtin_arm_crc32cd(crc, v)
#elif defined(__GNUC__)
#define KP_TARGET_CRC __attribute__((target("+crc")))
#define kp_arm_crc8(crc, v) __builtin_aarch64_crc32cb(crc, v)
#define kp_arm_crc64(crc, v) __builtin_aarch64_crc32cx(crc, v)
#else
#define KP_TARGET_CRC
#define kp_arm_crc8(crc, v) __crc32cb(crc, v)
#define kp_arm_crc64(crc, v) __crc32cd(crc, v)
#endif

enum { ARM_STREAM = 1024 };

static uint32_t skip_stream(uint32_t crc) {
    const uint32_t(*t)[256] = kp_crc32c_skip_1024;
    return t[0][crc & 0xff] ^ t[1][crc >> 8 & 0xff] ^ t[2][crc >> 16 & 0xff] ^ t[3][crc >> 24];
}

KP_TARGET_CRC static uint32_t crc32c_armv8(uint32_t crc, const void *data, size_t len) {
    const uint8_t *p = data;
    crc = ~crc;
    for (; len >= 3 * ARM_STREAM; p += 3 * ARM_STREAM, len -= 3 * ARM_STREAM) {
        uint32_t b = 0, c = 0;
        for (size_t i = 0; i < ARM_STREAM; i += 8) {
            crc = kp_arm_crc64(crc, kp_get_le64(p + i));
            b = kp_arm_crc64(b, kp_get_le64(p + ARM_STREAM + i));
            c = kp_arm_crc64(c, kp_get_le64(p + 2 * ARM_STREAM + i));
        }
        crc = skip_stream(skip_stream(crc) ^ b) ^ c;
    }
    for (; len >= 8; p += 8, len -= 8) {
        crc = kp_arm_crc64(crc, kp_get_le64(p));
    }
    for (; len > 0; p++, len--) {
        crc = kp_arm_crc8(crc, *p);
    }
    return ~crc;
}

static bool is_armv8_crc_supported(void) {
#if defined(__APPLE__)
    return true; /* every 64-bit Mac has it */
#elif defined(_WIN32)
    return IsProcessorFeaturePresent(31 /* PF_ARM_V8_CRC32_INSTRUCTIONS_AVAILABLE */) != 0;
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & (1u << 7) /* HWCAP_CRC32 */) != 0;
#else
    return false;
#endif
}

#endif

/* ---- choice ---- */

static const kp_crc32c_variant variants[] = {
#ifdef KP_CRC32C_X86
    {"sse4.2", crc32c_sse42, is_sse42_supported},
#endif
#ifdef KP_CRC32C_ARM
    {"armv8", crc32c_armv8, is_armv8_crc_supported},
#endif
    {"portable", kp_crc32c_portable, is_always_supported},
};

const kp_crc32c_variant *kp_crc32c_variants(size_t *count) {
    *count = KP_ARRAY_LEN(variants);
    return variants;
}

const kp_crc32c_variant *kp_crc32c_select(void) {
    const kp_crc32c_variant *variant = variants;
    while (!variant->is_supported()) {
        variant++;
    }
    return variant;
}

uint32_t kp_crc32c(uint32_t crc, const void *data, size_t len) {
    return kp_crc32c_select()->compute(crc, data, len);
}
