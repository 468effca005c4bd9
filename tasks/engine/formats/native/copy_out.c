/* Copies the rows of a COPY TO STDOUT from libpq into blocks. psycopg makes a Python object of each row instead. */
#include <poll.h>

#include "native.h"

enum { WAIT_MILLISECONDS = 100 };

/* Wait for bytes from the server, and let libpq receive them. Returns false after a wait without bytes: the caller then
 * looks at signals and calls again. */
static bool receive(CopyOut *copy, int32_t *state) {
    struct pollfd socket = {.fd = copy->socket(copy->connection), .events = POLLIN};
    int ready = poll(&socket, 1, WAIT_MILLISECONDS);
    /* TLS may hold bytes that `poll` does not see, so libpq reads even after a wait without bytes. */
    if (!copy->consume(copy->connection)) *state = COPY_FAILED;
    return ready > 0 && *state == COPY_GOING;
}

static bool next_row(CopyOut *copy, int32_t *state) {
    for (;;) {
        int size = copy->get(copy->connection, &copy->row, 1);
        if (size > 0) {
            copy->size = size, copy->taken = 0;
            return true;
        }
        if (size < 0) {
            *state = size == -1 ? COPY_DONE : COPY_FAILED;
            return false;
        }
        if (!receive(copy, state)) return false;
    }
}

int64_t copy_out_read(CopyOut *copy, char *out, int64_t room, int32_t *state) {
    int64_t filled = 0;
    while (filled < room) {
        if (!copy->row && !next_row(copy, state)) break;
        int64_t size = copy->size - copy->taken < room - filled ? copy->size - copy->taken : room - filled;
        memcpy(out + filled, copy->row + copy->taken, (size_t)size);
        filled += size, copy->taken += size;
        if (copy->taken == copy->size) copy_out_free(copy);
    }
    return filled;
}

void copy_out_free(CopyOut *copy) {
    if (copy->row) copy->free(copy->row);
    copy->row = NULL;
}
