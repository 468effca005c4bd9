/* Validates JSON values, and converts strings and nested values. */
#include "json.h"

#include "values.h"

enum Class { PLAIN, QUOTE, ESCAPE, CONTROL };

static const uint8_t classes[256] = {[0 ... 0x1f] = CONTROL, ['"'] = QUOTE, ['\\'] = ESCAPE};

static inline bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool scan_fail(Scan *scan, int32_t error) {
    scan->error = error;
    return false;
}

void scan_space(Scan *scan) {
    if (scan->at == scan->end || !is_space(*scan->at)) return;
    scan->spaces++;
    while (scan->at < scan->end && is_space(*scan->at)) scan->at++;
}

/* Four hexadecimal digits. Returns -1 if there are other characters. */
static int32_t code_unit(const char *at) {
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = digit_of(at[i]);
        if (digit < 0) return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* An escape, from its backslash. */
static bool scan_escape(Scan *scan) {
    const char *at = scan->at + 1, *end = scan->end;
    if (at == end) return scan_fail(scan, JSON_TRUNCATED);
    if (*at != 'u') {
        scan->at = at + 1;
        return memchr("\"\\/bfnrt", *at, 8) || scan_fail(scan, JSON_ESCAPE);
    }
    if (end - at < 5) return scan_fail(scan, JSON_TRUNCATED);
    int32_t code = code_unit(at + 1);
    if (code < 0) return scan_fail(scan, JSON_UNICODE_ESCAPE);
    scan->at = at += 5;
    if (code < 0xd800 || code > 0xdfff) return true;
    if (code > 0xdbff) return scan_fail(scan, JSON_SURROGATE);
    if (end - at < 6) return scan_fail(scan, JSON_TRUNCATED);
    if (at[0] != '\\' || at[1] != 'u') return scan_fail(scan, JSON_SURROGATE);
    code = code_unit(at + 2);
    if (code < 0) return scan_fail(scan, JSON_UNICODE_ESCAPE);
    scan->at = at + 6;
    return (code >= 0xdc00 && code <= 0xdfff) || scan_fail(scan, JSON_SURROGATE);
}

/* The number of bytes before the first quote, backslash or control character among 8 bytes; 8 if there is none. */
static inline int plain_count(const char *text) {
    const uint64_t ones = 0x0101010101010101, highs = ones << 7;
    uint64_t bytes = 0;
    for (int i = 0; i < 8; i++) bytes |= (uint64_t)(uint8_t)text[i] << 8 * i; /* the first byte is the lowest */
    uint64_t quotes = bytes ^ ones * '"', escapes = bytes ^ ones * '\\';
    uint64_t found = (((bytes - ones * 0x20) & ~bytes) | ((quotes - ones) & ~quotes) | ((escapes - ones) & ~escapes)) & highs;
    /* A borrow marks wrong bytes after the first one only. */
    return found ? __builtin_ctzll(found) / 8 : 8;
}

bool scan_string(Scan *scan) {
    const char *at = scan->at + 1, *end = scan->end;
    scan->is_escaped = false;
    for (;;) {
        int count = 8;
        while (end - at >= 8 && (count = plain_count(at)) == 8) at += 8;
        if (count < 8) at += count;
        else while (at < end && classes[(uint8_t)*at] == PLAIN) at++;
        if (at == end) return scan->at = at, scan_fail(scan, JSON_TRUNCATED);
        switch (classes[(uint8_t)*at]) {
        case QUOTE: return scan->at = at + 1, true;
        case CONTROL: return scan_fail(scan, JSON_CHARACTER);
        default:
            scan->is_escaped = true, scan->at = at;
            if (!scan_escape(scan)) return false;
            at = scan->at;
        }
    }
}

static bool scan_digits(Scan *scan) {
    const char *begin = scan->at;
    while (scan->at < scan->end && is_digit(*scan->at)) scan->at++;
    if (scan->at > begin) return true;
    return scan_fail(scan, scan->at == scan->end ? JSON_TRUNCATED : JSON_NUMBER);
}

static bool scan_number(Scan *scan) {
    if (*scan->at == '-') {
        if (++scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
        if (!is_digit(*scan->at)) return scan_fail(scan, JSON_CHARACTER);
    }
    const char *begin = scan->at;
    if (!scan_digits(scan)) return false;
    if (*begin == '0' && scan->at > begin + 1) return scan_fail(scan, JSON_NUMBER);
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        if (!scan_digits(scan)) return false;
    }
    if (scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        scan->at++;
        if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-')) scan->at++;
        if (!scan_digits(scan)) return false;
    }
    return true;
}

static bool scan_word(Scan *scan, const char *word) {
    for (; *word; word++, scan->at++) {
        if (scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
        if (*scan->at != *word) return scan_fail(scan, JSON_CHARACTER);
    }
    return true;
}

static bool scan_scalar(Scan *scan) {
    switch (*scan->at) {
    case '"': return scan_string(scan);
    case 'n': return scan_word(scan, "null");
    case 't': return scan_word(scan, "true");
    case 'f': return scan_word(scan, "false");
    default:
        if (*scan->at != '-' && !is_digit(*scan->at)) return scan_fail(scan, JSON_CHARACTER);
        return scan_number(scan);
    }
}

bool scan_colon(Scan *scan) {
    scan_space(scan);
    if (scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
    if (*scan->at != ':') return scan_fail(scan, JSON_COLON);
    scan->at++;
    scan_space(scan);
    return scan->at < scan->end || scan_fail(scan, JSON_TRUNCATED);
}

bool scan_next(Scan *scan, char closer, bool *is_last) {
    scan_space(scan);
    if (scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
    *is_last = *scan->at == closer;
    if (!*is_last && *scan->at != ',') return scan_fail(scan, closer == '}' ? JSON_OBJECT_NEXT : JSON_ARRAY_NEXT);
    scan->at++;
    if (*is_last) return true;
    scan_space(scan);
    if (scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
    if (*scan->at == closer) return scan_fail(scan, closer == '}' ? JSON_OBJECT_COMMA : JSON_ARRAY_COMMA);
    if (closer == '}' && *scan->at != '"') return scan_fail(scan, JSON_KEY);
    return true;
}

/* Move into an array or object. `*is_empty` says whether it ends at once. */
static bool scan_open(Scan *scan, char closer, bool *is_empty) {
    scan->at++;
    scan_space(scan);
    if (scan->at == scan->end) return scan_fail(scan, JSON_TRUNCATED);
    *is_empty = *scan->at == closer;
    if (*is_empty) scan->at++;
    else if (closer == '}' && *scan->at != '"') return scan_fail(scan, JSON_KEY);
    return true;
}

static bool scan_key(Scan *scan) { return scan_string(scan) && scan_colon(scan); }

bool scan_value(Scan *scan) {
    char closers[JSON_DEPTH]; /* of the open arrays and objects */
    int32_t depth = 0;
    for (;;) {
        bool is_closed = true;
        if (*scan->at == '{' || *scan->at == '[') {
            char closer = *scan->at == '{' ? '}' : ']';
            if (depth == JSON_DEPTH) return scan_fail(scan, JSON_DEEP);
            if (!scan_open(scan, closer, &is_closed)) return false;
            if (!is_closed) closers[depth++] = closer;
        } else if (!scan_scalar(scan)) {
            return false;
        }
        while (is_closed && depth) {
            if (!scan_next(scan, closers[depth - 1], &is_closed)) return false;
            if (is_closed) depth--;
        }
        if (!depth) return true;
        if (closers[depth - 1] == '}' && !scan_key(scan)) return false;
    }
}

/* ---- conversion ---- */

static char *put_code(char *out, uint32_t code) {
    if (code < 0x80) return *out = (char)code, out + 1;
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    *out++ = (char)((0xf00 >> (more + 1) & 0xff) | code >> 6 * more);
    while (more--) *out++ = (char)(0x80 | (code >> 6 * more & 0x3f));
    return out;
}

char *json_unescape(const char *at, const char *end, char *out) {
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((escape ? escape : end) - at);
        memmove(out, at, plain);
        out += plain;
        if (!escape) break;
        at = escape + 2;
        switch (escape[1]) {
        case 'b': *out++ = '\b'; break;
        case 'f': *out++ = '\f'; break;
        case 'n': *out++ = '\n'; break;
        case 'r': *out++ = '\r'; break;
        case 't': *out++ = '\t'; break;
        case 'u': {
            uint32_t code = (uint32_t)code_unit(at);
            at += 4;
            if (code >= 0xd800 && code < 0xdc00) {
                code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)code_unit(at + 2) - 0xdc00);
                at += 6;
            }
            out = put_code(out, code);
            break;
        }
        default: *out++ = escape[1];
        }
    }
    return out;
}

char *json_compact(const char *at, const char *end, char *out) {
    while (at < end) {
        if (*at == '"') {
            Scan string = {.at = at, .end = end};
            scan_string(&string);
            memmove(out, at, (size_t)(string.at - at));
            out += string.at - at, at = string.at;
        } else if (is_space(*at)) {
            at++;
        } else {
            *out++ = *at++;
        }
    }
    return out;
}
