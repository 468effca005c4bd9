/* Texts, UUIDs, booleans, JSON and addresses in their binary form. */
#include "values.h"

#include <arpa/inet.h>

/* ---- text, uuid, boolean, jsonb ---- */

int64_t write_text(const char *text, int64_t size, uint8_t *out) {
    if (memchr(text, '\0', (size_t)size)) return NO_VALUE; /* Postgres has no such character */
    memcpy(out, text, (size_t)size);
    return size;
}

int64_t write_uuid(const char *text, int64_t size, uint8_t *out) {
    if (size != 36) return NO_VALUE;
    for (int i = 0; i < 36; i += 2) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-') return NO_VALUE;
            i++;
        }
        int high = digit_of(text[i]), low = digit_of(text[i + 1]);
        if (high < 0 || low < 0) return NO_VALUE;
        *out++ = (uint8_t)(high << 4 | low);
    }
    return 16;
}

int64_t write_boolean(const char *text, int64_t size, uint8_t *out) {
    bool is_true = size == 4 && !memcmp(text, "true", 4);
    if (!is_true && !(size == 5 && !memcmp(text, "false", 5))) return NO_VALUE;
    *out = is_true;
    return 1;
}

/* The text is JSON: the caller's function has seen to it. */
int64_t write_jsonb(const char *text, int64_t size, uint8_t *out) {
    *out = 1; /* the version of the format */
    memcpy(out + 1, text, (size_t)size);
    return size + 1;
}

/* ---- inet ---- */

int64_t write_inet(const char *text, int64_t size, uint8_t *out) {
    uint8_t *address = out + 4;
    int octets = 0;
    int64_t at = 0;
    for (; octets < 4; octets++, at++) {
        int value = 0, digits = 0;
        for (; at < size && is_digit(text[at]) && digits < 4; at++, digits++) value = value * 10 + text[at] - '0';
        if (!digits || value > 255 || (digits > 1 && text[at - digits] == '0')) break;
        address[octets] = (uint8_t)value;
        if (octets < 3 && (at == size || text[at] != '.')) break;
        if (octets == 3 && at != size) break;
    }
    if (octets == 4) {
        memcpy(out, "\2\x20\0\4", 4); /* family, bits, no network, size */
        return 8;
    }
    char whole[INET6_ADDRSTRLEN];
    if (size >= (int64_t)sizeof whole || memchr(text, '\0', (size_t)size)) return NO_VALUE;
    memcpy(whole, text, (size_t)size);
    whole[size] = '\0';
    if (inet_pton(AF_INET6, whole, address) != 1) return NO_VALUE;
    memcpy(out, "\3\x80\0\x10", 4);
    return 20;
}
