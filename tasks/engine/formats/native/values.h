/* Writers of values, and their common functions. Each writer accepts the same spellings as the input function of
 * Postgres, except for the differences that docs/input.md lists. It returns the size of the binary form, NO_VALUE for
 * an invalid text, or UNCLEAR if the derive callback must decide.
 */
#ifndef TALLY_VALUES_H
#define TALLY_VALUES_H

#include "native.h"

#define NUMERIC_DIGITS 37 /* maximum precision of a column */

/* ---- values.c ---- */

int64_t write_text(const char *text, int64_t size, uint8_t *out);
int64_t write_varchar(const Column *column, const char *text, int64_t size, uint8_t *out);
int64_t write_bytea(const Column *column, const char *text, int64_t size, uint8_t *out);
int64_t write_uuid(const char *text, int64_t size, uint8_t *out);
int64_t write_boolean(const char *text, int64_t size, uint8_t *out);
int64_t write_jsonb(const char *text, int64_t size, uint8_t *out);
int64_t write_inet(const char *text, int64_t size, uint8_t *out);

/* ---- times.c ---- */

int64_t write_date(const char *text, int64_t size, uint8_t *out);
int64_t write_time(const char *text, int64_t size, uint8_t *out);
int64_t write_timestamptz(const Column *column, const char *text, int64_t size, uint8_t *out);
int64_t write_timestamp(const Column *column, const char *text, int64_t size, uint8_t *out);
int64_t write_interval(const char *text, int64_t size, uint8_t *out);

/* ---- numbers.c ---- */

/* Parse [+-]?[0-9]+ with blanks around it. */
bool whole_of(const char *text, int64_t size, int64_t *value);
/* Parse a count from 1970 as microseconds, and drop fractions of a microsecond. power: see Column.epoch. */
bool epoch_of(const char *text, int64_t size, int power, int64_t *microseconds);

/* bytes: the size of the type. */
int64_t write_integer(const Column *column, const char *text, int64_t size, int bytes, uint8_t *out);
int64_t write_float(const char *text, int64_t size, int bytes, uint8_t *out);
int64_t write_numeric(const Column *column, const char *text, int64_t size, uint8_t *out);

/* ---- spellings.c ---- */

/* Rewrite a number in the spelling of Postgres. Returns its size, or NO_VALUE if its groups are malformed. */
int64_t plain_number(const Column *column, const char *text, int64_t size, char *out);

/* ---- arrays.c ---- */

/* Write the head of an array and return its size: 12 for an empty array, otherwise 20. */
int64_t array_head(const Column *column, uint8_t *out, int64_t count, bool has_null);
/* A list {1,2} or [1, 2] of integers, or a list {a,"b c",NULL} of texts, as Postgres writes it. */
int64_t write_array(const Column *column, const char *text, int64_t size, uint8_t *out);

/* ---- words.c ---- */

int64_t write_text_array(const Column *column, const char *text, int64_t size, uint8_t *out);

/* ---- blanks ---- */

static inline bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Remove blanks at both ends of a text. */
static inline void trim(const char **text, int64_t *size) {
    while (*size && is_blank(**text)) ++*text, --*size;
    while (*size && is_blank((*text)[*size - 1])) --*size;
}

/* ---- digits ---- */

static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Values of hexadecimal digits plus one; 0 marks any other character. */
static const uint8_t digits[256] = {
    ['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
    ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static inline int digit_of(char c) { return digits[(uint8_t)c] - 1; }

/* Parse `count` decimal digits. Returns -1 if a character is not a digit. */
static inline int number(const char *text, int count) {
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(text[i])) return -1;
        value = value * 10 + text[i] - '0';
    }
    return value;
}

#endif
