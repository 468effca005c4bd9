/* The native code: splits CSV bytes into strings, and encodes strings as rows of a binary COPY.
 *
 * This code does not depend on Python. `tasks/engine/formats/native/binding.py` calls it with ctypes, which lets other
 * threads run during a call. Each function that returns memory is followed by the function that frees it.
 */
#ifndef TALLY_NATIVE_H
#define TALLY_NATIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Marks the functions that the binding calls. The build hides every other symbol. */
#define EXPORT __attribute__((visibility("default")))

/* How an escape counts: inside quotes, before a quote or an escape; everywhere, before any character; or everywhere,
 * before any character, and `n` and other letters mean control characters, as in the text format of Postgres. */
enum EscapeStyle { ESCAPES_QUOTED, ESCAPES_ALL, ESCAPES_TEXT };

/* The position of a string in a buffer. The two highest bits of the size are flags. */
typedef struct {
    uint32_t begin;
    uint32_t size;
} Span;

#define SPAN_NULL 0x80000000u    /* an empty field without quotes: null */
#define SPAN_DOUBLED 0x40000000u /* the string was in quotes, and contains doubled quotes or escapes */
#define SPAN_ESCAPED 0xc0000000u /* the string was not in quotes, and contains escapes */
#define SPAN_SIZE 0x3fffffffu

/* The strings of one column: spans of CSV or JSON bytes, an Arrow array of large_string, or an Arrow large_list of it. */
typedef struct {
    const char *data;
    const Span *spans;       /* CSV and JSON: one for each row, `stride` apart */
    int64_t stride;
    const int64_t *offsets;  /* Arrow: the start of each string and the end of the last; NULL for CSV */
    const uint8_t *validity; /* bitmap of the strings that are not null; NULL if no string is null */
    int64_t offset;          /* index of the first row in the Arrow array */
    const int64_t *lists;    /* lists: index of each list's first string; NULL for other columns */
    const uint8_t *has_list; /* bitmap of the lists that are not null; NULL if no list is null */
    int64_t list_offset;     /* index of the first row in the array of lists */
    const char *arena;       /* JSON: the bytes of the spans with SPAN_DOUBLED; NULL for CSV */
    uint8_t quote, escape;   /* CSV: the dialect's characters, or NUL */
    uint8_t style;           /* CSV: enum EscapeStyle */
} StringColumn;

/* ---- utf8.c ---- */

bool is_utf8(const uint8_t *text, const uint8_t *end);

/* ---- csv.c ---- */

/* A valid or malformed record: its first physical line, and its bytes without the line end. */
typedef struct {
    int64_t line;
    uint32_t begin, end;
    int32_t error;  /* enum RecordError */
    int32_t fields; /* number of fields in the record */
} Record;

enum RecordError { VALID, ERROR_QUOTE, ERROR_WIDTH, ERROR_NUL, ERROR_UTF8, ERROR_RETURN };

/* A dialect of CSV. Its characters are ASCII; NUL: the dialect has no such character. */
typedef struct {
    uint8_t delimiter, quote, escape;
    uint8_t style;       /* enum EscapeStyle */
    bool has_trailing;   /* a delimiter follows the last field of each record */
    bool has_short;      /* a record may end before its last fields, which are then null */
    const char *comment; /* lines that begin with this text are skipped */
    int64_t comment_size;
} Dialect;

/* The input of csv_read, and the limits of its output. */
typedef struct {
    const char *data;      /* starts at the beginning of a record */
    int64_t size;          /* at most SPAN_SIZE */
    int64_t first_line;    /* physical line number of the first record */
    const int32_t *places; /* for each field of a record: the index of its column, or -1 for an unwanted field */
    int32_t width;         /* expected number of fields in a record */
    int32_t wanted;        /* number of wanted columns */
    int64_t longest;       /* maximum length of a record in bytes */
    int64_t most_records;  /* stop after this number of records */
    int64_t most_bytes;    /* stop after this number of bytes */
    bool is_last;          /* the object ends with these bytes */
    bool is_open;          /* an earlier call found a quote that is still open at the end of these bytes */
    Dialect dialect;
} CsvInput;

typedef struct {
    int64_t row_count, rejected_count;
    int64_t consumed;  /* bytes of complete records */
    int64_t lines;     /* physical lines in these records */
    bool is_full;      /* a limit stopped the reading: call again with the remaining bytes */
    bool is_endless;   /* the next record is longer than the maximum */
    bool is_open;      /* a quote is still open at the end of the bytes */
    Record *rows, *rejected;
    Span *spans;       /* row by row, one span for each wanted column */
} CsvRecords;

/* Read a group of records. Returns NULL if memory is exhausted or the size exceeds SPAN_SIZE. */
EXPORT CsvRecords *csv_read(const CsvInput *input);
EXPORT void csv_free(CsvRecords *records);

/* ---- derive_cache.c ---- */

/* The value that the derive callback returned for a text in a column. */
typedef struct {
    int32_t column;
    int32_t state; /* enum State */
    uint32_t hash;
    const char *text;
    int64_t text_size;
    const char *value;
    int64_t value_size;
} CacheEntry;

enum State { PENDING, DERIVED, REFUSED };

#define MAX_BLOCKS 40

typedef struct Slot Slot;

/* A cache of derived values, memoised per column and distinct text. */
typedef struct {
    uint64_t key[2]; /* random key of the hash function */
    uint64_t random; /* state of the generator that chooses the block to forget; never 0 */
    Slot *slots;
    uint32_t mask, count;
    char *blocks[MAX_BLOCKS];   /* records of texts and values */
    uint32_t used[MAX_BLOCKS];  /* bytes of each block that are in use */
    uint32_t block_count, open; /* number of blocks, and the block that gets the next record */
    CacheEntry latest;          /* the entry of the latest text */
    char *latest_value;         /* the value of a record that is too long for the cache */
} DeriveCache;

EXPORT uint64_t text_hash(const uint64_t key[2], const char *text, int64_t size);

/* Return the entry of a text. Its state is PENDING if the cache has no value. The entry is valid until the next call,
 * and only while the text is. */
CacheEntry *cache_find(DeriveCache *cache, int32_t column, const char *text, int64_t size);
/* Store the value of the entry that cache_find returned last. The size -1 marks the text as invalid. Returns false if
 * memory is exhausted. */
bool cache_store(DeriveCache *cache, const char *value, int64_t size);
void cache_clear(DeriveCache *cache);

/* ---- columns.c; words.c ---- */

enum Kind {
    KIND_TEXT, KIND_UUID, KIND_DATE, KIND_TIMESTAMPTZ, KIND_TIMESTAMP, KIND_INET, KIND_INTEGER, KIND_BIGINT,
    KIND_BOOLEAN, KIND_NUMERIC, KIND_JSONB, KIND_TEXT_ARRAY, KIND_VARCHAR, KIND_SMALLINT, KIND_REAL, KIND_DOUBLE,
    KIND_TIME, KIND_INTERVAL, KIND_BYTEA, KIND_INTEGER_ARRAY, KIND_BIGINT_ARRAY, KIND_UNKNOWN,
};

/* A column of the table, and the source of its values. */
typedef struct {
    const char *type;         /* the type's name in Postgres, such as numeric(14,2) */
    int32_t source;           /* index of its string column */
    int32_t first;            /* use only this number of leading characters; 0: use all */
    int32_t after;            /* use only the text after the last such byte; 0: use all */
    int32_t derive;           /* enum Derive */
    const char *derived_null; /* the derived value of null; NULL if that value is null */
    int64_t derived_null_size;
    bool is_nullable;
    bool is_rounded;          /* numeric: round digits beyond the scale instead of rejecting them */
    const char *nulls;        /* texts of the source that mean null, each with a NUL at its end */
    uint64_t null_sizes;      /* bit n: one of these texts has n bytes; bit 63: 63 or more bytes */
    int32_t null_count;
    int32_t epoch;            /* a timestamp counts from 1970: 6 for seconds, 3 for milliseconds, 0 for no count */
    const char *thousands;    /* separator of groups of three digits; empty: no groups */
    int32_t decimal;          /* the character before the decimals */
    bool has_decimals;        /* a whole number may have decimals that are zero */
    bool is_base64;           /* bytea: base64 instead of hexadecimal digits */
    const char *format;       /* dates and times: a format of numeric directives, or NULL */
    bool is_packed;           /* each directive of the format has all its digits */
    int32_t kind;             /* enum Kind, which column_type sets */
    int32_t precision, scale; /* of a numeric; of a varchar, the length. column_type sets both */
} Column;

enum Derive {
    DERIVE_NEVER,
    DERIVE_ALWAYS,  /* the derive callback computes every value */
    DERIVE_UNCLEAR, /* the derive callback computes the values of texts that the type's parser cannot decide */
};

enum { NO_VALUE = -1, UNCLEAR = -2 };

/* Upper bound of the encoded size of a text of this many bytes. */
#define VALUE_ROOM(size) (3 * (size) + 128)

EXPORT bool column_type(Column *column); /* sets kind, precision and scale; returns false for an unknown type */

/* Write the binary form of a value. Returns its size, NO_VALUE for an invalid text, or UNCLEAR if the derive callback
 * must decide. */
int64_t value_write(const Column *column, const char *text, int64_t size, uint8_t *out);
int64_t list_write(const Column *column, const StringColumn *texts, int64_t begin, int64_t end, uint8_t *out);

/* ---- time_formats.c ---- */

#define ISO_ROOM 32

/* Rewrite a text in the column's format as ISO 8601 with a blank before the time. `out` has room for ISO_ROOM bytes.
 * Returns its size, or UNCLEAR if `strptime` must decide. */
int64_t iso_text(const Column *column, const char *text, int64_t size, char *out);

static inline void put16(uint8_t *out, uint16_t value) {
    out[0] = (uint8_t)(value >> 8), out[1] = (uint8_t)value;
}
static inline void put32(uint8_t *out, uint32_t value) {
    put16(out, (uint16_t)(value >> 16)), put16(out + 2, (uint16_t)value);
}
static inline void put64(uint8_t *out, uint64_t value) {
    put32(out, (uint32_t)(value >> 32)), put32(out + 4, (uint32_t)value);
}

/* ---- rows.c ---- */

/* A row with an invalid or missing value. */
typedef struct {
    int64_t row;
    int32_t column;
    bool is_missing; /* a required value is missing */
} InvalidRow;

/* The encoded rows of one call. */
typedef struct {
    int64_t row_count, invalid_count;
    const uint8_t *out; /* valid until the next call */
    int64_t out_size;
    const InvalidRow *invalid;
} Encoded;

typedef struct Encoder Encoder;

/* Derives the value of a text and passes it to encoder_store_derived. Returns false after an error. */
typedef bool (*DeriveCallback)(int32_t column, const char *text, int64_t size);

/* head: the beginning of every row: the number of its fields, and the fields with the same value in all rows.
 * key: random key of the derive cache's hash function.
 * Returns NULL if memory is exhausted. The encoder copies the columns, but not the strings that they point to. */
EXPORT Encoder *encoder_new(const Column *columns, int32_t count, const uint8_t *head, int64_t head_size,
                            const uint64_t key[2], DeriveCallback derive);
EXPORT void encoder_free(Encoder *encoder);

/* The line number of each row of a call, `stride` bytes apart. */
typedef struct {
    const char *numbers; /* int64_t; NULL: the rows get no field with a line number */
    int64_t stride;
    int64_t before; /* is added to each number */
} Lines;

/* Encode rows. The line number follows the head of a row. Derived values are memoised per distinct text. Returns NULL if
 * memory is exhausted or the callback failed. */
EXPORT const Encoded *encoder_encode(Encoder *encoder, const StringColumn *texts, const Lines *lines, int64_t row_count);

/* Store the value that the callback derived. The size -1 marks the text as invalid. Returns false if memory is exhausted. */
EXPORT bool encoder_store_derived(Encoder *encoder, const char *value, int64_t size);

/* ---- string_columns.c ---- */

/* Return an upper bound of the total size of a column's strings. */
EXPORT int64_t strings_size(const StringColumn *texts, int64_t row_count);
/* Return the size of the longest string of an Arrow array. Its offsets have 8 bytes if the array is large, otherwise 4. */
EXPORT int64_t strings_longest(const void *offsets, int64_t count, bool is_large);
/* Return whether the offsets of an Arrow array of large strings ascend within its data, and all its strings are UTF-8. */
EXPORT bool strings_are_utf8(const int64_t *offsets, int64_t count, const uint8_t *data, int64_t size);
/* Return the size of the longest text of a plain page of parquet, in which each text follows its size. Returns -1 if the
 * page ends inside a text. */
EXPORT int64_t page_longest(const uint8_t *page, int64_t size);
/* Copy a column: row_count + 1 offsets, the bytes, and the validity bitmap, which the caller initialises with zeros. */
EXPORT void strings_copy(const StringColumn *texts, int64_t row_count, int64_t *offsets, char *data, uint8_t *validity);

/* Write a string without its doubled quotes and escapes into `out`, which must have room for it. Returns its size. */
int64_t unescape(const StringColumn *texts, Span span, char *out);

/* Get a string of a column. Returns false for null. A string with doubled quotes or escapes is unescaped into `spare`,
 * which must have room for the string. */
static inline bool string_at(const StringColumn *texts, int64_t row, const char **text, int64_t *size, char *spare) {
    if (!texts->offsets) {
        Span span = texts->spans[row * texts->stride];
        if ((span.size & ~SPAN_SIZE) == SPAN_NULL) return false;
        *text = texts->data + span.begin;
        *size = span.size & SPAN_SIZE;
        if (!(span.size & ~SPAN_SIZE)) return true;
        if (texts->arena) *text = texts->arena + span.begin;
        else *size = unescape(texts, span, spare), *text = spare;
        return true;
    }
    row += texts->offset;
    if (texts->validity && !(texts->validity[row >> 3] >> (row & 7) & 1)) return false;
    *text = texts->data + texts->offsets[row];
    *size = texts->offsets[row + 1] - texts->offsets[row];
    return true;
}

/* ---- copy_out.c ---- */

/* A connection of libpq in a COPY TO STDOUT. The functions come from the libpq that opened the connection. */
typedef struct {
    void *connection;
    int (*get)(void *connection, char **row, int is_async); /* PQgetCopyData */
    int (*consume)(void *connection);                        /* PQconsumeInput */
    int (*socket)(const void *connection);                   /* PQsocket */
    void (*free)(void *row);                                 /* PQfreemem */
    char *row;           /* a row that the previous block had no room for; NULL: there is none */
    int64_t size, taken; /* its size, and the number of its bytes in earlier blocks */
} CopyOut;

enum CopyState { COPY_GOING, COPY_DONE, COPY_FAILED };

/* Copy rows into a block until it is full, the COPY ends, or the server sends nothing for a tenth of a second. Returns
 * the number of bytes. COPY_DONE: the connection holds the result of the COPY. COPY_FAILED: the connection holds the
 * message of an error. */
EXPORT int64_t copy_out_read(CopyOut *copy, char *out, int64_t room, int32_t *state);
EXPORT void copy_out_free(CopyOut *copy); /* frees the row */

/* ---- version.c ---- */

/* Return the digest of the sources from which the library was built. */
EXPORT const char *native_version(void);

/* Return the size of a struct by its index in the binding's STRUCTS; 0 for an index after the last struct. */
EXPORT int64_t native_size(int32_t place);

#endif
