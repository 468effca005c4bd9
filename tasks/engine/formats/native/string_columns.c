/* Strings of a column: removes escapes, and copies a column into the buffers of an Arrow array of large_string. */
#include "native.h"

/* Return the character that an escape and a letter mean in the text format of Postgres. */
static char control(char letter) {
    static const char letters[] = "bfnrtv", controls[] = "\b\f\n\r\t\v";
    const char *found = letter ? strchr(letters, letter) : NULL;
    return found ? controls[found - letters] : letter;
}

/* Return whether the character at an offset is escaped by the character before it. */
static bool is_escaped(const StringColumn *texts, bool is_quoted, char first, char second) {
    bool is_quote = is_quoted && second == (char)texts->quote;
    if (is_quoted && first == (char)texts->quote) return is_quote;
    if (!texts->escape || first != (char)texts->escape) return false;
    return texts->style != ESCAPES_QUOTED || is_quote || second == (char)texts->escape;
}

int64_t unescape(const StringColumn *texts, Span span, char *out) {
    const char *text = texts->data + span.begin;
    int64_t size = span.size & SPAN_SIZE;
    bool is_quoted = (span.size & ~SPAN_SIZE) == SPAN_DOUBLED;
    char *end = out;
    for (int64_t i = 0; i < size; i++) {
        char here = text[i];
        if (i + 1 < size && is_escaped(texts, is_quoted, here, text[i + 1])) {
            here = text[++i];
            if (texts->style == ESCAPES_TEXT) here = control(here);
        }
        *end++ = here;
    }
    return end - out;
}

int64_t strings_size(const StringColumn *texts, int64_t row_count) {
    if (texts->offsets) return texts->offsets[texts->offset + row_count] - texts->offsets[texts->offset];
    int64_t total = 0;
    for (int64_t row = 0; row < row_count; row++) total += texts->spans[row * texts->stride].size & SPAN_SIZE;
    return total;
}

int64_t strings_longest(const void *offsets, int64_t count, bool is_large) {
    int64_t longest = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t *large = offsets;
        const int32_t *small = offsets;
        int64_t size = is_large ? large[i + 1] - large[i] : small[i + 1] - small[i];
        if (size > longest) longest = size;
    }
    return longest;
}

bool strings_are_utf8(const int64_t *offsets, int64_t count, const uint8_t *data, int64_t size) {
    if (*offsets < 0 || offsets[count] > size) return false;
    for (int64_t i = 0; i < count; i++)
        if (offsets[i] > offsets[i + 1]) return false;
    /* All strings together are UTF-8, and none begins inside a character: then each string is UTF-8. */
    if (!is_utf8(data + *offsets, data + offsets[count])) return false;
    for (int64_t i = 0; i < count; i++)
        if (offsets[i] < offsets[count] && (data[offsets[i]] & 0xc0) == 0x80) return false;
    return true;
}

int64_t page_longest(const uint8_t *page, int64_t size) {
    int64_t longest = 0, at = 0;
    while (at < size) {
        if (size - at < 4) return -1;
        int64_t length = page[at] | page[at + 1] << 8 | page[at + 2] << 16 | (int64_t)page[at + 3] << 24;
        at += 4;
        if (length > size - at) return -1;
        at += length;
        if (length > longest) longest = length;
    }
    return longest;
}

void strings_copy(const StringColumn *texts, int64_t row_count, int64_t *offsets, char *data, uint8_t *validity) {
    const char *text;
    int64_t size;
    for (int64_t row = *offsets = 0; row < row_count; row++) {
        bool is_there = string_at(texts, row, &text, &size, data + offsets[row]);
        if (is_there) {
            memmove(data + offsets[row], text, (size_t)size);
            validity[row >> 3] |= (uint8_t)(1 << (row & 7));
        }
        offsets[row + 1] = offsets[row] + (is_there ? size : 0);
    }
}
