/* Writer of `text[]` from lists of words. */
#include "values.h"

static uint8_t *put_character(uint8_t *out, uint32_t code) {
    if (code < 0x80) return *out = (uint8_t)code, out + 1;
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    *out++ = (uint8_t)((0xf00 >> (more + 1) & 0xff) | code >> 6 * more);
    while (more--) *out++ = (uint8_t)(0x80 | (code >> 6 * more & 0x3f));
    return out;
}

/* Decode an escape of Python's repr after its backslash. Returns the end of the escape, or NULL for an unknown escape. */
static const char *put_escape(const char *at, const char *end, uint8_t **out) {
    static const char names[] = "\\\\''\"\"n\nr\rt\t";
    if (at == end) return NULL;
    for (const char *name = names; *name; name += 2)
        if (*at == *name) return *(*out)++ = (uint8_t)name[1], at + 1;
    int count = *at == 'x' ? 2 : *at == 'u' ? 4 : *at == 'U' ? 8 : 0;
    if (!count || end - ++at < count) return NULL;
    uint32_t code = 0;
    for (; count; at++, count--) {
        int digit = digit_of(*at);
        if (digit < 0) return NULL;
        code = code << 4 | (uint32_t)digit;
    }
    if (!code || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff) return NULL;
    *out = put_character(*out, code);
    return at;
}

/* Characters that a word cannot contain unescaped. The quote that does not enclose the word is handled separately. */
static const uint8_t ends_word[256] = {['\''] = 1, ['"'] = 1, ['\\'] = 1, ['\n'] = 1, ['\r'] = 1, ['\0'] = 1};

/* A list of strings in the notation of Python's repr. Any other notation is UNCLEAR, except that the derive callback may
 * return a list in the notation of Postgres. */
int64_t write_text_array(const Column *column, const char *text, int64_t size, uint8_t *out) {
    if (column->derive == DERIVE_ALWAYS && size && text[0] == '{') return write_array(column, text, size, out);
    const char *at = text + 1, *end = text + size;
    uint8_t *next = out + 20;
    int64_t count = 0;
    if (size < 2 || text[0] != '[') return UNCLEAR;
    if (*at == ']') return at + 1 == end ? array_head(column, out, 0, false) : UNCLEAR;
    for (;;) {
        char quote = at < end ? *at++ : 0;
        if (quote != '\'' && quote != '"') return UNCLEAR;
        uint8_t *word = next + 4;
        for (next = word;;) {
            while (at < end && !ends_word[(uint8_t)*at]) *next++ = (uint8_t)*at++;
            if (at == end) return UNCLEAR;
            if (*at == quote) break;
            if (*at == '\\') {
                if (!(at = put_escape(at + 1, end, &next))) return UNCLEAR;
            } else if (*at == '\'' || *at == '"') {
                *next++ = (uint8_t)*at++;
            } else {
                return UNCLEAR;
            }
        }
        put32(word - 4, (uint32_t)(next - word));
        count++, at++;
        if (at < end && *at == ',') {
            at++;
            if (at < end && *at == ' ') at++;
        } else {
            break;
        }
    }
    if (at + 1 != end || *at != ']') return UNCLEAR;
    array_head(column, out, count, false);
    return next - out;
}
