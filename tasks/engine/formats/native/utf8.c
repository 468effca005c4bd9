/* Validates UTF-8. */
#include "native.h"

bool is_utf8(const uint8_t *text, const uint8_t *end) {
    while (text < end) {
        for (uint64_t bytes; end - text >= 8; text += 8) {
            memcpy(&bytes, text, sizeof bytes);
            if (bytes & 0x8080808080808080) break;
        }
        if (text == end) break;
        uint8_t lead = *text++;
        if (lead < 0x80) continue;
        int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || end - text < more) return false;
        /* Reject overlong sequences, surrogates and code points above U+10FFFF. */
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (*text < low || *text > high) return false;
        for (text++; --more; text++)
            if ((*text & 0xc0) != 0x80) return false;
    }
    return true;
}
