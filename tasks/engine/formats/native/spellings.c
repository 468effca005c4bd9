/* Numbers in the spelling that a contract declares. */
#include "values.h"

int64_t plain_number(const Column *column, const char *text, int64_t size, char *out) {
    const char *separator = column->thousands;
    int64_t length = (int64_t)strlen(separator), at = 0, digits = 0, end = 0;
    bool has_groups = false;
    trim(&text, &size);
    if (size && (text[0] == '-' || text[0] == '+')) out[end++] = text[at++];
    for (; at < size; at++) {
        if (is_digit(text[at])) {
            out[end++] = text[at], digits++;
        } else if (length && size - at >= length && !memcmp(text + at, separator, (size_t)length)) {
            if (has_groups ? digits != 3 : digits < 1 || digits > 3) return NO_VALUE;
            has_groups = true, digits = 0, at += length - 1;
        } else {
            break;
        }
    }
    if (has_groups && digits != 3) return NO_VALUE;
    if (at < size && text[at] == (char)column->decimal) {
        out[end++] = '.', at++;
    } else if (at < size && text[at] == '.') {
        return NO_VALUE;
    }
    for (; at < size; at++) {
        if (text[at] == '.') return NO_VALUE;
        out[end++] = text[at];
    }
    return end;
}
