/* Dates and times in their binary form. */
#include "values.h"

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

int64_t write_date(const char *text, int64_t size, uint8_t *out) {
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

int64_t write_timestamptz(const char *text, int64_t size, uint8_t *out) {
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
int64_t write_timestamp_ms(const char *text, int64_t size, uint8_t *out) {
    int32_t day;
    int64_t microseconds;
    int places;
    if (size < 19 || !day_of(text, &day)) return NO_VALUE;
    if (clock_of(text + 10, size - 10, &microseconds, &places) != size - 10 || microseconds % 1000) return NO_VALUE;
    put64(out, (uint64_t)(microseconds + (int64_t)day * DAY_SECONDS * 1000000));
    return 8;
}
