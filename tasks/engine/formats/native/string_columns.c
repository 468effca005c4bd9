/* Copies a string column into the buffers of an Arrow array of large_string. */
#include "native.h"

int64_t strings_size(const StringColumn *texts, int64_t row_count) {
    if (texts->offsets) return texts->offsets[texts->offset + row_count] - texts->offsets[texts->offset];
    int64_t total = 0;
    for (int64_t row = 0; row < row_count; row++) total += texts->spans[row * texts->stride].size & SPAN_SIZE;
    return total;
}

void strings_copy(const StringColumn *texts, int64_t row_count, int64_t *offsets, char *data, uint8_t *validity) {
    const char *text;
    int64_t size;
    for (int64_t row = *offsets = 0; row < row_count; row++) {
        bool is_there = string_at(texts, row, &text, &size, data + offsets[row]);
        if (is_there) {
            memmove(data + offsets[row], text, (size_t)size);
            validity[row >> 3] |= (uint8_t)(1 << (row & 7));
        }
        offsets[row + 1] = offsets[row] + (is_there ? size : 0);
    }
}
