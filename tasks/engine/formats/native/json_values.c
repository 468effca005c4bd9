/* Reads a record: finds the values of the sources, including values inside nested objects and arrays. */
#include "json.h"

/* The reading of one record. */
typedef struct {
    JsonPlan *plan;
    Scan scan;
    const char *base;
    bool is_exhausted; /* no memory */
} Reading;

static bool read_value(Reading *reading, int32_t place, bool *has_rest);

static bool exhausted(Reading *reading) {
    reading->is_exhausted = true;
    return false;
}

/* Set the state of all places from one to another. */
static void mark(JsonPlan *plan, int32_t first, int32_t last, uint8_t state) {
    memset(plan->states + first, state, (size_t)(last - first + 1));
}

static void mark_blocked(JsonPlan *plan, int32_t place, char kind) {
    for (int32_t below = place + 1; below <= plan->places[place].last; below++) {
        plan->states[below] = STATE_BLOCKED;
        plan->blocks[below] = place, plan->kinds[below] = kind;
    }
}

/* ---- the undeclared keys of a record, as one JSON object ---- */

static bool rest_add(Reading *reading, const char *text, int64_t size) {
    char *end = buffer_room(&reading->plan->rest, size);
    if (!end) return exhausted(reading);
    memcpy(end, text, (size_t)size);
    reading->plan->rest.size += size;
    return true;
}

static bool rest_add_value(Reading *reading, const char *begin, const char *end) {
    Buffer *rest = &reading->plan->rest;
    char *out = buffer_room(rest, end - begin);
    if (!out) return exhausted(reading);
    rest->size = json_compact(begin, end, out) - rest->bytes;
    return true;
}

/* A key with its separator in front and its colon after it. */
static bool rest_add_key(Reading *reading, const char *key, const char *end, bool is_first) {
    return rest_add(reading, is_first ? "{" : ",", 1) && rest_add(reading, key, end - key) && rest_add(reading, ":", 1);
}

/* ---- values ---- */

static bool is_number(char first) { return first == '-' || (first >= '0' && first <= '9'); }

/* Set the string of a number whose decimal point must be replaced. */
static bool take_number(Reading *reading, int32_t place, const char *begin, const char *point) {
    Buffer *arena = &reading->plan->arena;
    int64_t size = reading->scan.at - begin;
    char *out = buffer_room(arena, size);
    if (!out) return exhausted(reading);
    memcpy(out, begin, (size_t)size);
    out[point - begin] = reading->plan->places[place].decimal;
    reading->plan->spans[place] = (Span){(uint32_t)arena->size, (uint32_t)size | SPAN_ARENA};
    arena->size += size;
    return true;
}

/* Set the string of a value from its text. */
static bool take(Reading *reading, int32_t place, const char *begin, int64_t spaces) {
    JsonPlan *plan = reading->plan;
    Scan *scan = &reading->scan;
    const char *end = scan->at;
    bool is_string = *begin == '"', is_nested = *begin == '{' || *begin == '[';
    const char *point = NULL;
    if (plan->places[place].decimal != '.' && is_number(*begin)) point = memchr(begin, '.', (size_t)(end - begin));
    if (*begin == 'n') {
        plan->spans[place] = (Span){0, SPAN_NULL};
    } else if (point) {
        return take_number(reading, place, begin, point);
    } else if (is_string ? scan->is_escaped : is_nested && scan->spaces != spaces) {
        char *out = buffer_room(&plan->arena, end - begin);
        if (!out) return exhausted(reading);
        char *last = is_string ? json_unescape(begin + 1, end - 1, out) : json_compact(begin, end, out);
        plan->spans[place] = (Span){(uint32_t)plan->arena.size, (uint32_t)(last - out) | SPAN_ARENA};
        plan->arena.size += last - out;
    } else {
        begin += is_string, end -= is_string;
        plan->spans[place] = (Span){(uint32_t)(begin - reading->base), (uint32_t)(end - begin)};
    }
    return true;
}

/* Return the place of the key between two positions, in quotes; -1 if no path leads there. */
static bool find_key(Reading *reading, int32_t place, const char *begin, const char *end, int32_t *found) {
    JsonPlan *plan = reading->plan;
    const char *key = begin + 1;
    int64_t size = end - begin - 2;
    if (reading->scan.is_escaped) {
        plan->key.size = 0;
        char *out = buffer_room(&plan->key, size);
        if (!out) return exhausted(reading);
        size = json_unescape(key, end - 1, out) - out, key = out;
    }
    *found = plan_find(plan, place, key, size);
    if (*found >= 0 || plan->is_taken[place]) return true;
    return plan_note_unknown(plan, place, key, size) || exhausted(reading);
}

/* Read the value of a key. `*is_first` says whether the object has no undeclared key so far. */
static bool read_member(Reading *reading, int32_t place, bool *is_first) {
    JsonPlan *plan = reading->plan;
    Scan *scan = &reading->scan;
    const char *key = scan->at;
    int32_t found;
    if (!scan_string(scan)) return false;
    const char *key_end = scan->at;
    if (!find_key(reading, place, key, key_end, &found) || !scan_colon(scan)) return false;
    const char *begin = scan->at;
    bool keeps = plan->keeps_unknown && !plan->is_taken[place];
    bool is_way = found >= 0 && plan->places[found].last > found;
    if (!keeps || (found >= 0 && (plan->is_taken[found] || !is_way || (*begin != '{' && *begin != '[')))) {
        bool has_rest;
        return found < 0 ? scan_value(scan) : read_value(reading, found, &has_rest);
    }
    int64_t before = plan->rest.size;
    if (!rest_add_key(reading, key, key_end, *is_first)) return false;
    bool is_kept = true;
    if (found < 0 ? !scan_value(scan) : !read_value(reading, found, &is_kept)) return false;
    if ((found < 0 || *begin == '[' || !plan->places[found].has_keys) && !rest_add_value(reading, begin, scan->at)) return false;
    if (!is_kept) plan->rest.size = before;
    else *is_first = false;
    return true;
}

/* Read an object. `*has_rest` says whether it has undeclared keys. */
static bool read_object(Reading *reading, int32_t place, bool *has_rest) {
    Scan *scan = &reading->scan;
    bool is_first = true, is_last = false;
    *has_rest = false;
    scan->at++;
    scan_space(scan);
    if (scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
    if (*scan->at == '}') return scan->at++, true;
    if (*scan->at != '"') return scan_fail(scan, JSON_KEY);
    for (int64_t count = 1; !is_last; count++) {
        if (count > reading->plan->most_keys) return scan_fail(scan, JSON_MANY_KEYS);
        if (!read_member(reading, place, &is_first) || !scan_next(scan, '}', &is_last)) return false;
    }
    *has_rest = !is_first;
    return is_first || rest_add(reading, "}", 1);
}

/* Read the elements of an array that paths lead to. */
static bool read_array(Reading *reading, int32_t place) {
    JsonPlan *plan = reading->plan;
    Scan *scan = &reading->scan;
    bool is_last = false, has_rest;
    int64_t rest = plan->rest.size;
    for (int32_t below = place + 1; below <= plan->places[place].last; below = plan->places[below].last + 1)
        if (!plan->places[below].key) mark(plan, below, plan->places[below].last, STATE_ENDED);
    scan->at++;
    scan_space(scan);
    if (scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
    if (*scan->at == ']') return scan->at++, true;
    for (int64_t index = 0; !is_last; index++) {
        int32_t found = index < plan->places[place].elements ? plan_find(plan, place, NULL, index) : -1;
        if (found < 0 ? !scan_value(scan) : !read_value(reading, found, &has_rest)) return false;
        if (!scan_next(scan, ']', &is_last)) return false;
    }
    plan->rest.size = rest; /* the array is kept whole */
    return true;
}

static bool read_value(Reading *reading, int32_t place, bool *has_rest) {
    JsonPlan *plan = reading->plan;
    Scan *scan = &reading->scan;
    const JsonPlace *described = &plan->places[place];
    const char *begin = scan->at;
    int64_t spaces = scan->spaces;
    *has_rest = true;
    mark(plan, place, described->last, STATE_ABSENT); /* the last of two equal keys counts */
    if (*begin == '{' && described->has_keys) {
        if (!read_object(reading, place, has_rest)) return false;
    } else if (*begin == '[' && described->elements) {
        if (!read_array(reading, place)) return false;
    } else {
        if (!scan_value(scan)) return false;
        if (*begin != 'n') mark_blocked(plan, place, *begin);
        else mark(plan, place, described->last, STATE_ENDED);
    }
    plan->states[place] = STATE_VALUE;
    return !plan->is_named[place] || take(reading, place, begin, spaces);
}

/* ---- records ---- */

/* Find the value of each source among its names. */
static void choose(JsonPlan *plan, Span *spans, JsonRecord *record) {
    for (int32_t source = 0, name = 0; source < plan->source_count; source++) {
        int32_t given = -1, blocked = -1;
        for (; name < plan->name_count && plan->names[name].source == source; name++) {
            int32_t place = plan->names[name].place;
            if (plan->states[place] == STATE_BLOCKED && blocked < 0) blocked = name;
            if (plan->states[place] != STATE_VALUE) continue;
            if (given >= 0) {
                record->error = JSON_TWICE, record->first = given, record->second = name;
                return;
            }
            given = name;
        }
        if (given < 0 && blocked >= 0) {
            int32_t place = plan->names[blocked].place;
            record->error = JSON_WRONG_TYPE, record->first = blocked;
            record->second = plan->blocks[place], record->kind = plan->kinds[place];
            return;
        }
        spans[source] = given < 0 ? (Span){0, SPAN_NULL} : plan->spans[plan->names[given].place];
    }
    for (int32_t name = 0; name < plan->name_count; name++) {
        uint8_t state = plan->states[plan->names[name].place];
        plan->keys.is_seen[name] |= state == STATE_VALUE || state == STATE_ENDED;
    }
}

/* Append the undeclared keys of the record to the arena. */
static bool take_rest(JsonPlan *plan, Span *span, bool has_rest) {
    *span = (Span){0, SPAN_NULL};
    if (!has_rest) return true;
    char *out = buffer_room(&plan->arena, plan->rest.size);
    if (!out) return false;
    memcpy(out, plan->rest.bytes, (size_t)plan->rest.size);
    *span = (Span){(uint32_t)plan->arena.size, (uint32_t)plan->rest.size | SPAN_ARENA};
    plan->arena.size += plan->rest.size;
    return true;
}

/* Read the object at the beginning of a record. */
static bool read_whole(Reading *reading, const char *begin, bool is_alone, bool *has_rest) {
    Scan *scan = &reading->scan;
    if (scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
    if (*scan->at != '{') return (*scan->at == '[' || scan_value(scan)) && scan_fail(scan, JSON_NOT_OBJECT);
    if (!read_object(reading, 0, has_rest)) return false;
    if (!is_utf8((const uint8_t *)begin, (const uint8_t *)scan->at)) return scan_fail(scan, JSON_UTF8);
    if (is_alone) scan_space(scan);
    return !is_alone || scan->at == scan->end || scan_fail(scan, JSON_TRAILING);
}

bool json_record(JsonPlan *plan, const char *base, const char **at, const char *end, bool is_alone, Span *spans,
                 JsonRecord *record) {
    Reading reading = {.plan = plan, .scan = {.at = *at, .end = end}, .base = base};
    int64_t arena = plan->arena.size, unknown = plan->keys.unknown_count;
    bool has_rest = false;
    plan->rest.size = 0;
    mark(plan, 0, plan->place_count - 1, STATE_ABSENT);
    if (read_whole(&reading, *at, is_alone, &has_rest)) {
        plan->keys.has_object = true;
        choose(plan, spans, record);
    } else {
        if (reading.is_exhausted) return false;
        record->error = reading.scan.error;
        plan_forget_unknown(plan, unknown);
    }
    *at = reading.scan.at;
    if (record->error) plan->arena.size = arena;
    else if (plan->keeps_unknown) return take_rest(plan, &spans[plan->source_count], has_rest);
    return true;
}
