/* Splits CSV bytes into valid and malformed records.
 *
 * The grammar is RFC 4180 with LF or CRLF line ends, and with the characters of a dialect. A quote inside an unquoted
 * field is data. A malformed record, or a record with a NUL byte or invalid UTF-8, is rejected. If a quote is misplaced or
 * not closed, only the first physical line of the record is rejected. Reading continues with the next record or line. A
 * line that begins with the dialect's comment mark is skipped.
 */
#include "native.h"

#include <stdlib.h>

enum Class { END = 1, QUOTE = 2, NUL = 4, RETURN = 8, HIGH = 16, NEWLINE = 32, ESCAPE = 64 };

/* A dialect, and the class of each byte in it. The characters are -1 if the dialect does not have them. */
typedef struct {
    int quote, escape, style;
    uint8_t classes[256];
} Grammar;

#define LINE_CLASSES ['\0'] = NUL, ['\n'] = END | NEWLINE, ['\r'] = RETURN, [0x80 ... 0xff] = HIGH

/* The default dialect is a constant, so the compiler writes a reader for it alone. */
static const Grammar plain = {'"', -1, ESCAPES_QUOTED, {LINE_CLASSES, [','] = END, ['"'] = QUOTE}};

static Grammar grammar_of(const Dialect *dialect) {
    Grammar grammar = {dialect->quote ? dialect->quote : -1, dialect->escape ? dialect->escape : -1, dialect->style,
                       {LINE_CLASSES}};
    if (dialect->quote) grammar.classes[dialect->quote] |= QUOTE;
    if (dialect->escape) grammar.classes[dialect->escape] |= ESCAPE;
    grammar.classes[dialect->delimiter] |= END;
    return grammar;
}

static bool is_plain(const Dialect *dialect) {
    return dialect->delimiter == ',' && dialect->quote == '"' && !dialect->escape;
}

/* Properties of a record that were found so far. */
typedef struct {
    int64_t end;    /* offset after its line end */
    int64_t stop;   /* offset of its line end */
    int64_t fields;
    int64_t last;   /* size of its last field */
    unsigned seen;  /* classes of its bytes: NUL, HIGH, RETURN outside quotes, NEWLINE inside quotes or after an escape */
} Shape;

enum Outcome { WHOLE, BROKEN, UNFINISHED };

/* Return the offset after the line at an offset, or `size` if the line is not complete. */
static int64_t line_end(const CsvInput *input, int64_t begin) {
    const char *newline = memchr(input->data + begin, '\n', (size_t)(input->size - begin));
    return newline ? newline + 1 - input->data : input->size;
}

/* Read the escape at an offset inside or outside quotes, up to the limit. Returns the offset after it. */
static int64_t read_escape(const CsvInput *input, const Grammar *grammar, int64_t at, int64_t limit, bool is_quoted,
                           unsigned *seen, uint32_t *flags) {
    if (at + 1 >= limit) return at + 1;
    uint8_t next = (uint8_t)input->data[at + 1];
    if (grammar->style == ESCAPES_QUOTED && !(is_quoted && (next == grammar->quote || next == grammar->escape)))
        return at + 1; /* the escape is data */
    *flags = is_quoted ? SPAN_DOUBLED : SPAN_ESCAPED;
    *seen |= grammar->classes[next] & (unsigned)(HIGH | NUL | NEWLINE);
    if (grammar->style == ESCAPES_TEXT && next == '0') *seen |= NUL;
    return at + 2;
}

/* Return whether an unquoted field contains a carriage return without an escape. */
static bool has_return(const Grammar *grammar, const uint8_t *text, const uint8_t *end) {
    if (grammar->escape < 0 || grammar->style == ESCAPES_QUOTED) return memchr(text, '\r', (size_t)(end - text));
    for (; text < end; text++) {
        if (*text == '\r') return true;
        if (*text == grammar->escape) text++;
    }
    return false;
}

/* Return the flags of an unquoted field without an escape, or with one. */
static uint32_t bare_flags(const Grammar *grammar, const uint8_t *text, int64_t size, uint32_t flags) {
    if (grammar->style != ESCAPES_TEXT) return size ? flags : SPAN_NULL;
    return size == 2 && text[0] == grammar->escape && text[1] == 'N' ? SPAN_NULL : flags;
}

/* Read the record at an offset. Returns UNFINISHED if a quote is still open at the end of the bytes, or, with `is_open`,
 * at the end of its line. */
static inline __attribute__((always_inline)) enum Outcome read_record(const CsvInput *input, const Grammar *grammar,
                                                                      int64_t begin, bool is_open, Span *spans,
                                                                      Shape *shape) {
    const uint8_t *data = (const uint8_t *)input->data, *classes = grammar->classes;
    const int64_t size = input->size;
    const unsigned stops = grammar->escape < 0 ? QUOTE : QUOTE | ESCAPE;
    const unsigned bare_stops = grammar->escape < 0 || grammar->style == ESCAPES_QUOTED ? END : END | ESCAPE;
    int64_t at = begin, limit = is_open ? line_end(input, begin) : size;
    unsigned class, here;
    for (;; at++) {
        int64_t start = at, end, stop;
        uint32_t flags = 0;
        here = 0;
        if (at < size && data[at] == grammar->quote) {
            if (at >= limit) limit = line_end(input, at); /* an escaped line end came before */
            for (start = ++at;; at++) {
                for (;;) {
                    while (at < limit && !((class = classes[data[at]]) & stops)) here |= class, at++;
                    if (at >= limit) return UNFINISHED;
                    if (!(class & ESCAPE)) break;
                    at = read_escape(input, grammar, at, limit, true, &here, &flags);
                }
                if (at + 1 == limit || data[at + 1] != grammar->quote) break;
                flags = SPAN_DOUBLED, at++;
            }
            end = at++, stop = at;
            here &= ~(unsigned)RETURN;
            if (at < size && data[at] == '\r' && (at + 1 == size || data[at + 1] == '\n')) at++;
            if (at < size && !(classes[data[at]] & END)) return BROKEN;
        } else {
            int64_t escaped = at; /* offset after the last escape */
            for (;;) {
                while (at < size && !((class = classes[data[at]]) & bare_stops)) here |= class, at++;
                if (at >= size || class & END) break;
                escaped = at = read_escape(input, grammar, at, size, false, &here, &flags);
            }
            end = at;
            if (here & RETURN && end > escaped && data[end - 1] == '\r' && (at == size || data[at] == '\n')) {
                end--; /* this carriage return belongs to the line end; any other one is stray */
                if (!has_return(grammar, data + start, data + end)) here &= ~(unsigned)RETURN;
            }
            flags = bare_flags(grammar, data + start, end - start, flags), stop = end;
        }
        if (shape->fields < input->width && input->places[shape->fields] >= 0)
            spans[input->places[shape->fields]] = (Span){(uint32_t)start, (uint32_t)(end - start) | flags};
        shape->fields++;
        shape->seen |= here;
        if (at == size || data[at] == '\n') {
            shape->stop = stop, shape->last = end - start;
            break;
        }
    }
    if (at == size && !input->is_last) return UNFINISHED;
    shape->end = at < size ? at + 1 : at;
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

/* Return whether a record has the expected number of fields. */
static bool has_width(const CsvInput *input, const Shape *shape) {
    int64_t expected = input->width + input->dialect.has_trailing;
    if (input->dialect.has_trailing && shape->last) return false;
    return input->dialect.has_short ? shape->fields <= expected : shape->fields == expected;
}

/* Set the fields that a short record lacks to null. */
static void fill(const CsvInput *input, const Shape *shape, Span *spans) {
    for (int64_t field = shape->fields - input->dialect.has_trailing; field < input->width; field++)
        if (input->places[field] >= 0) spans[input->places[field]] = (Span){(uint32_t)shape->stop, SPAN_NULL};
}

static int32_t error_of(const CsvInput *input, int64_t begin, int64_t end, const Shape *shape) {
    const uint8_t *data = (const uint8_t *)input->data;
    if (!has_width(input, shape)) return ERROR_WIDTH;
    if (shape->seen & NUL) return ERROR_NUL;
    if (shape->seen & HIGH && !is_utf8(data + begin, data + end)) return ERROR_UTF8;
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

static bool is_comment(const CsvInput *input, int64_t begin) {
    int64_t size = input->dialect.comment_size;
    return size && input->size - begin >= size && !memcmp(input->data + begin, input->dialect.comment, (size_t)size);
}

/* Read the record at an offset, or skip a comment. Returns false if the record continues after the bytes that were read so far. */
static bool read_next(const CsvInput *input, const Grammar *grammar, int64_t begin, CsvRecords *found, Record *record,
                      int64_t *end, int64_t *lines) {
    *record = (Record){.line = input->first_line + found->lines, .begin = (uint32_t)begin, .end = (uint32_t)begin};
    *lines = 1;
    if (is_comment(input, begin)) {
        *end = line_end(input, begin);
        return input->is_last || input->data[*end - 1] == '\n';
    }
    Shape shape = {0};
    Span *spans = found->spans + found->row_count * input->wanted;
    /* After one quote was found open up to the end of the bytes, every quote that is open at the end of a later line is
     * also open up to the end. So each later record is searched in its own line only. Otherwise the time would grow with
     * the square of the number of such lines. */
    enum Outcome outcome = grammar == &plain ? read_record(input, &plain, begin, found->is_open, spans, &shape)
                                             : read_record(input, grammar, begin, found->is_open, spans, &shape);
    if (outcome == WHOLE) {
        *end = shape.end;
        record->end = (uint32_t)shape.stop;
        record->error = error_of(input, begin, record->end, &shape);
        record->fields = (int32_t)shape.fields;
        if (input->dialect.has_short && record->error == VALID) fill(input, &shape, spans);
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
    const Grammar special = grammar_of(&input->dialect), *grammar = is_plain(&input->dialect) ? &plain : &special;
    Rooms rooms = {0};
    while (found->consumed < input->size) {
        int64_t begin = found->consumed, end, lines;
        if (found->row_count + found->rejected_count >= input->most_records || begin >= input->most_bytes) {
            found->is_full = true;
            break;
        }
        if (!grow_all(found, &rooms, input->wanted)) return csv_free(found), NULL;
        Record record;
        if (!read_next(input, grammar, begin, found, &record, &end, &lines)) {
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
