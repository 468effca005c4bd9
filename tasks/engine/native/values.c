/* Values of Postgres types in their binary form, from one spelling each.
 *
 * No function here knows leniency: what it does not know is no value, and says so.
 */
#include "native.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define TEXT_OID 25

static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Values of hexadecimal digits, one more than they are: 0 is none. */
static const uint8_t digits[256] = {
    ['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
    ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static inline int digit_of(char c) { return digits[(uint8_t)c] - 1; }

/* The number that so many digits are; -1 where one is none. */
static int number(const char *text, int count) {
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(text[i])) return -1;
        value = value * 10 + text[i] - '0';
    }
    return value;
}

/* ---- text, uuid, boolean, jsonb ---- */

static int64_t write_text(const char *text, int64_t size, uint8_t *out) {
    if (memchr(text, '\0', (size_t)size)) return NO_VALUE; /* Postgres has no such character */
    memcpy(out, text, (size_t)size);
    return size;
}

static int64_t write_uuid(const char *text, int64_t size, uint8_t *out) {
    if (size != 36) return NO_VALUE;
    for (int i = 0; i < 36; i += 2) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-') return NO_VALUE;
            i++;
        }
        int high = digit_of(text[i]), low = digit_of(text[i + 1]);
        if (high < 0 || low < 0) return NO_VALUE;
        *out++ = (uint8_t)(high << 4 | low);
    }
    return 16;
}

static int64_t write_boolean(const char *text, int64_t size, uint8_t *out) {
    bool is_true = size == 4 && !memcmp(text, "true", 4);
    if (!is_true && !(size == 5 && !memcmp(text, "false", 5))) return NO_VALUE;
    *out = is_true;
    return 1;
}

/* The text is JSON: the caller's function has seen to it. */
static int64_t write_jsonb(const char *text, int64_t size, uint8_t *out) {
    *out = 1; /* the version of the format */
    memcpy(out + 1, text, (size_t)size);
    return size + 1;
}

/* ---- times ---- */

#define DAY_SECONDS 86400
#define FIRST_DAY (-730119) /* 0001-01-01, counted from 2000-01-01, as Postgres does */
#define LAST_DAY 2921939    /* 9999-12-31 */

/* The day YYYY-MM-DD, years 0001 to 9999, counted from 2000-01-01. */
static bool day_of(const char *text, int32_t *day) {
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = number(text, 4), month = number(text + 5, 2), of_month = number(text + 8, 2);
    if (text[4] != '-' || text[7] != '-' || year < 1 || month < 1 || month > 12 || of_month < 1) return false;
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (of_month > lengths[month - 1] + (month == 2 && is_leap)) return false;
    /* Years that begin in March: the leap day is the last one. */
    int since = month < 3 ? year - 1 : year, months = month < 3 ? month + 9 : month - 3;
    *day = 365 * since + since / 4 - since / 100 + since / 400 + (153 * months + 2) / 5 + of_month - 1 - 730425;
    return true;
}

static int64_t write_date(const char *text, int64_t size, uint8_t *out) {
    int32_t day;
    if (size != 10 || !day_of(text, &day)) return NO_VALUE;
    put32(out, (uint32_t)day);
    return 4;
}

/* A date-time behind its day, [T ]HH:MM:SS(.f{1,6})?, in microseconds; how many bytes it takes, 0: it is none. */
static int64_t clock_of(const char *text, int64_t size, int64_t *microseconds, int *places) {
    if (size < 9 || (text[0] != 'T' && text[0] != ' ') || text[3] != ':' || text[6] != ':') return 0;
    int hour = number(text + 1, 2), minute = number(text + 4, 2), second = number(text + 7, 2), fraction = 0;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
    int64_t end = 9;
    *places = 0;
    if (end < size && text[end] == '.') {
        for (end++; end < size && is_digit(text[end]); end++, ++*places) {
            if (*places == 6) return 0;
            fraction = fraction * 10 + text[end] - '0';
        }
        if (!*places) return 0;
        for (int i = *places; i < 6; i++) fraction *= 10;
    }
    *microseconds = ((hour * 60 + minute) * 60 + second) * INT64_C(1000000) + fraction;
    return end;
}

/* Z, +HH:MM or +HHMM, up to 15:59, in minutes. */
static bool offset_of(const char *text, int64_t size, int *minutes) {
    *minutes = 0;
    if (size == 1 && text[0] == 'Z') return true;
    if (size != 5 && !(size == 6 && text[3] == ':')) return false;
    int hour = number(text + 1, 2), minute = number(text + size - 2, 2);
    if ((text[0] != '+' && text[0] != '-') || hour < 0 || hour > 15 || minute < 0 || minute > 59) return false;
    *minutes = (text[0] == '-' ? -1 : 1) * (hour * 60 + minute);
    return true;
}

static int64_t write_timestamptz(const char *text, int64_t size, uint8_t *out) {
    int32_t day;
    if (size < 10 || !day_of(text, &day)) return NO_VALUE;
    int64_t microseconds = 0;
    int places, minutes = 0;
    if (size > 10) {
        int64_t end = clock_of(text + 10, size - 10, &microseconds, &places);
        if (!end || (10 + end < size && !offset_of(text + 10 + end, size - 10 - end, &minutes))) return NO_VALUE;
    }
    microseconds += (int64_t)day * DAY_SECONDS * 1000000 - minutes * INT64_C(60000000);
    /* An offset can lead out of the years that clients of Postgres can read. */
    if (microseconds < INT64_C(1000000) * DAY_SECONDS * FIRST_DAY) return NO_VALUE;
    if (microseconds >= INT64_C(1000000) * DAY_SECONDS * (LAST_DAY + 1)) return NO_VALUE;
    put64(out, (uint64_t)microseconds);
    return 8;
}

/* A local date-time of whole milliseconds: behind them there may be nothing but the zeros of another spelling. */
static int64_t write_timestamp_ms(const char *text, int64_t size, uint8_t *out) {
    int32_t day;
    int64_t microseconds;
    int places;
    if (size < 19 || !day_of(text, &day)) return NO_VALUE;
    if (clock_of(text + 10, size - 10, &microseconds, &places) != size - 10 || microseconds % 1000) return NO_VALUE;
    put64(out, (uint64_t)(microseconds + (int64_t)day * DAY_SECONDS * 1000000));
    return 8;
}

/* ---- inet ---- */

static int64_t write_inet(const char *text, int64_t size, uint8_t *out) {
    uint8_t *address = out + 4;
    int octets = 0;
    int64_t at = 0;
    for (; octets < 4; octets++, at++) {
        int value = 0, digits = 0;
        for (; at < size && is_digit(text[at]) && digits < 4; at++, digits++) value = value * 10 + text[at] - '0';
        if (!digits || value > 255 || (digits > 1 && text[at - digits] == '0')) break;
        address[octets] = (uint8_t)value;
        if (octets < 3 && (at == size || text[at] != '.')) break;
        if (octets == 3 && at != size) break;
    }
    if (octets == 4) {
        memcpy(out, "\2\x20\0\4", 4); /* family, bits, no network, size */
        return 8;
    }
    char whole[INET6_ADDRSTRLEN];
    if (size >= (int64_t)sizeof whole || memchr(text, '\0', (size_t)size)) return NO_VALUE;
    memcpy(whole, text, (size_t)size);
    whole[size] = '\0';
    if (inet_pton(AF_INET6, whole, address) != 1) return NO_VALUE;
    memcpy(out, "\3\x80\0\x10", 4);
    return 20;
}

/* ---- numbers ---- */

/* Whole numbers without padding, plus or leading zeros. */
static bool whole_of(const char *text, int64_t size, int64_t *value) {
    bool is_negative = size && text[0] == '-';
    text += is_negative, size -= is_negative;
    if (size < 1 || size > 19 || (size > 1 && text[0] == '0')) return false;
    uint64_t magnitude = 0;
    for (int64_t i = 0; i < size; i++) {
        if (!is_digit(text[i])) return false;
        magnitude = magnitude * 10 + (uint64_t)(text[i] - '0'); /* 19 digits fit */
    }
    if (magnitude > (uint64_t)INT64_MAX + is_negative) return false;
    *value = (int64_t)(is_negative ? -magnitude : magnitude);
    return true;
}

static int64_t write_integer(const char *text, int64_t size, uint8_t *out) {
    int64_t value;
    if (!whole_of(text, size, &value) || value != (int32_t)value) return NO_VALUE;
    put32(out, (uint32_t)value);
    return 4;
}

static int64_t write_bigint(const char *text, int64_t size, uint8_t *out) {
    int64_t value;
    if (!whole_of(text, size, &value)) return NO_VALUE;
    put64(out, (uint64_t)value);
    return 8;
}

#define NUMERIC_DIGITS 37 /* the most that a column has */

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?; its digits are [whole, point) and [point + 1, end). */
typedef struct {
    int64_t whole, point, end, exponent;
    bool is_negative;
} Decimal;

static bool decimal_of(const char *text, int64_t size, Decimal *found) {
    int64_t at = size && text[0] == '-';
    *found = (Decimal){.whole = at, .is_negative = at};
    while (at < size && is_digit(text[at])) at++;
    if (at == found->whole || (at > found->whole + 1 && text[found->whole] == '0')) return false;
    found->point = found->end = at;
    if (at < size && text[at] == '.') {
        for (at++; at < size && is_digit(text[at]);) at++;
        if (at == found->point + 1) return false;
        found->end = at;
    }
    if (at == size) return true;
    if ((text[at] | 0x20) != 'e') return false;
    at++;
    bool is_negative = at < size && text[at] == '-';
    at += at < size && (text[at] == '-' || text[at] == '+');
    if (size - at < 1 || size - at > 4 || (found->exponent = number(text + at, (int)(size - at))) < 0) return false;
    if (is_negative) found->exponent = -found->exponent;
    return true;
}

/* A digit of the number by its power of ten. */
static int digit_at(const char *text, const Decimal *decimal, int64_t power) {
    power -= decimal->exponent;
    int64_t place = power >= 0 ? decimal->point - 1 - power : decimal->point - power;
    bool is_there = power >= 0 ? place >= decimal->whole : place < decimal->end;
    return is_there ? text[place] - '0' : 0;
}

/* The highest power of ten that has a digit which is not 0; no number has one as low as the lowest. */
static int64_t highest_power(const char *text, const Decimal *decimal) {
    for (int64_t i = decimal->whole; i < decimal->end; i++) {
        if (i == decimal->point || text[i] == '0') continue;
        return (i < decimal->point ? decimal->point - 1 - i : decimal->point - i) + decimal->exponent;
    }
    return INT64_MIN;
}

/* Whether any digit below a power of ten is not 0. */
static bool has_more(const char *text, const Decimal *decimal, int64_t power) {
    for (int64_t i = decimal->end - 1; i >= decimal->whole; i--) {
        if (i == decimal->point || text[i] == '0') continue;
        return (i < decimal->point ? decimal->point - 1 - i : decimal->point - i) + decimal->exponent < power;
    }
    return false;
}

static int64_t write_numeric(const Column *column, const char *text, int64_t size, uint8_t *out) {
    Decimal decimal;
    if (!decimal_of(text, size, &decimal)) return NO_VALUE;
    int whole = column->precision - column->scale, scale = column->scale;
    if (highest_power(text, &decimal) >= whole) return NO_VALUE;
    if (!column->is_rounded && has_more(text, &decimal, -scale)) return NO_VALUE;
    /* Digits in groups of four, as on the wire: `before` groups before the point, then those behind it. One more
     * before, for what rounding may carry there. */
    int before = (NUMERIC_DIGITS + 3) / 4 + 1, behind = (scale + 3) / 4, count = before + behind;
    int16_t groups[2 * (NUMERIC_DIGITS + 3) / 4 + 2] = {0};
    for (int power = whole - 1; power >= -scale; power--) {
        int place = power >= 0 ? before - 1 - power / 4 : before + (-power - 1) / 4;
        groups[place] = (int16_t)(groups[place] * 10 + digit_at(text, &decimal, power));
    }
    int unit = 1; /* of the last digit of the scale in its group */
    for (int i = scale; i % 4; i++) unit *= 10, groups[count - 1] = (int16_t)(groups[count - 1] * 10);
    /* Half away from zero: one digit tells, for from 5 on it is at least a half, whatever follows. */
    if (column->is_rounded && digit_at(text, &decimal, -scale - 1) >= 5) {
        int place = count - 1;
        groups[place] = (int16_t)(groups[place] + unit);
        for (; groups[place] >= 10000; place--) groups[place] = (int16_t)(groups[place] - 10000), groups[place - 1]++;
        int64_t limit = 1, top = 0;
        for (int i = 0; i < whole % 4; i++) limit *= 10;
        for (int i = 0; i < before - whole / 4; i++) top += groups[i];
        if (top >= limit) return NO_VALUE; /* rounded up to a digit too many */
    }
    int first = 0, last = count;
    while (first < last && !groups[first]) first++;
    while (last > first && !groups[last - 1]) last--;
    put16(out, (uint16_t)(last - first));
    put16(out + 2, (uint16_t)(first < last ? before - 1 - first : 0));
    put16(out + 4, decimal.is_negative && first < last ? 0x4000 : 0);
    put16(out + 6, (uint16_t)scale);
    for (int i = first; i < last; i++) put16(out + 8 + 2 * (i - first), (uint16_t)groups[i]);
    return 8 + 2 * (last - first);
}

/* ---- text[] ---- */

/* An array on the wire: how many dimensions, whether it holds nulls, the type of its elements, then the length and the
 * first index of its one dimension, then each element behind its size. An empty one has no dimension. */
static int64_t array_head(uint8_t *out, int64_t count, bool has_null) {
    put32(out, count > 0), put32(out + 4, has_null), put32(out + 8, TEXT_OID);
    if (!count) return 12;
    put32(out + 12, (uint32_t)count), put32(out + 16, 1);
    return 20;
}

static uint8_t *put_character(uint8_t *out, uint32_t code) {
    if (code < 0x80) return *out = (uint8_t)code, out + 1;
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    *out++ = (uint8_t)((0xf00 >> (more + 1) & 0xff) | code >> 6 * more);
    while (more--) *out++ = (uint8_t)(0x80 | (code >> 6 * more & 0x3f));
    return out;
}

/* An escape behind its backslash, as Python's repr writes them; where it ends, NULL where it is another one. */
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
        if (digit < 0 || code > 0xfffffff) return NULL;
        code = code << 4 | (uint32_t)digit;
    }
    if (!code || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff) return NULL;
    *out = put_character(*out, code);
    return at;
}

/* What a word cannot hold as it is, but for the other quote. */
static const uint8_t ends_word[256] = {['\''] = 1, ['"'] = 1, ['\\'] = 1, ['\n'] = 1, ['\r'] = 1, ['\0'] = 1};

/* A Python-style list of words, as Python's repr writes them; UNCLEAR where it is written otherwise. */
static int64_t write_texts(const char *text, int64_t size, uint8_t *out) {
    const char *at = text + 1, *end = text + size;
    uint8_t *next = out + 20;
    int64_t count = 0;
    if (size < 2 || text[0] != '[') return UNCLEAR;
    if (*at == ']') return at + 1 == end ? array_head(out, 0, false) : UNCLEAR;
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
    array_head(out, count, false);
    return next - out;
}

int64_t list_write(const TextColumn *texts, int64_t first, int64_t last, uint8_t *out) {
    bool has_null = false;
    uint8_t *next = out + array_head(out, last - first, false);
    for (int64_t i = first; i < last; i++) {
        if (texts->validity && !(texts->validity[i >> 3] >> (i & 7) & 1)) {
            has_null = true;
            put32(next, UINT32_MAX), next += 4;
            continue;
        }
        int64_t size = texts->offsets[i + 1] - texts->offsets[i];
        if (write_text(texts->data + texts->offsets[i], size, next + 4) < 0) return NO_VALUE;
        put32(next, (uint32_t)size), next += 4 + size;
    }
    array_head(out, last - first, has_null);
    return next - out;
}

/* ---- by type ---- */

bool column_type(Column *column) {
    static const char *const names[KIND_UNKNOWN] = {
        "text", "uuid", "date", "timestamptz", "timestamp", "inet", "integer", "bigint", "boolean", "numeric", "jsonb",
        "text[]",
    };
    size_t size = strcspn(column->type, "(");
    for (column->kind = 0; column->kind < KIND_UNKNOWN; column->kind++)
        if (!strncmp(column->type, names[column->kind], size) && !names[column->kind][size]) break;
    char *rest;
    const char *given = column->type + size + (column->type[size] == '(');
    column->precision = (int32_t)strtol(given, &rest, 10);
    column->scale = (int32_t)strtol(rest + (*rest == ','), &rest, 10);
    if (column->kind == KIND_TIMESTAMP) return column->precision == 3;
    if (column->kind != KIND_NUMERIC) return column->kind != KIND_UNKNOWN && !column->type[size];
    return column->precision > 0 && column->precision <= NUMERIC_DIGITS && column->scale >= 0 && column->scale <= column->precision;
}

int64_t value_write(const Column *column, const char *text, int64_t size, uint8_t *out) {
    switch (column->kind) {
    case KIND_TEXT: return write_text(text, size, out);
    case KIND_UUID: return write_uuid(text, size, out);
    case KIND_DATE: return write_date(text, size, out);
    case KIND_TIMESTAMPTZ: return write_timestamptz(text, size, out);
    case KIND_TIMESTAMP: return write_timestamp_ms(text, size, out);
    case KIND_INET: return write_inet(text, size, out);
    case KIND_INTEGER: return write_integer(text, size, out);
    case KIND_BIGINT: return write_bigint(text, size, out);
    case KIND_BOOLEAN: return write_boolean(text, size, out);
    case KIND_NUMERIC: return write_numeric(column, text, size, out);
    case KIND_JSONB: return write_jsonb(text, size, out);
    case KIND_TEXTS: return write_texts(text, size, out);
    default: return NO_VALUE;
    }
}
