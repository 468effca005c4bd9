/* Column types: parses a type's name and selects the writer of its values. */
#include "values.h"

#include <stdlib.h>

bool column_type(Column *column) {
    static const char *const names[KIND_UNKNOWN] = {
        "text", "uuid", "date", "timestamptz", "timestamp", "inet", "integer", "bigint", "boolean", "numeric", "jsonb",
        "text[]", "varchar", "smallint", "real", "double precision", "time", "interval", "bytea", "integer[]", "bigint[]",
    };
    size_t size = strcspn(column->type, "(");
    for (column->kind = 0; column->kind < KIND_UNKNOWN; column->kind++)
        if (!strncmp(column->type, names[column->kind], size) && !names[column->kind][size]) break;
    char *rest;
    bool is_plain = !column->type[size];
    const char *given = column->type + size + !is_plain;
    column->precision = (int32_t)strtol(given, &rest, 10);
    column->scale = (int32_t)strtol(rest + (*rest == ','), &rest, 10);
    if (column->kind == KIND_TIMESTAMP) return is_plain || column->precision == 3;
    if (column->kind == KIND_VARCHAR) return column->precision > 0;
    if (column->kind != KIND_NUMERIC || is_plain) return column->kind != KIND_UNKNOWN && is_plain;
    return column->precision > 0 && column->precision <= NUMERIC_DIGITS && column->scale >= 0 && column->scale <= column->precision;
}

/* Write a number. If the column declares a spelling, the plain number is first written after the space of the value. */
static int64_t number_write(const Column *column, const char *text, int64_t size, uint8_t *out) {
    if (column->decimal != '.' || *column->thousands) {
        char *plain = (char *)out + 2 * size + 100;
        size = plain_number(column, text, size, plain), text = plain;
        if (size < 0) return NO_VALUE;
    }
    switch (column->kind) {
    case KIND_SMALLINT: return write_integer(column, text, size, 2, out);
    case KIND_INTEGER: return write_integer(column, text, size, 4, out);
    case KIND_BIGINT: return write_integer(column, text, size, 8, out);
    case KIND_REAL: return write_float(text, size, 4, out);
    case KIND_DOUBLE: return write_float(text, size, 8, out);
    default: return write_numeric(column, text, size, out);
    }
}

int64_t value_write(const Column *column, const char *text, int64_t size, uint8_t *out) {
    switch (column->kind) {
    case KIND_TEXT: return write_text(text, size, out);
    case KIND_VARCHAR: return write_varchar(column, text, size, out);
    case KIND_UUID: return write_uuid(text, size, out);
    case KIND_DATE: return write_date(text, size, out);
    case KIND_TIME: return write_time(text, size, out);
    case KIND_TIMESTAMPTZ: return write_timestamptz(column, text, size, out);
    case KIND_TIMESTAMP: return write_timestamp(column, text, size, out);
    case KIND_INTERVAL: return write_interval(text, size, out);
    case KIND_INET: return write_inet(text, size, out);
    case KIND_SMALLINT: case KIND_INTEGER: case KIND_BIGINT: case KIND_REAL: case KIND_DOUBLE: case KIND_NUMERIC:
        return number_write(column, text, size, out);
    case KIND_BOOLEAN: return write_boolean(text, size, out);
    case KIND_BYTEA: return write_bytea(column, text, size, out);
    case KIND_JSONB: return write_jsonb(text, size, out);
    case KIND_TEXT_ARRAY: return write_text_array(column, text, size, out);
    case KIND_INTEGER_ARRAY: case KIND_BIGINT_ARRAY: return write_array(column, text, size, out);
    default: return NO_VALUE;
    }
}
