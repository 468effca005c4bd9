/* Column types: parses a type's name and selects the writer of its values. */
#include "values.h"

#include <stdlib.h>

bool column_type(Column *column) {
    static const char *const names[KIND_UNKNOWN] = {
        "text", "uuid", "date", "timestamptz", "timestamp", "inet", "integer", "bigint", "boolean", "numeric", "jsonb",
        "text[]",
    };
    size_t size = strcspn(column->type, "(");
    for (column->kind = 0; column->kind < KIND_UNKNOWN; column->kind++)
        if (!strncmp(column->type, names[column->kind], size) && !names[column->kind][size]) break;
    char *rest;
    const char *given = column->type + size + (column->type[size] == '(');
    column->precision = (int32_t)strtol(given, &rest, 10);
    column->scale = (int32_t)strtol(rest + (*rest == ','), &rest, 10);
    if (column->kind == KIND_TIMESTAMP) return column->precision == 3;
    if (column->kind != KIND_NUMERIC) return column->kind != KIND_UNKNOWN && !column->type[size];
    return column->precision > 0 && column->precision <= NUMERIC_DIGITS && column->scale >= 0 && column->scale <= column->precision;
}

int64_t value_write(const Column *column, const char *text, int64_t size, uint8_t *out) {
    switch (column->kind) {
    case KIND_TEXT: return write_text(text, size, out);
    case KIND_UUID: return write_uuid(text, size, out);
    case KIND_DATE: return write_date(text, size, out);
    case KIND_TIMESTAMPTZ: return write_timestamptz(text, size, out);
    case KIND_TIMESTAMP: return write_timestamp_ms(text, size, out);
    case KIND_INET: return write_inet(text, size, out);
    case KIND_INTEGER: return write_integer(text, size, out);
    case KIND_BIGINT: return write_bigint(text, size, out);
    case KIND_BOOLEAN: return write_boolean(text, size, out);
    case KIND_NUMERIC: return write_numeric(column, text, size, out);
    case KIND_JSONB: return write_jsonb(text, size, out);
    case KIND_TEXT_ARRAY: return write_text_array(text, size, out);
    default: return NO_VALUE;
    }
}
