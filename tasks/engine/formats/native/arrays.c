/* Writers of arrays: from lists in the notation of Postgres, and from lists of strings. */
#include "values.h"

/* Binary form of an array: the number of dimensions, whether it contains nulls, the type of the elements, the length and
 * the first index of its one dimension, and each element with its size in front. An empty array has no dimension. */
int64_t array_head(const Column *column, uint8_t *out, int64_t count, bool has_null) {
    uint32_t type = column->kind == KIND_INTEGER_ARRAY ? 23 : column->kind == KIND_BIGINT_ARRAY ? 20 : 25;
    put32(out, count > 0), put32(out + 4, has_null), put32(out + 8, type);
    if (!count) return 12;
    put32(out + 12, (uint32_t)count), put32(out + 16, 1);
    return 20;
}

/* Write an element with its size in front. Returns the end, or NULL for an invalid text. */
static uint8_t *put_element(const Column *column, const char *text, int64_t size, uint8_t *out) {
    int64_t written;
    if (column->kind == KIND_TEXT_ARRAY) written = write_text(text, size, out + 4);
    else written = write_integer(column, text, size, column->kind == KIND_INTEGER_ARRAY ? 4 : 8, out + 4);
    if (written < 0) return NULL;
    put32(out, (uint32_t)written);
    return out + 4 + written;
}

int64_t list_write(const Column *column, const StringColumn *texts, int64_t first, int64_t last, uint8_t *out) {
    bool has_null = false;
    uint8_t *next = out + array_head(column, out, last - first, false);
    for (int64_t i = first; i < last; i++) {
        if (texts->validity && !(texts->validity[i >> 3] >> (i & 7) & 1)) {
            has_null = true;
            put32(next, UINT32_MAX), next += 4;
            continue;
        }
        int64_t size = texts->offsets[i + 1] - texts->offsets[i];
        if (!(next = put_element(column, texts->data + texts->offsets[i], size, next))) return NO_VALUE;
    }
    array_head(column, out, last - first, has_null);
    return next - out;
}

/* An element of a list in the notation of Postgres. */
typedef struct {
    int64_t size;
    bool is_plain; /* neither quoted nor escaped, so it may mean NULL */
} Element;

/* Decode an element, quoted or not, and return the place after it: a comma or the closing bracket. Returns NULL if the
 * element is malformed. */
static const char *element_of(const char *at, const char *end, char closing, char *out, Element *element) {
    int64_t size = 0, kept = 0; /* kept: the size without blanks at the end */
    bool is_quoted = at < end && *at == '"';
    *element = (Element){.is_plain = !is_quoted};
    for (at += is_quoted; at < end; at++) {
        if (is_quoted ? *at == '"' : *at == ',' || *at == closing) break;
        if (!is_quoted && (*at == '"' || *at == '{' || *at == '}')) return NULL;
        bool is_escaped = *at == '\\';
        if (is_escaped && ++at == end) return NULL;
        element->is_plain &= !is_escaped;
        out[size++] = *at;
        if (is_quoted || is_escaped || !is_blank(*at)) kept = size;
    }
    if (at == end || (!is_quoted && !kept)) return NULL;
    for (at += is_quoted; at < end && is_blank(*at);) at++;
    element->size = kept;
    return at < end && (*at == ',' || *at == closing) ? at : NULL;
}

static bool is_null(const char *text, const Element *element) {
    if (!element->is_plain || element->size != 4) return false;
    return (text[0] | 0x20) == 'n' && (text[1] | 0x20) == 'u' && (text[2] | 0x20) == 'l' && (text[3] | 0x20) == 'l';
}

int64_t write_array(const Column *column, const char *text, int64_t size, uint8_t *out) {
    trim(&text, &size);
    bool is_bracketed = size && text[0] == '[' && column->kind != KIND_TEXT_ARRAY;
    char closing = is_bracketed ? ']' : '}';
    if (size < 2 || (text[0] != '{' && !is_bracketed) || text[size - 1] != closing) return NO_VALUE;
    const char *at = text + 1, *end = text + size;
    uint8_t *next = out + 20;
    int64_t count = 0;
    bool has_null = false;
    while (is_blank(*at)) at++;
    if (at + 1 == end) return array_head(column, out, 0, false);
    for (;; at++, count++) {
        while (at < end && is_blank(*at)) at++;
        char *decoded = (char *)next + 16; /* an integer is written in front of its text */
        Element element;
        if (!(at = element_of(at, end, closing, decoded, &element))) return NO_VALUE;
        if (is_null(decoded, &element)) {
            has_null = true;
            put32(next, UINT32_MAX), next += 4;
        } else if (column->kind == KIND_TEXT_ARRAY) {
            if (memchr(decoded, '\0', (size_t)element.size)) return NO_VALUE;
            memmove(next + 4, decoded, (size_t)element.size);
            put32(next, (uint32_t)element.size), next += 4 + element.size;
        } else if (!(next = put_element(column, decoded, element.size, next))) {
            return NO_VALUE;
        }
        if (*at == closing) break;
    }
    if (at + 1 != end) return NO_VALUE;
    array_head(column, out, count + 1, has_null);
    return next - out;
}
