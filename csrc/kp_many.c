#include "kp_many.h"

#include <stdlib.h>

enum { MIN_RUNS = 256, MIN_SPANS = 16 };

/* --- spans --- */

/* Appends, or lengthens *last (its place plus 1) if that one ends where this one begins. */
static kp_status add_span(kp_many_spans *s, const kp_many_span *span, int64_t *last) {
    kp_many_span *before = *last > 0 ? &s->items[*last - 1] : NULL;
    if (before != NULL && before->partition == span->partition &&
        (before->offset < 0 ? span->offset < 0 : before->offset + before->n == span->offset)) {
        before->n += span->n;
        return KP_OK;
    }
    if (s->n == s->cap) {
        const int64_t cap = kp_max_i64(MIN_SPANS, s->cap * 2);
        kp_many_span *grown = realloc(s->items, (size_t)cap * sizeof *grown);
        if (grown == NULL) {
            return KP_ERR_NOMEM;
        }
        s->items = grown;
        s->cap = cap;
    }
    s->items[s->n++] = *span;
    *last = s->n;
    return KP_OK;
}

static kp_many_span span_of(const kp_result *r, int64_t ordinal, int32_t index, int64_t n) {
    const int64_t offset = r->base_offset < 0 ? -1 : r->base_offset + index;
    return (kp_many_span){.partition = r->partition, .ordinal = ordinal, .offset = offset, .n = n};
}

/* --- counting in --- */

static int32_t partition_of(const kp_many_run *run) { return run->result->partition->index; }

/* Rows at the front of the trail are of no use once all records before them, in their partitions, are delivered. */
static void shorten_trail(kp_many *m) {
    for (int32_t i = 0; i < m->n_partitions; i++) {
        m->partitions[i].pending = m->partitions[i].count;
    }
    for (int64_t i = m->n_runs - 1; i >= 0; i--) { /* the first run of a partition comes last */
        m->partitions[partition_of(&m->runs[i])].pending = m->runs[i].ordinal;
    }
    kp_trail_entry e = {.at = m->trail.begin, .row = m->trail.first_row};
    while (kp_trail_next(&m->trail, &e) && e.at <= m->trail.end) {
        kp_many_partition *p = &m->partitions[e.partition];
        if (p->dropped + e.n > p->pending) {
            return;
        }
        p->dropped += e.n;
        kp_trail_drop(&m->trail, &e);
    }
}

static void forget_delivered(kp_many *m) {
    for (int32_t i = 0; i < m->n_partitions; i++) {
        m->held[i] = NULL; /* the references behind them may go now */
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < m->n_runs; i++) {
        const kp_many_run run = m->runs[i];
        if (kp_result_state(run.result) == KP_DELIVERED) {
            const kp_many_span span = span_of(run.result, run.ordinal, run.first, run.n);
            if (add_span(&m->settled, &span, &m->partitions[partition_of(&run)].span) == KP_OK) {
                kp_result_release(run.result);
                continue;
            }
        }
        m->runs[kept++] = run;
    }
    m->n_runs = kept;
    shorten_trail(m);
}

static kp_status make_room_for_run(kp_many *m) {
    if (kp_likely(m->n_runs < m->cap_runs)) {
        return KP_OK;
    }
    forget_delivered(m);
    if (m->n_runs * 2 < m->cap_runs) {
        return KP_OK;
    }
    const int64_t cap = kp_max_i64(MIN_RUNS, m->cap_runs * 2);
    kp_many_run *grown = realloc(m->runs, (size_t)cap * sizeof *grown);
    if (grown == NULL) {
        return KP_ERR_NOMEM;
    }
    m->runs = grown;
    m->cap_runs = cap;
    return KP_OK;
}

static kp_status make_room_for_partition(kp_many *m, int32_t partition) {
    if (kp_likely(partition < m->n_partitions)) {
        return KP_OK;
    }
    const int32_t n = partition + 1;
    kp_result **held = realloc(m->held, (size_t)n * sizeof *held);
    if (held == NULL) {
        return KP_ERR_NOMEM;
    }
    m->held = held;
    kp_many_partition *partitions = realloc(m->partitions, (size_t)n * sizeof *partitions);
    if (partitions == NULL) {
        return KP_ERR_NOMEM;
    }
    m->partitions = partitions;
    for (; m->n_partitions < n; m->n_partitions++) {
        m->held[m->n_partitions] = NULL;
        m->partitions[m->n_partitions] = (kp_many_partition){0};
    }
    return KP_OK;
}

kp_status kp_many_reserve(kp_many *m, int32_t partition) {
    if (make_room_for_run(m) != KP_OK || make_room_for_partition(m, partition) != KP_OK) {
        return KP_ERR_NOMEM;
    }
    return kp_trail_reserve(&m->trail);
}

/* Does it follow the last record of the held result of this partition? */
static bool extends(const kp_many *m, int32_t partition, int32_t index) {
    const kp_many_run *run = &m->runs[m->partitions[partition].run];
    return index == run->first + run->n;
}

void kp_many_add(kp_many *m, kp_result *result, int32_t partition, int32_t index, int32_t n) {
    kp_many_partition *p = &m->partitions[partition];
    const bool is_held = m->held[partition] == result;
    if (is_held && extends(m, partition, index)) {
        m->runs[p->run].n += n;
    } else {
        if (is_held) { /* another thread's records lie between: another run of the same batch */
            kp_result_retain(result);
        }
        m->runs[m->n_runs] = (kp_many_run){.result = result, .ordinal = p->count, .first = index, .n = n};
        m->held[partition] = result;
        p->run = m->n_runs++;
    }
    p->count += n;
    m->count += n;
    kp_trail_add(&m->trail, partition, n);
}

kp_status kp_many_note(kp_many *m, kp_result *result, int32_t partition, int32_t index, int32_t n) {
    const bool is_held = partition < m->n_partitions && m->held[partition] == result;
    if (is_held && extends(m, partition, index)) {
        const kp_status status = kp_trail_reserve(&m->trail);
        if (status == KP_OK) {
            kp_many_add(m, result, partition, index, n);
        }
        return status;
    }
    if (is_held) {
        kp_result_retain(result); /* making room may let go of what is held */
    }
    const kp_status status = kp_many_reserve(m, partition);
    if (status != KP_OK || m->held[partition] == result) {
        kp_result_release(result);
    }
    if (status == KP_OK) {
        kp_many_add(m, result, partition, index, n);
    }
    return status;
}

void kp_many_free(kp_many *m, bool unwatched) {
    for (int64_t i = 0; i < m->n_runs; i++) {
        if (unwatched) {
            kp_result_unwatch_run(m->runs[i].result, m->runs[i].first, m->runs[i].n);
        }
        kp_result_release(m->runs[i].result);
    }
    free(m->runs);
    free(m->held);
    free(m->partitions);
    free(m->settled.items);
    kp_trail_free(&m->trail);
    *m = (kp_many){0};
}

/* --- asking --- */

static bool has_failed(const kp_many_run *run, int32_t k) {
    int32_t at = run->first + k;
    kp_result *r = kp_result_resolve(run->result, &at);
    return kp_result_state(r) == KP_FAILED && (r->record_errors == NULL || kp_result_record_error(r, at) != NULL);
}

typedef struct failures {
    int64_t *end;      /* by partition: where its ordinals end; they begin where those before end */
    int64_t *next;     /* by partition: the first ordinal that has not been looked for */
    int64_t *seen;     /* by partition: records that the walk has passed */
    int64_t *ordinals; /* of failed records, by partition, ascending */
} failures;

static int64_t count_failures(const kp_many *m, int64_t *counts) {
    int64_t n = 0;
    for (int64_t i = 0; i < m->n_runs; i++) {
        const bool may_fail = kp_result_state(m->runs[i].result) != KP_DELIVERED;
        for (int32_t k = 0; may_fail && k < m->runs[i].n; k++) {
            const int failed = has_failed(&m->runs[i], k) ? 1 : 0;
            counts[partition_of(&m->runs[i])] += failed;
            n += failed;
        }
    }
    return n;
}

static void fill_ordinals(const kp_many *m, failures *f) {
    int64_t sum = 0;
    for (int32_t i = 0; i < m->n_partitions; i++) {
        const int64_t n = f->end[i];
        f->next[i] = f->end[i] = sum; /* grows to the end */
        f->seen[i] = m->partitions[i].dropped;
        sum += n;
    }
    for (int64_t i = 0; i < m->n_runs; i++) {
        const kp_many_run *run = &m->runs[i];
        const bool may_fail = kp_result_state(run->result) != KP_DELIVERED;
        for (int32_t k = 0; may_fail && k < run->n; k++) {
            if (has_failed(run, k)) {
                f->ordinals[f->end[partition_of(run)]++] = run->ordinal + k;
            }
        }
    }
}

/* Which row the k-th record of a partition was: the trail tells to which partition each row went. */
static void find_rows(const kp_many *m, failures *f, int64_t *rows) {
    kp_trail_entry e = {.at = m->trail.begin, .row = m->trail.first_row};
    while (kp_trail_next(&m->trail, &e)) {
        const int32_t p = e.partition;
        const int64_t seen = f->seen[p];
        f->seen[p] += e.n;
        for (; f->next[p] < f->end[p] && f->ordinals[f->next[p]] < f->seen[p]; f->next[p]++) {
            *rows++ = e.row + f->ordinals[f->next[p]] - seen;
        }
    }
}

kp_status kp_many_failed_rows(const kp_many *m, int64_t **rows, int64_t *n) {
    const size_t partitions = (size_t)m->n_partitions;
    int64_t *tables = calloc(3 * partitions + 1, sizeof *tables);
    *rows = NULL;
    *n = tables == NULL ? 0 : count_failures(m, tables);
    int64_t *ordinals = malloc(((size_t)*n + 1) * sizeof *ordinals);
    int64_t *found = malloc(((size_t)*n + 1) * sizeof *found);
    if (tables == NULL || ordinals == NULL || found == NULL) {
        free(tables);
        free(ordinals);
        free(found);
        return KP_ERR_NOMEM;
    }
    failures f = {.end = tables, .next = tables + partitions, .seen = tables + 2 * partitions, .ordinals = ordinals};
    fill_ordinals(m, &f);
    find_rows(m, &f, found);
    free(tables);
    free(ordinals);
    *rows = found;
    return KP_OK;
}

static int by_partition_and_row(const void *left, const void *right) {
    const kp_many_span *a = left, *b = right;
    if (a->partition != b->partition) {
        return a->partition->index != b->partition->index ? (a->partition->index < b->partition->index ? -1 : 1)
                                                          : ((uintptr_t)a->partition < (uintptr_t)b->partition ? -1 : 1);
    }
    return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

/* The parts of a run, whose batch may have been split. */
static kp_status add_run(kp_many_spans *spans, const kp_many_run *run) {
    const bool is_whole = kp_result_state(run->result) == KP_DELIVERED;
    const int32_t step = is_whole ? run->n : 1;
    int64_t last = 0;
    kp_status status = KP_OK;
    for (int32_t k = 0; k < run->n && status == KP_OK; k += step) {
        int32_t at = run->first + k;
        kp_result *r = kp_result_resolve(run->result, &at);
        if (kp_result_state(r) == KP_DELIVERED) {
            const kp_many_span span = span_of(r, run->ordinal + k, at, step);
            status = add_span(spans, &span, &last);
        }
    }
    return status;
}

kp_status kp_many_delivered(const kp_many *m, kp_many_spans *out) {
    kp_many_spans all = {0};
    kp_status status = KP_OK;
    for (int64_t i = 0; i < m->settled.n && status == KP_OK; i++) {
        int64_t none = 0;
        status = add_span(&all, &m->settled.items[i], &none);
    }
    for (int64_t i = 0; i < m->n_runs && status == KP_OK; i++) {
        status = add_run(&all, &m->runs[i]);
    }
    if (all.n > 1) {
        qsort(all.items, (size_t)all.n, sizeof *all.items, by_partition_and_row);
    }
    *out = (kp_many_spans){0};
    int64_t last = 0;
    for (int64_t i = 0; i < all.n && status == KP_OK; i++) {
        status = add_span(out, &all.items[i], &last);
    }
    free(all.items);
    if (status != KP_OK) {
        free(out->items);
    }
    return status;
}
