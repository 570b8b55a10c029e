#include "kp_murmur2.h"

#include "kp_endian.h"

int32_t kp_murmur2(const uint8_t *data, size_t len) {
    const uint32_t m = 0x5bd1e995u;
    uint32_t h = 0x9747b28cu ^ (uint32_t)len;

    for (; len >= 4; data += 4, len -= 4) {
        uint32_t k = kp_get_le32(data) * m;
        k ^= k >> 24;
        h = (h * m) ^ (k * m);
    }
    if (len > 0) {
        uint32_t tail = data[0];
        tail |= len > 1 ? (uint32_t)data[1] << 8 : 0;
        tail |= len > 2 ? (uint32_t)data[2] << 16 : 0;
        h = (h ^ tail) * m;
    }
    h = (h ^ (h >> 13)) * m;
    return (int32_t)(h ^ (h >> 15));
}

int32_t kp_murmur2_partition(const uint8_t *key, size_t len, int32_t partition_count) {
    return (kp_murmur2(key, len) & 0x7fffffff) % partition_count;
}
