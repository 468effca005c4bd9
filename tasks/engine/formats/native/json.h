/* JSON: splits bytes into records, and finds the strings of the wanted values.
 *
 * The grammar is RFC 8259. Every value is validated, including unwanted values. A value keeps its spelling: only strings
 * are unescaped, and only white space outside strings is removed from arrays and objects.
 */
#ifndef TALLY_JSON_H
#define TALLY_JSON_H

#include "native.h"

/* Maximum number of arrays and objects inside each other. */
#define JSON_DEPTH 1000

enum JsonError {
    JSON_VALID, JSON_UTF8, JSON_NOT_OBJECT, JSON_DEEP, JSON_MANY_KEYS,
    JSON_TWICE,      /* a source occurs under two names: `first` and `second` */
    JSON_WRONG_TYPE, /* the name `first` leads through a value of another type: `second` is its place, `kind` its type */
    JSON_TRUNCATED, JSON_CHARACTER, JSON_NUMBER, JSON_ESCAPE, JSON_UNICODE_ESCAPE, JSON_SURROGATE, JSON_KEY, JSON_COLON,
    JSON_OBJECT_NEXT, JSON_ARRAY_NEXT, JSON_OBJECT_COMMA, JSON_ARRAY_COMMA, JSON_TRAILING,
};

/* A place in a record that a path names or leads through. The record itself is the first. The places below a place
 * follow it. */
typedef struct {
    const char *key;  /* NULL for an element of an array */
    int64_t size;     /* of the key */
    int32_t index;    /* of the element */
    int32_t parent;   /* the place that contains this one */
    int32_t last;     /* the last place below this one, or this one if there is none */
    int32_t elements; /* number of elements of an array that must be looked at */
    bool has_keys;    /* paths lead through keys of an object at this place */
    char decimal;     /* replaces the decimal point of a number */
} JsonPlace;

/* A name of a source: the source itself or an alias, as a key or as a path. The names are ordered by source. */
typedef struct {
    int32_t source, place;
} JsonName;

typedef struct JsonPlan JsonPlan;

/* Describe the wanted values of records. `most_keys` limits the keys of an object, `most_unknown` the undeclared keys
 * that are remembered. `keeps_unknown`: a last string column gets the undeclared keys. Returns NULL if memory is
 * exhausted. The plan keeps the places' keys, but does not copy them. */
EXPORT JsonPlan *json_plan_new(const JsonPlace *places, int32_t place_count, const JsonName *names, int32_t name_count,
                               int32_t source_count, int64_t most_keys, int32_t most_unknown, bool keeps_unknown);
EXPORT void json_plan_free(JsonPlan *plan);

/* A key that no source names. */
typedef struct {
    char *key;
    int64_t size;
    uint64_t hash;
    int32_t place; /* that contains it */
} JsonUnknown;

/* What the records so far contained. */
typedef struct {
    bool *is_seen; /* for each name */
    JsonUnknown *unknown;
    int64_t unknown_count;
    bool has_object;
} JsonKeys;

/* A record: its first physical line, and its bytes. */
typedef struct {
    int64_t line;
    uint32_t begin, end;
    int32_t error; /* enum JsonError */
    int32_t first, second;
    int32_t kind;  /* a byte */
} JsonRecord;

enum JsonMode {
    JSON_LINES,    /* one record a line */
    JSON_ELEMENTS, /* elements of an array. Reading stops before anything else, and before a damaged element. */
    JSON_GIVEN,    /* `given` has the begin and the end of each record */
};

typedef struct {
    const char *data;
    int64_t size;          /* at most SPAN_SIZE */
    int64_t first_line;    /* physical line number of the first byte */
    const uint32_t *given;
    int64_t given_count;
    int64_t longest;       /* maximum length of a record in bytes */
    int64_t most_records;  /* stop after this number of records */
    int64_t most_bytes;    /* stop after this number of bytes */
    int32_t mode;          /* enum JsonMode */
    bool is_last;          /* JSON_LINES: the object ends with these bytes */
    bool expects_value;    /* JSON_ELEMENTS: an element comes next, not a comma */
} JsonInput;

typedef struct {
    int64_t row_count, rejected_count;
    int64_t consumed;
    int64_t lines;       /* physical lines in the consumed bytes */
    bool is_full;        /* a limit stopped the reading: call again with the remaining bytes */
    bool is_endless;     /* the next record is longer than the maximum */
    bool expects_value;
    JsonRecord *rows, *rejected;
    Span *spans;         /* row by row, one for each source */
    char *arena;         /* the bytes of the spans with SPAN_ARENA; the other spans refer to the input */
    const JsonKeys *keys;
} JsonRecords;

/* Read a group of records. Returns NULL if memory is exhausted or the size exceeds SPAN_SIZE. */
EXPORT JsonRecords *json_read(JsonPlan *plan, const JsonInput *input);
EXPORT void json_free(JsonRecords *records);

/* ---- json_scan.c ---- */

/* A position in JSON text, and what was seen on the way. */
typedef struct {
    const char *at, *end;
    int64_t spaces;   /* runs of white space so far */
    bool is_escaped;  /* the latest string contains an escape */
    int32_t error;    /* enum JsonError */
} Scan;

void scan_space(Scan *scan);
bool scan_fail(Scan *scan, int32_t error); /* sets the error; returns false */
bool scan_string(Scan *scan);              /* from its opening quote */
bool scan_value(Scan *scan);               /* any value */
bool scan_colon(Scan *scan);               /* the colon after a key, and the white space around it */

/* Move past the comma or the closing bracket after a value. `*is_last` says whether it is the bracket. */
bool scan_next(Scan *scan, char closer, bool *is_last);

/* Both write at most `end - at` bytes and return the end of the output. */
char *json_unescape(const char *at, const char *end, char *out); /* the inside of a valid string */
char *json_compact(const char *at, const char *end, char *out);  /* a valid value, without its white space */

/* ---- json_paths.c ---- */

/* A growing buffer. */
typedef struct {
    char *bytes;
    int64_t size, room;
} Buffer;

/* Return the end of a buffer, with room for more bytes. NULL if memory is exhausted. */
char *buffer_room(Buffer *buffer, int64_t size);

/* Marks a string in the arena. Its span counts from the beginning of the arena. */
#define SPAN_ARENA SPAN_DOUBLED

struct JsonPlan {
    JsonPlace *places;
    JsonName *names;
    int32_t place_count, name_count, source_count;
    int64_t most_keys;
    int32_t most_unknown;
    bool keeps_unknown;
    bool *is_named;  /* for each place: a source takes its value */
    bool *is_taken;  /* for each place: a source takes its value, or a value that contains it */
    int32_t *table;  /* hash table of the places, by parent and key */
    int32_t *next;   /* for each place: the place that was found after it */
    int32_t latest;  /* the place that was found last */
    int32_t *fresh;  /* hash table of the undeclared keys */
    uint64_t mask, fresh_mask;
    uint8_t *states; /* for each place: enum State */
    int32_t *blocks; /* for each blocked place: the place with the value of another type */
    char *kinds;     /* for each blocked place: the first byte of that value */
    Span *spans;     /* for each place with a value */
    Buffer arena;    /* unescaped and compact strings */
    Buffer rest;     /* the undeclared keys of the current record */
    Buffer key;      /* an unescaped key */
    JsonKeys keys;
};

enum JsonState { STATE_ABSENT, STATE_VALUE, STATE_ENDED, STATE_BLOCKED };

/* Return the place of a key or of an element (`key` is NULL) below a place; -1 if no path leads there. */
int32_t plan_find(JsonPlan *plan, int32_t parent, const char *key, int64_t size);

/* Remember an undeclared key. Returns false if memory is exhausted. */
bool plan_note_unknown(JsonPlan *plan, int32_t place, const char *key, int64_t size);
void plan_forget_unknown(JsonPlan *plan, int64_t count); /* except the first `count` keys */

/* ---- json_values.c ---- */

/* Read the record that begins at `*at`. Sets its error, and its spans if it is valid. The spans count from `base`.
 * `*at` becomes the end of the record, or the place of the error. `is_alone`: only white space may follow the record.
 * Returns false if memory is exhausted. */
bool json_record(JsonPlan *plan, const char *base, const char **at, const char *end, bool is_alone, Span *spans,
                 JsonRecord *record);

#endif
