/* Writers of dates and times. */
#include "values.h"

#define DAY_SECONDS 86400
#define FIRST_DAY (-730119) /* 0001-01-01; days are counted from 2000-01-01, as in Postgres */
#define LAST_DAY 2921939    /* 9999-12-31 */

/* Parse YYYY-MM-DD, years 0001 to 9999, as a number of days since 2000-01-01. */
static bool day_of(const char *text, int32_t *day) {
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = number(text, 4), month = number(text + 5, 2), of_month = number(text + 8, 2);
    if (text[4] != '-' || text[7] != '-' || year < 1 || month < 1 || month > 12 || of_month < 1) return false;
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (of_month > lengths[month - 1] + (month == 2 && is_leap)) return false;
    /* Count years from March, so that the leap day is the last day of a year. */
    int since = month < 3 ? year - 1 : year, months = month < 3 ? month + 9 : month - 3;
    *day = 365 * since + since / 4 - since / 100 + since / 400 + (153 * months + 2) / 5 + of_month - 1 - 730425;
    return true;
}

int64_t write_date(const char *text, int64_t size, uint8_t *out) {
    int32_t day;
    trim(&text, &size);
    if (size != 10 || !day_of(text, &day)) return NO_VALUE;
    put32(out, (uint32_t)day);
    return 4;
}

/* A time of day, and the size of its text in bytes. */
typedef struct {
    int64_t microseconds, size;
    bool is_cut; /* it has nonzero digits beyond the microsecond */
} Clock;

/* Parse the digits of a fraction. Returns their end, or NULL without any digit. Digits beyond the microsecond are
 * dropped. */
static const char *fraction_of(const char *at, const char *end, Clock *clock) {
    int64_t unit = 100000;
    if (at == end || !is_digit(*at)) return NULL;
    for (; at < end && is_digit(*at); at++, unit /= 10) {
        clock->microseconds += unit * (*at - '0');
        clock->is_cut |= !unit && *at != '0';
    }
    return at;
}

/* Parse a time HH:MM(:SS([.,]f+)?)?, up to 24:00:00. As in Postgres, a second may be 60. */
static bool time_of(const char *text, int64_t size, Clock *clock) {
    const char *at = text, *end = text + size;
    if (size < 5 || at[2] != ':') return false;
    int hour = number(at, 2), minute = number(at + 3, 2), second = 0;
    *clock = (Clock){0};
    at += 5;
    if (at < end && *at == ':') {
        if (end - at < 3 || (second = number(at + 1, 2)) < 0) return false;
        at += 3;
        if (at < end && (*at == '.' || *at == ',') && !(at = fraction_of(at + 1, end, clock))) return false;
    }
    if (hour < 0 || minute < 0 || minute > 59 || second > 60) return false;
    if (hour > 23 && (hour > 24 || minute || second || clock->microseconds || clock->is_cut)) return false;
    clock->microseconds += ((hour * 60 + minute) * 60 + second) * INT64_C(1000000);
    clock->size = at - text;
    return true;
}

/* Parse the time after a date and a T or blanks. */
static bool clock_of(const char *text, int64_t size, Clock *clock) {
    int64_t at = 1;
    if (size < 6 || ((text[0] | 0x20) != 't' && text[0] != ' ')) return false;
    while (text[0] == ' ' && at < size && text[at] == ' ') at++;
    if (!time_of(text + at, size - at, clock)) return false;
    clock->size += at;
    return true;
}

/* Parse an offset from UTC: Z, UTC, or a sign with HH, H, HHMM, HMM, HH:MM or HH:MM:SS, below 16 hours. */
static bool offset_of(const char *text, int64_t size, int *seconds) {
    while (size && *text == ' ') text++, size--;
    *seconds = 0;
    if (size == 1 && (text[0] | 0x20) == 'z') return true;
    if (size == 3 && (text[0] | 0x20) == 'u' && (text[1] | 0x20) == 't' && (text[2] | 0x20) == 'c') return true;
    if (size < 2 || (text[0] != '+' && text[0] != '-')) return false;
    int count = 1, hour, minute = 0, second = 0;
    while (count < size && count < 6 && is_digit(text[count])) count++;
    count--; /* exclude the sign */
    if (count < 1 || count > 4) return false;
    int of_hour = count < 3 ? count : count - 2;
    hour = number(text + 1, of_hour);
    if (count > 2) minute = number(text + 1 + of_hour, 2);
    int64_t rest = size - 1 - count;
    const char *after = text + 1 + count;
    if (rest) {
        if (count > 2 || (rest != 3 && rest != 6) || after[0] != ':' || (rest == 6 && after[3] != ':')) return false;
        minute = number(after + 1, 2);
        if (rest == 6) second = number(after + 4, 2);
    }
    if (hour > 15 || minute < 0 || minute > 59 || second < 0 || second > 59) return false;
    *seconds = (text[0] == '-' ? -1 : 1) * ((hour * 60 + minute) * 60 + second);
    return true;
}

/* Write a moment as microseconds since 2000-01-01. An offset or 24:00 can move it outside the years 1 to 9999, which
 * clients cannot read. */
static int64_t write_moment(int64_t microseconds, uint8_t *out) {
    if (microseconds < INT64_C(1000000) * DAY_SECONDS * FIRST_DAY) return NO_VALUE;
    if (microseconds >= INT64_C(1000000) * DAY_SECONDS * (LAST_DAY + 1)) return NO_VALUE;
    put64(out, (uint64_t)microseconds);
    return 8;
}

/* Write a count from 1970. */
static int64_t write_epoch(const Column *column, const char *text, int64_t size, uint8_t *out) {
    int64_t microseconds;
    if (!epoch_of(text, size, column->epoch, &microseconds)) return NO_VALUE;
    if (column->precision == 3 && microseconds % 1000) return NO_VALUE;
    return write_moment(microseconds - INT64_C(946684800000000), out);
}

int64_t write_time(const char *text, int64_t size, uint8_t *out) {
    Clock clock = {0};
    trim(&text, &size);
    if (!time_of(text, size, &clock) || clock.size != size) return NO_VALUE;
    put64(out, (uint64_t)clock.microseconds);
    return 8;
}

/* The months, days and microseconds that the derive callback found, with a blank between them. */
int64_t write_interval(const char *text, int64_t size, uint8_t *out) {
    int64_t parts[3];
    for (int i = 0; i < 3; i++) {
        const char *blank = memchr(text, ' ', (size_t)size);
        int64_t length = blank ? blank - text : size;
        if ((blank != NULL) != (i < 2) || !whole_of(text, length, &parts[i])) return NO_VALUE;
        text += length + (i < 2), size -= length + (i < 2);
    }
    if (parts[0] != (int32_t)parts[0] || parts[1] != (int32_t)parts[1]) return NO_VALUE;
    put64(out, (uint64_t)parts[2]), put32(out + 8, (uint32_t)parts[1]), put32(out + 12, (uint32_t)parts[0]);
    return 16;
}

int64_t write_timestamptz(const Column *column, const char *text, int64_t size, uint8_t *out) {
    int32_t day;
    Clock clock = {0};
    int seconds = 0;
    if (column->epoch) return write_epoch(column, text, size, out);
    trim(&text, &size);
    if (size < 10 || !day_of(text, &day)) return NO_VALUE;
    if (size > 10) {
        if (!clock_of(text + 10, size - 10, &clock)) return NO_VALUE;
        int64_t end = 10 + clock.size;
        if (end < size && !offset_of(text + end, size - end, &seconds)) return NO_VALUE;
    }
    return write_moment(((int64_t)day * DAY_SECONDS - seconds) * 1000000 + clock.microseconds, out);
}

/* A local date-time. In whole milliseconds, further digits of the fraction must be 0. */
int64_t write_timestamp(const Column *column, const char *text, int64_t size, uint8_t *out) {
    int32_t day;
    Clock clock = {0};
    if (column->epoch) return write_epoch(column, text, size, out);
    trim(&text, &size);
    if (size < 10 || !day_of(text, &day)) return NO_VALUE;
    if (size > 10 && (!clock_of(text + 10, size - 10, &clock) || 10 + clock.size != size)) return NO_VALUE;
    if (column->precision == 3 && (clock.microseconds % 1000 || clock.is_cut)) return NO_VALUE;
    return write_moment((int64_t)day * DAY_SECONDS * 1000000 + clock.microseconds, out);
}
