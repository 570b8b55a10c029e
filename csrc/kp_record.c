#include "kp_record.h"

#include <string.h>

#include "kp_varint.h"

static size_t field_size(int64_t len) {
    return kp_varint_size32((int32_t)len) + (len > 0 ? (size_t)len : 0);
}

static size_t headers_size(const kp_record *r) { return r->headers == NULL ? 1 : (size_t)r->headers_len; }

static bool lengths_are_sane(const kp_record *r) {
    if (r->key_len < -1 || r->value_len < -1 || r->headers_len < 0) {
        return false;
    }
    /* Each is checked alone first, so that the sum of three cannot overflow int64. */
    return r->key_len <= KP_RECORD_MAX && r->value_len <= KP_RECORD_MAX && r->headers_len <= KP_RECORD_MAX &&
           r->key_len + r->value_len + r->headers_len <= KP_RECORD_MAX;
}

kp_status kp_record_body_size(const kp_record *r, int64_t ts_delta, int32_t offset_delta, size_t *body) {
    if (kp_unlikely(!lengths_are_sane(r))) {
        return KP_ERR_TOO_LARGE;
    }
    *body = 1 + kp_varint_size64(ts_delta) + kp_varint_size32(offset_delta) + field_size(r->key_len) +
            field_size(r->value_len) + headers_size(r);
    return KP_OK;
}

size_t kp_record_size(size_t body) { return kp_varint_size32((int32_t)body) + body; }

kp_status kp_record_size_bound(const kp_record *r, size_t *out) {
    /* Length, attributes, time, offset, two field lengths, header count: no varint is computed for a bound. */
    enum { OVERHEAD = 5 + 1 + 10 + 5 + 5 + 5 + 1 };
    if (kp_unlikely(!lengths_are_sane(r))) {
        return KP_ERR_TOO_LARGE;
    }
    *out = OVERHEAD + (size_t)kp_max_i64(r->key_len, 0) + (size_t)kp_max_i64(r->value_len, 0) + (size_t)r->headers_len;
    return KP_OK;
}

static uint8_t *put_field(uint8_t *p, const uint8_t *data, int64_t len) {
    p = kp_varint_put32(p, (int32_t)len);
    if (len > 0) {
        memcpy(p, data, (size_t)len);
        p += len;
    }
    return p;
}

uint8_t *kp_record_encode(uint8_t *p, const kp_record *r, int64_t ts_delta, int32_t offset_delta, size_t body) {
    p = kp_varint_put32(p, (int32_t)body);
    *p++ = 0; /* attributes: none are defined */
    p = kp_varint_put64(p, ts_delta);
    p = kp_varint_put32(p, offset_delta);
    p = put_field(p, r->key, r->key_len);
    p = put_field(p, r->value, r->value_len);
    if (r->headers == NULL) {
        *p++ = 0;
        return p;
    }
    memcpy(p, r->headers, (size_t)r->headers_len);
    return p + r->headers_len;
}

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
