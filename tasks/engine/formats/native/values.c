/* Writers of text, UUIDs, booleans, JSON and network addresses. */
#include "values.h"

#include <arpa/inet.h>

/* ---- text, uuid, boolean, jsonb ---- */

int64_t write_text(const char *text, int64_t size, uint8_t *out) {
    if (memchr(text, '\0', (size_t)size)) return NO_VALUE; /* Postgres cannot store NUL in text */
    memcpy(out, text, (size_t)size);
    return size;
}

/* Text of a limited number of characters. As in Postgres, blanks beyond the limit are removed. */
int64_t write_varchar(const Column *column, const char *text, int64_t size, uint8_t *out) {
    int64_t end = 0, count = 0;
    for (; end < size; end++)
        if ((text[end] & 0xc0) != 0x80 && count++ == column->precision) break;
    for (int64_t i = end; i < size; i++)
        if (text[i] != ' ') return NO_VALUE;
    return write_text(text, end, out);
}

/* ---- bytea ---- */

/* Blanks that Postgres skips between the digits of bytes. */
static bool is_skipped(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static int64_t write_hex(const char *text, int64_t size, uint8_t *out) {
    int64_t count = 0;
    for (int64_t i = 0; i < size; i++) {
        if (is_skipped(text[i])) continue;
        int high = digit_of(text[i]), low = i + 1 < size ? digit_of(text[i + 1]) : -1;
        if (high < 0 || low < 0) return NO_VALUE;
        out[count++] = (uint8_t)(high << 4 | low), i++;
    }
    return count;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (is_digit(c)) return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Groups of four characters for three bytes. The last group ends with one or two `=` if it holds fewer bytes. */
static int64_t write_base64(const char *text, int64_t size, uint8_t *out) {
    int64_t count = 0;
    uint32_t group = 0;
    int place = 0, padding = 0;
    for (int64_t i = 0; i < size; i++) {
        if (is_skipped(text[i])) continue;
        bool is_padding = text[i] == '=';
        int digit = is_padding ? 0 : base64_digit(text[i]);
        if (digit < 0 || (padding && !is_padding) || (is_padding && place < 2)) return NO_VALUE;
        padding += is_padding;
        group = group << 6 | (uint32_t)digit;
        if (++place < 4) continue;
        for (int shift = 16; shift >= 8 * padding; shift -= 8) out[count++] = (uint8_t)(group >> shift);
        place = 0, group = 0;
    }
    return place ? NO_VALUE : count;
}

/* Hexadecimal digits after a backslash and an x; or base64, in which no backslash occurs. */
int64_t write_bytea(const Column *column, const char *text, int64_t size, uint8_t *out) {
    if (size > 1 && text[0] == '\\' && text[1] == 'x') return write_hex(text + 2, size - 2, out);
    return column->is_base64 ? write_base64(text, size, out) : NO_VALUE;
}

/* 32 hexadecimal digits with optional braces around them and an optional hyphen after every four digits. */
int64_t write_uuid(const char *text, int64_t size, uint8_t *out) {
    if (size > 1 && text[0] == '{' && text[size - 1] == '}') text++, size -= 2;
    for (int i = 0; i < 16; i++) {
        if (size < 2) return NO_VALUE;
        int high = digit_of(text[0]), low = digit_of(text[1]);
        if (high < 0 || low < 0) return NO_VALUE;
        *out++ = (uint8_t)(high << 4 | low);
        text += 2, size -= 2;
        if (i % 2 && i < 15 && size && text[0] == '-') text++, size--;
    }
    return size ? NO_VALUE : 16;
}

/* Return whether a text is a prefix of a word, ignoring case, and has a minimum length. */
static bool begins(const char *word, const char *text, int64_t size, int64_t least) {
    if (size < least || size > (int64_t)strlen(word)) return false;
    for (int64_t i = 0; i < size; i++)
        if ((text[i] | 0x20) != word[i]) return false;
    return true;
}

int64_t write_boolean(const char *text, int64_t size, uint8_t *out) {
    trim(&text, &size);
    bool is_true = begins("true", text, size, 1) || begins("yes", text, size, 1) || begins("on", text, size, 2);
    bool is_false = begins("false", text, size, 1) || begins("no", text, size, 1) || begins("off", text, size, 2);
    if (size == 1) is_true |= text[0] == '1', is_false |= text[0] == '0';
    if (!is_true && !is_false) return NO_VALUE;
    *out = is_true;
    return 1;
}

/* The derive callback has already validated the JSON. */
int64_t write_jsonb(const char *text, int64_t size, uint8_t *out) {
    *out = 1; /* the version of the format */
    memcpy(out + 1, text, (size_t)size);
    return size + 1;
}

/* ---- inet ---- */

/* Parse one to three digits without leading zeros. Returns -1 for any other text. */
static int small_number(const char *text, int64_t size) {
    if (size < 1 || size > 3 || (size > 1 && text[0] == '0')) return -1;
    return number(text, (int)size);
}

/* Parse up to four octets between points. Returns their number, or 0 for an invalid text. */
static int octets_of(const char *text, int64_t size, uint8_t *octets) {
    int count = 0;
    for (int64_t at = 0;; at++) {
        int64_t begin = at;
        int value = 0;
        for (; at < size && is_digit(text[at]) && at - begin < 4; at++) value = value * 10 + text[at] - '0';
        if (at == begin || value > 255 || (at - begin > 1 && text[begin] == '0') || count == 4) return 0;
        octets[count++] = (uint8_t)value;
        if (at == size) return count;
        if (text[at] != '.') return 0;
    }
}

/* Find the slash before a netmask of up to three digits. Returns NULL if there is none. */
static const char *slash_of(const char *text, int64_t size) {
    for (int64_t i = 1; i <= 4 && i <= size; i++)
        if (text[size - i] == '/') return text + size - i;
    return NULL;
}

/* An IPv4 or IPv6 address with an optional netmask: `1.2.3.4/24`. An IPv4 network may omit its last octets. */
int64_t write_inet(const char *text, int64_t size, uint8_t *out) {
    uint8_t *address = out + 4;
    const char *slash = slash_of(text, size);
    int64_t length = slash ? slash - text : size;
    int bits = slash ? small_number(slash + 1, size - length - 1) : -1;
    if (slash && bits < 0) return NO_VALUE;
    int octets = octets_of(text, length, address);
    if (octets) {
        if (slash ? bits > 32 || bits / 8 > octets : octets < 4) return NO_VALUE;
        memset(address + octets, 0, (size_t)(4 - octets));
        memcpy(out, "\2\x20\0\4", 4); /* family, bits, no network, size */
        if (slash) out[1] = (uint8_t)bits;
        return 8;
    }
    char whole[INET6_ADDRSTRLEN];
    if (length >= (int64_t)sizeof whole || memchr(text, '\0', (size_t)length) || bits > 128) return NO_VALUE;
    memcpy(whole, text, (size_t)length);
    whole[length] = '\0';
    if (inet_pton(AF_INET6, whole, address) != 1) return NO_VALUE;
    memcpy(out, "\3\x80\0\x10", 4);
    if (slash) out[1] = (uint8_t)bits;
    return 20;
}
