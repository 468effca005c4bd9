/* The compiled part of the engine: CSV bytes to texts, and texts to rows of a binary COPY.
 *
 * Nothing here knows Python: `tasks/engine/formats/native/binding.py` has these functions by ctypes, which lets other threads
 * run meanwhile. All memory that a function returns is freed by the function named beside it.
 */
#ifndef TALLY_NATIVE_H
#define TALLY_NATIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* What the binding calls; the build hides every other symbol. */
#define EXPORT __attribute__((visibility("default")))

/* Where a text stands in some bytes. */
typedef struct {
    uint32_t begin;
    uint32_t size; /* or one of these, in its highest bits */
} Span;

#define SPAN_NULL 0x80000000u    /* a bare empty field: no text at all */
#define SPAN_DOUBLED 0x40000000u /* quotes in it are doubled */
#define SPAN_SIZE 0x3fffffffu

/* The texts of one column: of CSV, spans of its bytes; else an Arrow array of large_string, or a large_list of it. */
typedef struct {
    const char *data;
    const Span *spans;       /* of CSV: one for each row, `stride` apart */
    int64_t stride;
    const int64_t *offsets;  /* of Arrow: where each text begins, and the last one ends; of CSV NULL */
    const uint8_t *validity; /* bitmap of the texts that are there; NULL where all are */
    int64_t offset;          /* place of the first row in an Arrow array */
    const int64_t *lists;    /* of lists: where each one's texts begin; else NULL */
    const uint8_t *has_list; /* bitmap of the lists that are there; NULL where all are */
    int64_t list_offset;
} StringColumn;

/* ---- csv.c ---- */

/* A record, or one that was rejected: its first physical line, its bytes without the line end. */
typedef struct {
    int64_t line;
    uint32_t begin, end;
    int32_t error;  /* one of enum RecordError */
    int32_t fields; /* how many were found, where their number is the fault */
} Record;

enum RecordError { VALID, ERROR_QUOTE, ERROR_WIDTH, ERROR_NUL, ERROR_UTF8, ERROR_RETURN };

/* What csv_read reads, and how much of it one call may return. */
typedef struct {
    const char *data;      /* begins with a record */
    int64_t size;          /* at most SPAN_SIZE: places in it have 32 bits */
    int64_t first_line;
    const int32_t *places; /* for each field of a record: which of the wanted columns it is, or -1 */
    int32_t width;         /* fields of a record */
    int32_t wanted;        /* columns */
    int64_t longest;       /* bytes that a record may have */
    int64_t most_records;  /* no further record is read after so many, */
    int64_t most_bytes;    /* or after so many bytes */
    bool is_last;          /* the object ends with these bytes */
    bool is_open;          /* an earlier call saw a quote stay open to the end of these bytes */
} CsvInput;

typedef struct {
    int64_t row_count, rejected_count;
    int64_t consumed;  /* bytes of complete records */
    int64_t lines;     /* physical lines in them */
    bool is_full;      /* the call returned as much as it may: call again with the bytes that follow */
    bool is_endless;   /* the record that follows is longer than any may be */
    bool is_open;      /* a quote stays open to the end */
    Record *rows, *rejected;
    Span *spans;       /* row by row, one for each column that is wanted */
} CsvRecords;

/* Read some records. Returns NULL without memory, or where there are more bytes than SPAN_SIZE. */
EXPORT CsvRecords *csv_read(const CsvInput *input);
EXPORT void csv_free(CsvRecords *records);

/* ---- derive_cache.c ---- */

/* What a function of the caller's made of a text: kept, so that it is asked once. */
typedef struct {
    int32_t column;
    int32_t state; /* enum State */
    uint64_t hash;
    const char *text;
    int64_t text_size;
    const char *value;
    int64_t value_size;
} CacheEntry;

enum State { FREE, PENDING, DERIVED, REFUSED };

typedef struct {
    uint64_t key[2]; /* of the hash: random */
    CacheEntry *slots;
    uint64_t mask;
    int64_t count;
    struct Block *blocks; /* memory of the texts */
    int64_t bytes;        /* of the blocks */
    CacheEntry uncached;      /* the latest answer about a text that is too long to be kept */
    char *uncached_value;        /* that answer's text */
} DeriveCache;

EXPORT uint64_t text_hash(const uint64_t key[2], const char *text, int64_t size);

/* The answer about a text, PENDING where none was given yet; NULL without memory. The answer is valid until the next call,
 * and so must the text be. */
CacheEntry *cache_find(DeriveCache *cache, int32_t column, const char *text, int64_t size);
bool cache_store(DeriveCache *cache, CacheEntry *entry, const char *value, int64_t size); /* size -1: refused */
void cache_clear(DeriveCache *cache);

/* ---- columns.c; words.c ---- */

enum Kind {
    KIND_TEXT, KIND_UUID, KIND_DATE, KIND_TIMESTAMPTZ, KIND_TIMESTAMP, KIND_INET, KIND_INTEGER, KIND_BIGINT,
    KIND_BOOLEAN, KIND_NUMERIC, KIND_JSONB, KIND_TEXT_ARRAY, KIND_UNKNOWN,
};

/* A column of the table, and where its value comes from. */
typedef struct {
    const char *type;         /* as Postgres calls it, such as numeric(14,2) */
    int32_t source;           /* index of its column of texts */
    int32_t first;            /* only the first characters of the text count; 0: all */
    int32_t after;            /* only what follows the last such byte counts; 0: all */
    int32_t derive;           /* enum Derive */
    const char *derived_null; /* what the caller's function makes of no text; NULL: nothing */
    int64_t derived_null_size;
    bool is_nullable;
    bool is_rounded;          /* numeric: digits beyond the scale are rounded, not refused */
    int32_t kind;             /* set from type: enum Kind, and of numeric */
    int32_t precision, scale;
} Column;

enum Derive {
    DERIVE_NEVER,
    DERIVE_ALWAYS,  /* the value is what the caller's function makes of the text */
    DERIVE_UNCLEAR, /* the same, of a text that the type's parser leaves open */
};

enum { NO_VALUE = -1, UNCLEAR = -2 };

/* Room that a value of a text of this many bytes may take. */
#define VALUE_ROOM(size) (3 * (size) + 96)

EXPORT bool column_type(Column *column); /* sets kind, precision and scale; false where the type is not known */

/* Write the binary form of a value; its size, NO_VALUE, or UNCLEAR where only the caller's function can tell. */
int64_t value_write(const Column *column, const char *text, int64_t size, uint8_t *out);
int64_t list_write(const StringColumn *texts, int64_t begin, int64_t end, uint8_t *out);

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

/* A row that holds no value where one should be. */
typedef struct {
    int64_t row;
    int32_t column;
    bool is_missing; /* there is nothing, and the column wants something */
} InvalidRow;

/* The rows of one load, for COPY. */
typedef struct {
    int64_t row_count, invalid_count;
    const uint8_t *out; /* valid until the next call */
    int64_t out_size;
    const InvalidRow *invalid;
} Encoded;

typedef struct Encoder Encoder;

/* The caller's function of a column: it gives what it makes of a text to encoder_store_derived. False where it failed. */
typedef bool (*DeriveCallback)(int32_t column, const char *text, int64_t size);

/* head: what every row begins with: the number of its fields, and those that are the same in all of them.
 * key: random, for the hash of the texts that are asked about.
 * Returns NULL without memory. The columns are copied, their texts are not. */
EXPORT Encoder *encoder_new(const Column *columns, int32_t count, const uint8_t *head, int64_t head_size,
                            const uint64_t key[2], DeriveCallback derive);
EXPORT void encoder_free(Encoder *encoder);

/* Encode rows, asking once about each text. NULL without memory, or where the caller's function failed. */
EXPORT const Encoded *encoder_encode(Encoder *encoder, const StringColumn *texts, int64_t row_count);
EXPORT bool encoder_store_derived(Encoder *encoder, const char *value, int64_t size); /* size -1: refused; false without memory */

/* ---- string_columns.c ---- */

/* The most bytes that a column's texts take. */
EXPORT int64_t strings_size(const StringColumn *texts, int64_t row_count);
/* Copy them: row_count + 1 offsets, the bytes, and a bitmap that was zeroed before. */
EXPORT void strings_copy(const StringColumn *texts, int64_t row_count, int64_t *offsets, char *data, uint8_t *validity);

/* A text of a column; false where there is none. Doubled quotes are undone in `spare`, which holds at least its size. */
static inline bool string_at(const StringColumn *texts, int64_t row, const char **text, int64_t *size, char *spare) {
    if (!texts->offsets) {
        Span span = texts->spans[row * texts->stride];
        if (span.size & SPAN_NULL) return false;
        *text = texts->data + span.begin;
        *size = span.size & SPAN_SIZE;
        if (span.size & SPAN_DOUBLED) {
            char *end = spare;
            for (int64_t i = 0; i < *size; i++) {
                *end++ = (*text)[i];
                i += (*text)[i] == '"';
            }
            *text = spare, *size = end - spare;
        }
        return true;
    }
    row += texts->offset;
    if (texts->validity && !(texts->validity[row >> 3] >> (row & 7) & 1)) return false;
    *text = texts->data + texts->offsets[row];
    *size = texts->offsets[row + 1] - texts->offsets[row];
    return true;
}

/* ---- version.c ---- */

/* Digest of the sources that the library was built from. */
EXPORT const char *native_version(void);

/* Sizes of the structs that the binding describes, in its order; 0 beyond the last one. */
EXPORT int64_t native_size(int32_t place);

#endif
