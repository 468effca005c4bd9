/* Encodes string columns as rows of a binary COPY. */
#include "native.h"

#include <stdlib.h>

struct Encoder {
    Column *columns;
    int32_t count;
    uint8_t *head;
    int64_t head_size;
    DeriveCallback derive;
    DeriveCache cache;
    Encoded encoded;
    uint8_t *out;
    char *spare;
    char iso[ISO_ROOM];
    InvalidRow *invalid;
    int64_t out_room, spare_room, invalid_room;
};

static bool room_for(void **items, int64_t wanted, int64_t *room, size_t size) {
    if (wanted <= *room) return true;
    int64_t more = *room * 2 > wanted ? *room * 2 : wanted + 1024;
    void *moved = realloc(*items, (size_t)more * size);
    if (!moved) return false;
    *items = moved, *room = more;
    return true;
}

Encoder *encoder_new(const Column *columns, int32_t count, const uint8_t *head, int64_t head_size,
                     const uint64_t key[2], DeriveCallback derive) {
    Encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return NULL;
    encoder->columns = malloc((size_t)count * sizeof *columns + 1);
    encoder->head = malloc((size_t)head_size + 1);
    if (!encoder->columns || !encoder->head) return encoder_free(encoder), NULL;
    memcpy(encoder->columns, columns, (size_t)count * sizeof *columns);
    memcpy(encoder->head, head, (size_t)head_size);
    encoder->count = count, encoder->head_size = head_size, encoder->derive = derive;
    memcpy(encoder->cache.key, key, sizeof encoder->cache.key);
    return encoder;
}

void encoder_free(Encoder *encoder) {
    if (!encoder) return;
    cache_clear(&encoder->cache);
    free(encoder->columns), free(encoder->head), free(encoder->out), free(encoder->spare), free(encoder->invalid);
    free(encoder);
}

/* ---- one value ---- */

/* Return whether a column stores texts, in which blanks and an empty string are values. */
static bool is_text(const Column *column) { return column->kind == KIND_TEXT || column->kind == KIND_VARCHAR; }

enum Cell { WRITTEN, NOTHING, INVALID, FAILED };

/* The text of a value. `is_there`: the text is not null. `is_given`: the source is neither null nor empty. */
typedef struct {
    const char *text;
    int64_t size;
    bool is_there, is_given;
} Found;

/* Make room for a string that `string_at` unescapes. */
static bool room_for_text(Encoder *encoder, const StringColumn *texts, int64_t row) {
    uint32_t size = texts->offsets || texts->arena ? 0 : texts->spans[row * texts->stride].size;
    return size <= SPAN_SIZE || room_for((void **)&encoder->spare, size & SPAN_SIZE, &encoder->spare_room, 1);
}

/* Return the size in bytes of the first characters of a text. */
static int64_t size_of_first(const char *text, int64_t size, int32_t characters) {
    int64_t end = 0;
    for (; end < size; end++)
        if ((text[end] & 0xc0) != 0x80 && !characters--) break;
    return end;
}

/* Return whether a text of the source means null. */
static bool means_null(const Column *column, const char *text, int64_t size) {
    if (!(column->null_sizes >> (size < 63 ? size : 63) & 1)) return false;
    const char *marker = column->nulls;
    for (int32_t i = 0; i < column->null_count; i++) {
        size_t length = strlen(marker);
        if ((int64_t)length == size && !memcmp(marker, text, length)) return true;
        marker += length + 1;
    }
    return false;
}

/* Get the part of the source that a column uses. */
static Found find(const Column *column, const StringColumn *texts, int64_t row, char *spare) {
    Found found = {0};
    found.is_there = string_at(texts, row, &found.text, &found.size, spare);
    if (found.is_there && column->null_sizes && means_null(column, found.text, found.size)) found.is_there = false;
    found.is_given = found.is_there && found.size;
    if (!found.is_there) return found;
    if (column->first && !is_text(column)) { /* skip leading blanks */
        while (found.size && (*found.text == ' ' || (*found.text >= '\t' && *found.text <= '\r'))) found.text++, found.size--;
    }
    if (column->first && found.size > column->first) found.size = size_of_first(found.text, found.size, column->first);
    if (column->after) {
        const char *cut = found.text + found.size;
        while (cut > found.text && cut[-1] != (char)column->after) cut--;
        found.is_there = cut > found.text;
        found.size -= cut - found.text, found.text = cut;
    }
    return found;
}

/* Replace a text by its derived value: in a numeric format at once, otherwise from the cache or from the callback. */
static enum Cell derive(Encoder *encoder, int32_t place, Found *found) {
    const Column *column = &encoder->columns[place];
    int64_t size = column->format ? iso_text(column, found->text, found->size, encoder->iso) : UNCLEAR;
    if (size != UNCLEAR) {
        found->text = encoder->iso, found->size = size;
        return WRITTEN;
    }
    CacheEntry *entry = cache_find(&encoder->cache, place, found->text, found->size);
    if (entry->state == PENDING && !encoder->derive(place, entry->text, entry->text_size)) return FAILED;
    if (entry->state == REFUSED) return found->is_given ? INVALID : NOTHING;
    found->text = entry->value, found->size = entry->value_size;
    return WRITTEN;
}

static enum Cell write_text(Encoder *encoder, const Column *column, Found found, int64_t end, int64_t *size) {
    /* A list of numbers takes up to twelve bytes for each digit and comma. */
    int64_t room = VALUE_ROOM(found.size) * (column->kind >= KIND_INTEGER_ARRAY ? 2 : 1);
    if (!room_for((void **)&encoder->out, end + room, &encoder->out_room, 1)) return FAILED;
    *size = value_write(column, found.text, found.size, encoder->out + end + 4);
    return *size < 0 ? INVALID : WRITTEN;
}

static enum Cell write_list(Encoder *encoder, const Column *column, const StringColumn *texts, int64_t row, int64_t end,
                            int64_t *size) {
    row += texts->list_offset;
    if (texts->has_list && !(texts->has_list[row >> 3] >> (row & 7) & 1)) return NOTHING;
    int64_t first = texts->lists[row] + texts->offset, last = texts->lists[row + 1] + texts->offset;
    int64_t room = end + VALUE_ROOM(texts->offsets[last] - texts->offsets[first]) + 12 * (last - first);
    if (!room_for((void **)&encoder->out, room, &encoder->out_room, 1)) return FAILED;
    *size = list_write(column, texts, first, last, encoder->out + end + 4);
    return *size < 0 ? INVALID : WRITTEN;
}

/* Write a value 4 bytes after `end`. The caller writes the value's size into these 4 bytes. */
static enum Cell write_value(Encoder *encoder, int32_t place, const StringColumn *texts, int64_t row, int64_t end,
                             int64_t *size) {
    const Column *column = &encoder->columns[place];
    if (texts->lists) return write_list(encoder, column, texts, row, end, size);
    if (!room_for_text(encoder, texts, row)) return FAILED;
    Found found = find(column, texts, row, encoder->spare);
    if (column->derive == DERIVE_ALWAYS) {
        if (found.is_there) {
            enum Cell derived = derive(encoder, place, &found);
            if (derived != WRITTEN) return derived;
        } else {
            found.is_there = column->derived_null != NULL;
            found.text = column->derived_null, found.size = column->derived_null_size;
        }
    }
    /* An empty string is valid only in a text column. */
    if (!found.is_there || (!found.size && !is_text(column))) return found.is_given ? INVALID : NOTHING;
    enum Cell written = write_text(encoder, column, found, end, size);
    if (*size != UNCLEAR || column->derive != DERIVE_UNCLEAR) return written;
    enum Cell derived = derive(encoder, place, &found);
    return derived == WRITTEN ? write_text(encoder, column, found, end, size) : derived;
}

/* ---- rows ---- */

/* Append the values of a row at `end`. */
static enum Cell write_row(Encoder *encoder, const StringColumn *texts, int64_t row, int64_t *end) {
    for (int32_t place = 0; place < encoder->count; place++) {
        const Column *column = &encoder->columns[place];
        int64_t size = -1;
        enum Cell cell = write_value(encoder, place, &texts[column->source], row, *end, &size);
        if (cell == FAILED) return FAILED;
        if (cell == INVALID || (cell == NOTHING && !column->is_nullable)) {
            int64_t *count = &encoder->encoded.invalid_count;
            if (!room_for((void **)&encoder->invalid, *count + 1, &encoder->invalid_room, sizeof(InvalidRow))) return FAILED;
            encoder->invalid[(*count)++] = (InvalidRow){row, place, cell == NOTHING};
            return INVALID;
        }
        if (!room_for((void **)&encoder->out, *end + 4, &encoder->out_room, 1)) return FAILED;
        put32(encoder->out + *end, cell == WRITTEN ? (uint32_t)size : UINT32_MAX);
        *end += 4 + (cell == WRITTEN ? size : 0);
    }
    return WRITTEN;
}

/* Append the head of a row, and its line number. */
static bool write_head(Encoder *encoder, const Lines *lines, int64_t row, int64_t *end) {
    if (!room_for((void **)&encoder->out, *end + encoder->head_size + 12, &encoder->out_room, 1)) return false;
    memcpy(encoder->out + *end, encoder->head, (size_t)encoder->head_size);
    *end += encoder->head_size;
    if (!lines->numbers) return true;
    int64_t number;
    memcpy(&number, lines->numbers + row * lines->stride, sizeof number);
    put32(encoder->out + *end, sizeof number);
    put64(encoder->out + *end + 4, (uint64_t)(number + lines->before));
    *end += 12;
    return true;
}

const Encoded *encoder_encode(Encoder *encoder, const StringColumn *texts, const Lines *lines, int64_t row_count) {
    Encoded *encoded = &encoder->encoded;
    *encoded = (Encoded){0};
    int64_t end = 0;
    for (int64_t row = 0; row < row_count; row++) {
        int64_t begin = end;
        if (!write_head(encoder, lines, row, &end)) return NULL;
        enum Cell outcome = write_row(encoder, texts, row, &end);
        if (outcome == FAILED) return NULL;
        if (outcome == WRITTEN) encoded->row_count++;
        else end = begin;
    }
    encoded->out = encoder->out, encoded->out_size = end;
    encoded->invalid = encoder->invalid;
    return encoded;
}

bool encoder_store_derived(Encoder *encoder, const char *value, int64_t size) {
    return cache_store(&encoder->cache, value, size);
}
