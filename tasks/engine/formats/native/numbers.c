/* Writers of numbers. */
#define _GNU_SOURCE /* strtod_l */
#include "values.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#define LARGEST_EXPONENT 1073741823 /* limit of Postgres */
#define MAX_FRACTION_DIGITS 16383   /* limit of Postgres */
#define MAX_WHOLE_DIGITS 131072     /* limit of Postgres */

bool whole_of(const char *text, int64_t size, int64_t *value) {
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

/* Return the lowest power of ten with a nonzero digit. The number is not zero. */
static int64_t lowest_power(const char *text, const Decimal *decimal) {
    int64_t i = decimal->end - 1;
    while (i == decimal->point || text[i] == '0') i--;
    return (i < decimal->point ? decimal->point - 1 - i : decimal->point - i) + decimal->exponent;
}

/* Add up the digits from a power of ten down to another, as a number in units of the last. At most 19 digits. */
static uint64_t digits_between(const char *text, const Decimal *decimal, int64_t high, int64_t low) {
    uint64_t value = 0;
    for (int64_t power = high; power >= low; power--) value = value * 10 + (uint64_t)digit_at(text, decimal, power);
    return value;
}

/* A decimal number whose decimals are zero. */
static bool whole_decimal_of(const char *text, int64_t size, int64_t *value) {
    Decimal decimal;
    trim(&text, &size);
    if (!decimal_of(text, size, &decimal) || has_more(text, &decimal, 0)) return false;
    if (highest_power(text, &decimal) > 18) return false;
    uint64_t magnitude = digits_between(text, &decimal, 18, 0);
    if (magnitude > (uint64_t)INT64_MAX + decimal.is_negative) return false;
    *value = (int64_t)(decimal.is_negative ? -magnitude : magnitude);
    return true;
}

bool epoch_of(const char *text, int64_t size, int power, int64_t *microseconds) {
    Decimal decimal;
    trim(&text, &size);
    if (!decimal_of(text, size, &decimal) || highest_power(text, &decimal) + power > 17) return false;
    *microseconds = (int64_t)digits_between(text, &decimal, 17 - power, -power);
    if (decimal.is_negative) *microseconds = -*microseconds - has_more(text, &decimal, -power);
    return true;
}

int64_t write_integer(const Column *column, const char *text, int64_t size, int bytes, uint8_t *out) {
    int64_t value;
    if (!(column->has_decimals ? whole_decimal_of : whole_of)(text, size, &value)) return NO_VALUE;
    if (bytes == 8) return put64(out, (uint64_t)value), 8;
    if (bytes == 4) return value == (int32_t)value ? put32(out, (uint32_t)value), 4 : NO_VALUE;
    return value == (int16_t)value ? put16(out, (uint16_t)value), 2 : NO_VALUE;
}

/* ---- floats ---- */

static bool is_word(const char *text, int64_t size, const char *word) {
    if (size != (int64_t)strlen(word)) return false;
    for (int64_t i = 0; i < size; i++)
        if ((text[i] | 0x20) != word[i]) return false;
    return true;
}

/* NaN, or an infinity with an optional sign. */
static bool special_of(const char *text, int64_t size, double *value) {
    if (is_word(text, size, "nan")) return *value = (double)NAN, true;
    bool has_sign = size && (text[0] == '-' || text[0] == '+');
    *value = has_sign && text[0] == '-' ? -HUGE_VAL : HUGE_VAL;
    return is_word(text + has_sign, size - has_sign, "inf") || is_word(text + has_sign, size - has_sign, "infinity");
}

/* The float that is nearest to a number. As in Postgres, a number beyond the largest float is invalid, and so is a
 * number other than zero that would become zero. */
int64_t write_float(const char *text, int64_t size, int bytes, uint8_t *out) {
    static locale_t plain; /* other locales have another decimal mark */
    Decimal decimal;
    double value;
    trim(&text, &size);
    if (!special_of(text, size, &value)) {
        if (!decimal_of(text, size, &decimal)) return NO_VALUE;
        if (!plain && !(plain = newlocale(LC_ALL_MASK, "C", (locale_t)0))) return NO_VALUE;
        char *ended = memcpy(out + 8, text, (size_t)size);
        ended[size] = '\0';
        bool is_zero = highest_power(text, &decimal) == INT64_MIN;
        value = bytes == 4 ? (double)strtof_l(ended, NULL, plain) : strtod_l(ended, NULL, plain);
        if (isinf(value) || (value == 0 && !is_zero)) return NO_VALUE;
    }
    if (bytes == 4) {
        float narrow = (float)value;
        uint32_t bits;
        memcpy(&bits, &narrow, sizeof bits);
        return put32(out, bits), 4;
    }
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return put64(out, bits), 8;
}

/* ---- numeric ---- */

/* A number without a limit of its digits, other than that of Postgres. */
static int64_t write_any_numeric(const char *text, const Decimal *decimal, uint8_t *out) {
    int64_t fraction = decimal->end > decimal->point ? decimal->end - decimal->point - 1 : 0;
    int64_t scale = fraction > decimal->exponent ? fraction - decimal->exponent : 0;
    int64_t high = highest_power(text, decimal), weight = 0, count = 0;
    if (scale > MAX_FRACTION_DIGITS || high > MAX_WHOLE_DIGITS - 1) return NO_VALUE;
    if (high != INT64_MIN) {
        int64_t low = lowest_power(text, decimal);
        weight = (high - (high < 0 ? 3 : 0)) / 4;
        count = weight - (low - (low < 0 ? 3 : 0)) / 4 + 1;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t power = 4 * (weight - i);
        put16(out + 8 + 2 * i, (uint16_t)digits_between(text, decimal, power + 3, power));
    }
    put16(out, (uint16_t)count), put16(out + 2, (uint16_t)weight);
    put16(out + 4, decimal->is_negative && count ? 0x4000 : 0), put16(out + 6, (uint16_t)scale);
    return 8 + 2 * count;
}

int64_t write_numeric(const Column *column, const char *text, int64_t size, uint8_t *out) {
    Decimal decimal;
    trim(&text, &size);
    if (!decimal_of(text, size, &decimal)) return NO_VALUE;
    if (!column->precision) return write_any_numeric(text, &decimal, out);
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
