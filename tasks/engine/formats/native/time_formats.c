/* Dates and times in a declared format of `strptime` with numeric directives only. */
#include "values.h"

enum Part { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MICROSECOND, PARTS };

static const int largest[PARTS] = {9999, 12, 31, 23, 59, 59, 999999};

/* Return the part of a directive, and the maximum number of its digits. */
static enum Part part_of(char directive, int *most) {
    *most = directive == 'Y' ? 4 : directive == 'f' ? 6 : 2;
    switch (directive) {
    case 'm': return MONTH;
    case 'd': return DAY;
    case 'H': return HOUR;
    case 'M': return MINUTE;
    case 'S': return SECOND;
    case 'f': return MICROSECOND;
    default: return YEAR;
    }
}

/* Parse the digits of a directive. Returns their number, or 0 if a digit is missing or the value is too large. */
static int digits_of(const Column *column, char directive, const char *text, int64_t size, int parts[]) {
    int most, count = 0;
    enum Part part = part_of(directive, &most);
    while (count < most && count < size && is_digit(text[count])) count++;
    if (!count || (count < most && (column->is_packed || part == YEAR))) return 0;
    int value = number(text, count);
    if (directive == 'y') value += value < 69 ? 2000 : 1900;
    for (int i = count; part == MICROSECOND && i < most; i++) value *= 10;
    parts[part] = value;
    return value < (part <= DAY) || value > largest[part] ? 0 : count;
}

static char *put_digits(char *out, int value, int count, char after) {
    out[count] = after;
    for (int i = count; i--; value /= 10) out[i] = (char)('0' + value % 10);
    return out + count + 1;
}

int64_t iso_text(const Column *column, const char *text, int64_t size, char *out) {
    int parts[PARTS] = {0};
    trim(&text, &size);
    for (const char *at = column->format; *at; at++) {
        int count = 1;
        if (*at == '%' && *++at != '%') count = digits_of(column, *at, text, size, parts);
        else if (!size || *text != *at) return UNCLEAR;
        if (!count) return UNCLEAR;
        text += count, size -= count;
    }
    if (size) return UNCLEAR;
    char *end = out;
    if (column->kind != KIND_TIME) {
        end = put_digits(end, parts[YEAR], 4, '-');
        end = put_digits(end, parts[MONTH], 2, '-');
        end = put_digits(end, parts[DAY], 2, ' ');
    }
    if (column->kind != KIND_DATE) {
        end = put_digits(end, parts[HOUR], 2, ':');
        end = put_digits(end, parts[MINUTE], 2, ':');
        end = put_digits(end, parts[SECOND], 2, '.');
        end = put_digits(end, parts[MICROSECOND], 6, ' ');
    }
    return end - out - 1;
}
