/* Records of CSV bytes: where they end, which are sound, and what is wrong with those that are not.
 *
 * The grammar is RFC 4180 with LF or CRLF line ends; a quote inside an unquoted field is data. What does not fit the
 * grammar, or is no text, rejects its own record, or, where a quote does not close as it should, its first physical
 * line; reading goes on with what follows.
 */
#include "native.h"

#include <stdlib.h>

enum Class { END = 1, QUOTE = 2, NUL = 4, RETURN = 8, HIGH = 16, NEWLINE = 32 };

static const uint8_t classes[256] = {
    ['\0'] = NUL, [','] = END, ['\n'] = END | NEWLINE, ['"'] = QUOTE, ['\r'] = RETURN, [0x80 ... 0xff] = HIGH,
};

static bool is_utf8(const uint8_t *text, const uint8_t *end) {
    while (text < end) {
        uint8_t lead = *text++;
        if (lead < 0x80) continue;
        int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || end - text < more) return false;
        /* Neither longer than need be, nor a surrogate, nor beyond the last character. */
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (*text < low || *text > high) return false;
        for (text++; --more; text++)
            if ((*text & 0xc0) != 0x80) return false;
    }
    return true;
}

typedef struct {
    const char *data;
    const int32_t *places;
    int32_t width;
    bool is_last;
} Bytes;

/* What a record's bytes are like, as far as they were read. */
typedef struct {
    int64_t end;    /* behind its line end */
    int64_t fields;
    unsigned seen;  /* classes of its bytes: NUL, HIGH, a RETURN outside of quotes, a NEWLINE within */
} Shape;

enum Outcome { WHOLE, BROKEN, UNFINISHED };

/* Read the record that begins at a position, no further than the limit; a quote that is open there stays open. */
static enum Outcome read_record(const Bytes *bytes, int64_t begin, int64_t limit, Span *spans, Shape *shape) {
    const uint8_t *data = (const uint8_t *)bytes->data;
    int64_t at = begin;
    unsigned class, here;
    for (;; at++) {
        int64_t start = at, end;
        uint32_t flags = 0;
        here = 0;
        if (at < limit && data[at] == '"') {
            for (start = ++at;; at++) {
                while (at < limit && !((class = classes[data[at]]) & QUOTE)) here |= class, at++;
                if (at == limit) return UNFINISHED;
                if (at + 1 == limit || data[at + 1] != '"') break;
                flags = SPAN_DOUBLED, at++;
            }
            end = at++;
            here &= ~(unsigned)RETURN;
            if (at < limit && data[at] == '\r' && (at + 1 == limit || data[at + 1] == '\n')) at++;
            if (at < limit && !(classes[data[at]] & END)) return BROKEN;
        } else {
            while (at < limit && !((class = classes[data[at]]) & END)) here |= class, at++;
            end = at;
            if (here & RETURN && data[end - 1] == '\r' && (at == limit || data[at] == '\n')) {
                end--; /* it is the line end's; another one would be none's */
                if (!memchr(data + start, '\r', (size_t)(end - start))) here &= ~(unsigned)RETURN;
            }
            if (end == start) flags = SPAN_NULL;
        }
        if (shape->fields < bytes->width && bytes->places[shape->fields] >= 0)
            spans[bytes->places[shape->fields]] = (Span){(uint32_t)start, (uint32_t)(end - start) | flags};
        shape->fields++;
        shape->seen |= here;
        if (at == limit || data[at] == '\n') break;
    }
    if (at == limit && !bytes->is_last) return UNFINISHED;
    shape->end = at < limit ? at + 1 : at;
    return WHOLE;
}

/* Room for one more; false without memory. */
static bool grow(void **items, int64_t count, int64_t *room, size_t size) {
    if (count < *room) return true;
    int64_t wanted = *room ? *room * 2 : 1024;
    void *moved = realloc(*items, (size_t)wanted * size);
    if (!moved) return false;
    *items = moved, *room = wanted;
    return true;
}

static int64_t without_line_end(const char *data, int64_t begin, int64_t end) {
    if (end > begin && data[end - 1] == '\n') end--;
    if (end > begin && data[end - 1] == '\r') end--;
    return end;
}

static int32_t fault_of(const char *data, int64_t begin, int64_t end, const Shape *shape, int32_t width) {
    if (shape->fields != width) return FAULT_WIDTH;
    if (shape->seen & NUL) return FAULT_NUL;
    if (shape->seen & HIGH && !is_utf8((const uint8_t *)data + begin, (const uint8_t *)data + end)) return FAULT_UTF8;
    if (shape->seen & RETURN) return FAULT_RETURN;
    return SOUND;
}

static int64_t count_lines(const char *data, int64_t begin, int64_t end) {
    int64_t lines = 0;
    const char *at = data + begin, *last = data + end;
    for (const char *found; at < last && (found = memchr(at, '\n', (size_t)(last - at))); at = found + 1) lines++;
    return lines + (at < last);
}

CsvRecords *csv_read(const char *data, int64_t size, bool is_last, int64_t first_line, int32_t width,
                     const int32_t *places, int32_t wanted, int64_t longest) {
    CsvRecords *found = calloc(1, sizeof *found);
    if (!found) return NULL;
    Bytes bytes = {data, places, width, is_last};
    int64_t rows_room = 0, rejected_room = 0, spans_room = 0;
    /* Once a quote was seen to stay open to the end, one that is open at a later line's end stays open as well: no
     * record is looked for beyond its line, or a file full of such lines would be read once for each of them. */
    bool is_open_to_the_end = false;

    while (found->consumed < size) {
        int64_t begin = found->consumed, limit = size;
        Shape shape = {0};
        while (found->row_count + 1 > spans_room / (wanted ? wanted : 1))
            if (!grow((void **)&found->spans, spans_room, &spans_room, sizeof(Span))) goto without_memory;
        if (!grow((void **)&found->rows, found->row_count, &rows_room, sizeof(Record))) goto without_memory;
        if (is_open_to_the_end) {
            const char *newline = memchr(data + begin, '\n', (size_t)(size - begin));
            limit = newline ? newline + 1 - data : size;
        }
        Span *spans = found->spans + found->row_count * wanted;
        enum Outcome outcome = read_record(&bytes, begin, limit, spans, &shape);
        Record record = {.line = first_line + found->lines, .begin = (uint32_t)begin};
        int64_t lines = 1;
        if (outcome == WHOLE) {
            record.end = (uint32_t)without_line_end(data, begin, shape.end);
            record.fault = fault_of(data, begin, record.end, &shape, width);
            record.fields = (int32_t)shape.fields;
            if (shape.seen & NEWLINE) lines = count_lines(data, begin, shape.end);
        } else {
            /* Its first line is rejected, if the rest of it is here. A quote that stays open for longer than a record
             * can be was never closed. */
            const char *newline = memchr(data + begin, '\n', (size_t)(size - begin));
            bool is_long = size - begin > longest;
            if (!is_last && (!newline || (outcome == UNFINISHED && !is_long))) {
                found->is_endless = is_long;
                break;
            }
            is_open_to_the_end |= outcome == UNFINISHED;
            shape.end = newline ? newline + 1 - data : size;
            record.end = (uint32_t)without_line_end(data, begin, shape.end);
            record.fault = FAULT_QUOTE;
        }
        if (record.end > record.begin) {
            if (record.fault == SOUND) {
                found->rows[found->row_count++] = record;
            } else {
                if (!grow((void **)&found->rejected, found->rejected_count, &rejected_room, sizeof(Record)))
                    goto without_memory;
                found->rejected[found->rejected_count++] = record;
            }
        }
        found->consumed = shape.end, found->lines += lines;
    }
    return found;

without_memory:
    csv_free(found);
    return NULL;
}

void csv_free(CsvRecords *records) {
    if (!records) return;
    free(records->rows), free(records->rejected), free(records->spans), free(records);
}
