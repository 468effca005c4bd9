/* Numbers in their binary form. */
#include "values.h"

#define LARGEST_EXPONENT 1073741823 /* of Postgres */
#define MOST_BEHIND_POINT 16383    /* digits, in Postgres */

/* [+-]?[0-9]+ between blanks. */
static bool whole_of(const char *text, int64_t size, int64_t *value) {
    trim(&text, &size);
    bool is_negative = size && text[0] == '-';
    if (size && (text[0] == '-' || text[0] == '+')) text++, size--;
    if (!size) return false;
    while (size > 1 && text[0] == '0') text++, size--;
    if (size > 19) return false;
    uint64_t magnitude = 0;
    for (int64_t i = 0; i < size; i++) {
        if (!is_digit(text[i])) return false;
        magnitude = magnitude * 10 + (uint64_t)(text[i] - '0'); /* 19 digits fit */
    }
    if (magnitude > (uint64_t)INT64_MAX + is_negative) return false;
    *value = (int64_t)(is_negative ? -magnitude : magnitude);
    return true;
}

int64_t write_integer(const char *text, int64_t size, uint8_t *out) {
    int64_t value;
    if (!whole_of(text, size, &value) || value != (int32_t)value) return NO_VALUE;
    put32(out, (uint32_t)value);
    return 4;
}

int64_t write_bigint(const char *text, int64_t size, uint8_t *out) {
    int64_t value;
    if (!whole_of(text, size, &value)) return NO_VALUE;
    put64(out, (uint64_t)value);
    return 8;
}

/* [+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?; its digits are [whole, point) and [point + 1, end). */
typedef struct {
    int64_t whole, point, end, exponent;
    bool is_negative;
} Decimal;

/* The exponent behind its e. */
static bool exponent_of(const char *text, int64_t size, int64_t *exponent) {
    bool is_negative = size && text[0] == '-';
    if (size && (text[0] == '-' || text[0] == '+')) text++, size--;
    if (!size) return false;
    for (*exponent = 0; size; text++, size--) {
        if (!is_digit(*text) || (*exponent = *exponent * 10 + *text - '0') > LARGEST_EXPONENT) return false;
    }
    if (is_negative) *exponent = -*exponent;
    return true;
}

static bool decimal_of(const char *text, int64_t size, Decimal *found) {
    int64_t at = size && (text[0] == '-' || text[0] == '+');
    *found = (Decimal){.whole = at, .is_negative = size && text[0] == '-'};
    while (at < size && is_digit(text[at])) at++;
    bool has_digits = at > found->whole;
    found->point = found->end = at;
    if (at < size && text[at] == '.') {
        for (at++; at < size && is_digit(text[at]);) at++;
        has_digits |= at > found->point + 1;
        found->end = at;
    }
    if (!has_digits) return false;
    if (at == size) return true;
    return (text[at] | 0x20) == 'e' && exponent_of(text + at + 1, size - at - 1, &found->exponent);
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

int64_t write_numeric(const Column *column, const char *text, int64_t size, uint8_t *out) {
    Decimal decimal;
    trim(&text, &size);
    if (!decimal_of(text, size, &decimal)) return NO_VALUE;
    int whole = column->precision - column->scale, scale = column->scale;
    int64_t behind_point = decimal.end > decimal.point ? decimal.end - decimal.point - 1 : 0;
    if (behind_point - decimal.exponent > MOST_BEHIND_POINT) return NO_VALUE;
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
