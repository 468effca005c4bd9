/* Splits CSV bytes into valid and malformed records.
 *
 * The grammar is RFC 4180 with LF or CRLF line ends. A quote inside an unquoted field is data. A malformed record, or a
 * record with a NUL byte or invalid UTF-8, is rejected. If a quote is misplaced or not closed, only the first physical
 * line of the record is rejected. Reading continues with the next record or line.
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
        /* Reject overlong sequences, surrogates and code points above U+10FFFF. */
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (*text < low || *text > high) return false;
        for (text++; --more; text++)
            if ((*text & 0xc0) != 0x80) return false;
    }
    return true;
}

/* Properties of a record that were found so far. */
typedef struct {
    int64_t end;    /* offset after its line end */
    int64_t fields;
    unsigned seen;  /* classes of its bytes: NUL, HIGH, RETURN outside quotes, NEWLINE inside quotes */
} Shape;

enum Outcome { WHOLE, BROKEN, UNFINISHED };

/* Read the record at an offset, up to the limit. Returns UNFINISHED if a quote is still open at the limit. */
static enum Outcome read_record(const CsvInput *input, int64_t begin, int64_t limit, Span *spans, Shape *shape) {
    const uint8_t *data = (const uint8_t *)input->data;
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
                end--; /* this carriage return belongs to the line end; any other one is stray */
                if (!memchr(data + start, '\r', (size_t)(end - start))) here &= ~(unsigned)RETURN;
            }
            if (end == start) flags = SPAN_NULL;
        }
        if (shape->fields < input->width && input->places[shape->fields] >= 0)
            spans[input->places[shape->fields]] = (Span){(uint32_t)start, (uint32_t)(end - start) | flags};
        shape->fields++;
        shape->seen |= here;
        if (at == limit || data[at] == '\n') break;
    }
    if (at == limit && !input->is_last) return UNFINISHED;
    shape->end = at < limit ? at + 1 : at;
    return WHOLE;
}

/* Make room for one more item. Returns false if memory is exhausted. */
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

static int32_t error_of(const char *data, int64_t begin, int64_t end, const Shape *shape, int32_t width) {
    if (shape->fields != width) return ERROR_WIDTH;
    if (shape->seen & NUL) return ERROR_NUL;
    if (shape->seen & HIGH && !is_utf8((const uint8_t *)data + begin, (const uint8_t *)data + end)) return ERROR_UTF8;
    if (shape->seen & RETURN) return ERROR_RETURN;
    return VALID;
}

static int64_t count_lines(const char *data, int64_t begin, int64_t end) {
    int64_t lines = 0;
    const char *at = data + begin, *last = data + end;
    for (const char *found; at < last && (found = memchr(at, '\n', (size_t)(last - at))); at = found + 1) lines++;
    return lines + (at < last);
}

/* The capacity of each array. */
typedef struct {
    int64_t rows, rejected, spans;
} Rooms;

/* Make room for one more record, valid or malformed. Returns false if memory is exhausted. */
static bool grow_all(CsvRecords *found, Rooms *rooms, int32_t wanted) {
    while (wanted && found->row_count + 1 > rooms->spans / wanted)
        if (!grow((void **)&found->spans, rooms->spans, &rooms->spans, sizeof(Span))) return false;
    return grow((void **)&found->rows, found->row_count, &rooms->rows, sizeof(Record)) &&
           grow((void **)&found->rejected, found->rejected_count, &rooms->rejected, sizeof(Record));
}

/* Return the offset after the line at an offset, or `size` if the line is not complete. */
static int64_t line_end(const CsvInput *input, int64_t begin) {
    const char *newline = memchr(input->data + begin, '\n', (size_t)(input->size - begin));
    return newline ? newline + 1 - input->data : input->size;
}

/* Read the record at an offset. Returns false if the record continues after the bytes that were read so far. */
static bool read_next(const CsvInput *input, int64_t begin, CsvRecords *found, Record *record, int64_t *end,
                      int64_t *lines) {
    Shape shape = {0};
    /* After one quote was found open up to the end of the bytes, every quote that is open at the end of a later line is
     * also open up to the end. So each later record is searched in its own line only. Otherwise the time would grow with
     * the square of the number of such lines. */
    int64_t limit = found->is_open ? line_end(input, begin) : input->size;
    enum Outcome outcome = read_record(input, begin, limit, found->spans + found->row_count * input->wanted, &shape);
    *record = (Record){.line = input->first_line + found->lines, .begin = (uint32_t)begin};
    *lines = 1;
    if (outcome == WHOLE) {
        *end = shape.end;
        record->end = (uint32_t)without_line_end(input->data, begin, shape.end);
        record->error = error_of(input->data, begin, record->end, &shape, input->width);
        record->fields = (int32_t)shape.fields;
        if (shape.seen & NEWLINE) *lines = count_lines(input->data, begin, shape.end);
        return true;
    }
    /* Reject the record's first line, once that line is complete. A quote that is still open after the maximum length
     * of a record counts as never closed. */
    *end = line_end(input, begin);
    bool is_here = input->data[*end - 1] == '\n', is_long = input->size - begin > input->longest;
    if (!input->is_last && (!is_here || (outcome == UNFINISHED && !is_long))) return false;
    found->is_open |= outcome == UNFINISHED;
    record->end = (uint32_t)without_line_end(input->data, begin, *end);
    record->error = ERROR_QUOTE;
    return true;
}

CsvRecords *csv_read(const CsvInput *input) {
    CsvRecords *found = input->size > SPAN_SIZE ? NULL : calloc(1, sizeof *found);
    if (!found) return NULL;
    found->is_open = input->is_open;
    Rooms rooms = {0};
    while (found->consumed < input->size) {
        int64_t begin = found->consumed, end, lines;
        if (found->row_count + found->rejected_count >= input->most_records || begin >= input->most_bytes) {
            found->is_full = true;
            break;
        }
        if (!grow_all(found, &rooms, input->wanted)) return csv_free(found), NULL;
        Record record;
        if (!read_next(input, begin, found, &record, &end, &lines)) {
            found->is_endless = input->size - begin > input->longest;
            break;
        }
        if ((int64_t)record.end - begin > input->longest) {
            found->is_endless = true;
            break;
        }
        if (record.end > record.begin) {
            if (record.error == VALID) found->rows[found->row_count++] = record;
            else found->rejected[found->rejected_count++] = record;
        }
        found->consumed = end, found->lines += lines;
    }
    return found;
}

void csv_free(CsvRecords *records) {
    if (!records) return;
    free(records->rows), free(records->rejected), free(records->spans), free(records);
}
