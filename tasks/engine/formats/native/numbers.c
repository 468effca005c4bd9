/* Writers of numbers. */
#include "values.h"

#define LARGEST_EXPONENT 1073741823 /* limit of Postgres */
#define MAX_FRACTION_DIGITS 16383   /* limit of Postgres */

/* [+-]?[0-9]+ with blanks around it. */
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

/* Parse the exponent after its `e`. */
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

/* Return the digit of the number at a power of ten. */
static int digit_at(const char *text, const Decimal *decimal, int64_t power) {
    power -= decimal->exponent;
    int64_t place = power >= 0 ? decimal->point - 1 - power : decimal->point - power;
    bool is_there = power >= 0 ? place >= decimal->whole : place < decimal->end;
    return is_there ? text[place] - '0' : 0;
}

/* Return the highest power of ten with a nonzero digit, or INT64_MIN for zero. */
static int64_t highest_power(const char *text, const Decimal *decimal) {
    for (int64_t i = decimal->whole; i < decimal->end; i++) {
        if (i == decimal->point || text[i] == '0') continue;
        return (i < decimal->point ? decimal->point - 1 - i : decimal->point - i) + decimal->exponent;
    }
    return INT64_MIN;
}

/* Return whether a digit below a power of ten is nonzero. */
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
    int64_t fraction = decimal.end > decimal.point ? decimal.end - decimal.point - 1 : 0;
    if (fraction - decimal.exponent > MAX_FRACTION_DIGITS) return NO_VALUE;
    if (highest_power(text, &decimal) >= whole) return NO_VALUE;
    if (!column->is_rounded && has_more(text, &decimal, -scale)) return NO_VALUE;
    /* The binary form has groups of four digits: `before` groups before the point, `after` groups after it. One group
     * before the point is reserved for a carry of rounding. */
    int before = (NUMERIC_DIGITS + 3) / 4 + 1, after = (scale + 3) / 4, count = before + after;
    int16_t groups[2 * (NUMERIC_DIGITS + 3) / 4 + 2] = {0};
    for (int power = whole - 1; power >= -scale; power--) {
        int place = power >= 0 ? before - 1 - power / 4 : before + (-power - 1) / 4;
        groups[place] = (int16_t)(groups[place] * 10 + digit_at(text, &decimal, power));
    }
    int unit = 1; /* weight of the scale's last digit in its group */
    for (int i = scale; i % 4; i++) unit *= 10, groups[count - 1] = (int16_t)(groups[count - 1] * 10);
    /* Round half away from zero. The first dropped digit decides: from 5 on, the dropped part is at least one half. */
    if (column->is_rounded && digit_at(text, &decimal, -scale - 1) >= 5) {
        int place = count - 1;
        groups[place] = (int16_t)(groups[place] + unit);
        for (; groups[place] >= 10000; place--) groups[place] = (int16_t)(groups[place] - 10000), groups[place - 1]++;
        int64_t limit = 1, top = 0;
        for (int i = 0; i < whole % 4; i++) limit *= 10;
        for (int i = 0; i < before - whole / 4; i++) top += groups[i];
        if (top >= limit) return NO_VALUE; /* rounding added a digit, which exceeds the precision */
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
