/* Splits bytes into JSON records: lines, elements of an array, or records whose positions are given. */
#include "json.h"

#include <stdlib.h>

/* The reading of one group. */
typedef struct {
    JsonPlan *plan;
    const JsonInput *input;
    JsonRecords *found;
    int64_t rows, rejected, spans; /* the capacity of each array */
    int64_t counted;               /* the lines before this offset are counted */
} Group;

static bool grow(void **items, int64_t count, int64_t *room, size_t size) {
    if (count <= *room) return true;
    int64_t wanted = 2 * *room > count ? 2 * *room : count + 256;
    void *moved = realloc(*items, (size_t)wanted * size);
    if (!moved) return false;
    *items = moved, *room = wanted;
    return true;
}

/* The number of strings of a row. */
static int64_t width_of(const JsonPlan *plan) { return plan->source_count + plan->keeps_unknown; }

static bool grow_all(Group *group) {
    JsonRecords *found = group->found;
    return grow((void **)&found->rows, found->row_count + 1, &group->rows, sizeof *found->rows) &&
           grow((void **)&found->rejected, found->rejected_count + 1, &group->rejected, sizeof *found->rejected) &&
           grow((void **)&found->spans, (found->row_count + 1) * width_of(group->plan), &group->spans, sizeof *found->spans);
}

/* Count the lines up to an offset. */
static void count_lines(Group *group, int64_t end) {
    int64_t lines = 0;
    for (const char *at = group->input->data + group->counted; at < group->input->data + end; at++) lines += *at == '\n';
    group->found->lines += lines, group->counted = end;
}

static bool is_blank_line(const char *at, const char *end) {
    while (at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r'))) at++;
    return at == end;
}

static const char *after_space(const char *at, const char *end) {
    Scan scan = {.at = at, .end = end};
    scan_space(&scan);
    return scan.at;
}

static Span *row_spans(Group *group) { return group->found->spans + group->found->row_count * width_of(group->plan); }

static void add(Group *group, const JsonRecord *record) {
    JsonRecords *found = group->found;
    if (record->error == JSON_VALID) found->rows[found->row_count++] = *record;
    else found->rejected[found->rejected_count++] = *record;
}

/* Read a record whose bytes are known. Returns false if memory is exhausted. */
static bool read_whole(Group *group, int64_t begin, int64_t end) {
    const char *data = group->input->data, *last = data + end, *at = after_space(data + begin, last);
    JsonRecord record = {.line = group->input->first_line + group->found->lines, .begin = (uint32_t)begin, .end = (uint32_t)end};
    if (!grow_all(group) || !json_record(group->plan, data, &at, last, true, row_spans(group), &record)) return false;
    if (record.error && !is_utf8((const uint8_t *)data + begin, (const uint8_t *)last)) record.error = JSON_UTF8;
    add(group, &record);
    return true;
}

static bool is_full(Group *group) {
    const JsonRecords *found = group->found;
    return found->row_count + found->rejected_count >= group->input->most_records || found->consumed >= group->input->most_bytes;
}

static bool read_lines(Group *group) {
    const JsonInput *input = group->input;
    JsonRecords *found = group->found;
    while (found->consumed < input->size) {
        int64_t begin = found->consumed;
        if ((found->is_full = is_full(group))) break;
        const char *newline = memchr(input->data + begin, '\n', (size_t)(input->size - begin));
        int64_t end = newline ? newline - input->data : input->size;
        if ((found->is_endless = end - begin > input->longest)) break;
        if (!newline && !input->is_last) break;
        if (!is_blank_line(input->data + begin, input->data + end)) {
            if (!read_whole(group, begin, end - (input->data[end - 1] == '\r'))) return false;
        }
        found->consumed = newline ? end + 1 : end;
        found->lines += newline != NULL;
    }
    return true;
}

/* Read the element at an offset. `*end` stays there if the element is damaged, not an object, or not complete. */
static bool read_element(Group *group, int64_t begin, int64_t *end) {
    const JsonInput *input = group->input;
    const char *at = input->data + begin;
    count_lines(group, begin);
    JsonRecord record = {.line = input->first_line + group->found->lines, .begin = (uint32_t)begin};
    const char *last = input->data + input->size;
    if (!grow_all(group) || !json_record(group->plan, input->data, &at, last, false, row_spans(group), &record)) return false;
    bool is_object = record.error == JSON_VALID || record.error == JSON_TWICE || record.error == JSON_WRONG_TYPE;
    if (!is_object && record.error != JSON_UTF8) return true;
    int64_t found = at - input->data;
    if ((group->found->is_endless = found - begin > input->longest)) return true;
    record.end = (uint32_t)(*end = found);
    add(group, &record);
    return true;
}

static bool read_elements(Group *group) {
    const JsonInput *input = group->input;
    JsonRecords *found = group->found;
    for (;;) {
        int64_t at = after_space(input->data + found->consumed, input->data + input->size) - input->data, end = at;
        found->consumed = at;
        if (at == input->size || (found->is_full = is_full(group))) break;
        if (found->expects_value) {
            if (!read_element(group, at, &end)) return false;
            if (end == at) break;
            found->consumed = end;
        } else {
            if (input->data[at] != ',') break;
            found->consumed = at + 1;
        }
        found->expects_value = !found->expects_value;
    }
    count_lines(group, found->consumed);
    return true;
}

static bool read_given(Group *group) {
    for (int64_t i = 0; i < group->input->given_count; i++)
        if (!read_whole(group, group->input->given[2 * i], group->input->given[2 * i + 1])) return false;
    group->found->consumed = group->input->size;
    return true;
}

/* Move the arena from the plan to the group. */
static bool take_arena(Group *group) {
    Buffer *arena = &group->plan->arena;
    if (!buffer_room(arena, 1)) return false;
    group->found->arena = arena->bytes;
    *arena = (Buffer){0};
    return true;
}

JsonRecords *json_read(JsonPlan *plan, const JsonInput *input) {
    JsonRecords *found = input->size > SPAN_SIZE ? NULL : calloc(1, sizeof *found);
    if (!found) return NULL;
    Group group = {.plan = plan, .input = input, .found = found};
    found->expects_value = input->expects_value, found->keys = &plan->keys;
    plan->arena.size = 0;
    bool (*read)(Group *) = input->mode == JSON_LINES ? read_lines : input->mode == JSON_ELEMENTS ? read_elements : read_given;
    if (!read(&group) || !take_arena(&group)) return json_free(found), NULL;
    return found;
}

void json_free(JsonRecords *records) {
    if (!records) return;
    free(records->rows), free(records->rejected), free(records->spans), free(records->arena), free(records);
}
