#include "kp_record.h"

static kp_status get_field(const uint8_t **p, const uint8_t *end, const uint8_t **data, int64_t *len) {
    int32_t n;
    if (kp_varint_get32(p, end, &n) != KP_OK || n < -1 || n > end - *p) {
        return KP_ERR_MALFORMED;
    }
    *data = n < 0 ? NULL : *p;
    *len = n;
    *p += n > 0 ? n : 0;
    return KP_OK;
}

kp_status kp_record_decode(const uint8_t **p, const uint8_t *end, int64_t base_ts, kp_record *out) {
    int32_t body, offset_delta;
    int64_t ts_delta;
    if (kp_varint_get32(p, end, &body) != KP_OK || body < 1 || body > end - *p) {
        return KP_ERR_MALFORMED;
    }
    const uint8_t *q = *p + 1; /* attributes */
    const uint8_t *record_end = *p + body;
    if (kp_varint_get64(&q, record_end, &ts_delta) != KP_OK ||
        kp_varint_get32(&q, record_end, &offset_delta) != KP_OK ||
        get_field(&q, record_end, &out->key, &out->key_len) != KP_OK ||
        get_field(&q, record_end, &out->value, &out->value_len) != KP_OK || q == record_end) {
        return KP_ERR_MALFORMED;
    }
    out->headers = q;
    out->headers_len = record_end - q;
    out->timestamp_ms = base_ts + ts_delta;
    *p = record_end;
    return KP_OK;
}
