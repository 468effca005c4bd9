/* What the caller's functions made of texts, by column and text: a hash table of open addresses.
 *
 * The table takes at most MOST_BYTES, slots and all: when it is full, every answer is forgotten. A text that is longer
 * than LONGEST_KEPT is never kept: its answer lasts until the next question.
 */
#include "native.h"

#include <stdlib.h>

#define MOST_BYTES (16 << 20)
#define LONGEST_KEPT (64 << 10)
#define BLOCK_BYTES (64 << 10)
#define ALLOCATOR_BYTES 16 /* what malloc takes for itself */

typedef struct Block {
    struct Block *next;
    int64_t size, used;
    char bytes[];
} Block;

/* A copy of some bytes that lasts until all answers are forgotten. */
static const char *kept(Answers *answers, const char *bytes, int64_t size) {
    Block *block = answers->blocks;
    if (!block || block->size - block->used < size) {
        int64_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        if (!(block = malloc(sizeof(Block) + (size_t)room))) return NULL;
        *block = (Block){answers->blocks, room, 0};
        answers->blocks = block;
        answers->bytes += room + (int64_t)sizeof(Block) + ALLOCATOR_BYTES;
    }
    char *copy = block->bytes + block->used;
    block->used += size;
    return memcpy(copy, bytes, (size_t)size);
}

static uint64_t rotated(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static void mix(uint64_t v[4]) {
    v[0] += v[1], v[1] = rotated(v[1], 13) ^ v[0], v[0] = rotated(v[0], 32);
    v[2] += v[3], v[3] = rotated(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotated(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotated(v[1], 17) ^ v[2], v[2] = rotated(v[2], 32);
}

static uint64_t word_of(const char *bytes, int64_t size) {
    uint64_t word = 0;
    for (int64_t i = 0; i < size; i++) word |= (uint64_t)(uint8_t)bytes[i] << 8 * i;
    return word;
}

/* SipHash-1-3: without the key nobody can make texts that fall into the same slots. */
uint64_t text_hash(const uint64_t key[2], const char *text, int64_t size) {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)size << 56;
    for (; size >= 8; text += 8, size -= 8) {
        uint64_t word = word_of(text, 8);
        v[3] ^= word, mix(v), v[0] ^= word;
    }
    last |= word_of(text, size);
    v[3] ^= last, mix(v), v[0] ^= last;
    v[2] ^= 0xff, mix(v), mix(v), mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static bool widen(Answers *answers) {
    uint64_t mask = answers->mask ? answers->mask * 2 + 1 : 1023;
    Answer *slots = calloc(mask + 1, sizeof *slots);
    if (!slots) return false;
    for (uint64_t i = 0; answers->slots && i <= answers->mask; i++) {
        if (answers->slots[i].state == FREE) continue;
        uint64_t place = answers->slots[i].hash & mask;
        while (slots[place].state != FREE) place = (place + 1) & mask;
        slots[place] = answers->slots[i];
    }
    free(answers->slots);
    answers->slots = slots, answers->mask = mask;
    return true;
}

/* Make room for one more answer. While the table is widened, the old slots and the new ones are there: three times
 * the old ones. */
static bool make_room(Answers *answers) {
    int64_t slots = answers->slots ? (int64_t)((answers->mask + 1) * sizeof(Answer)) : 0;
    bool is_full = !answers->slots || (uint64_t)answers->count * 2 > answers->mask;
    if (answers->bytes + (is_full ? 3 : 1) * slots + BLOCK_BYTES + LONGEST_KEPT > MOST_BYTES) {
        answers_clear(answers);
        is_full = true;
    }
    return !is_full || widen(answers);
}

Answer *answers_find(Answers *answers, int32_t column, const char *text, int64_t size) {
    free(answers->passing);
    answers->passing = NULL;
    if (size > LONGEST_KEPT) {
        answers->long_one = (Answer){.column = column, .state = ASKED, .text = text, .text_size = size};
        return &answers->long_one;
    }
    if (!make_room(answers)) return NULL;
    uint64_t key[2] = {answers->key[0] ^ (uint64_t)column, answers->key[1]};
    uint64_t hash = text_hash(key, text, size), place = hash & answers->mask;
    Answer *slot = &answers->slots[place];
    for (; slot->state != FREE; place = (place + 1) & answers->mask, slot = &answers->slots[place])
        if (slot->hash == hash && slot->column == column && slot->text_size == size && !memcmp(slot->text, text, (size_t)size))
            return slot;
    const char *copy = kept(answers, text, size);
    if (!copy) return NULL;
    *slot = (Answer){.column = column, .state = ASKED, .hash = hash, .text = copy, .text_size = size};
    answers->count++;
    return slot;
}

/* A copy of a long text's answer, which lasts until the next question. */
static const char *passed(Answers *answers, const char *answer, int64_t size) {
    answers->passing = malloc((size_t)size + 1);
    return answers->passing ? memcpy(answers->passing, answer, (size_t)size) : NULL;
}

bool answers_give(Answers *answers, Answer *asked, const char *answer, int64_t size) {
    if (size < 0) return asked->state = REFUSED, true;
    bool is_same = size == asked->text_size && !memcmp(answer, asked->text, (size_t)size);
    if (is_same) asked->answer = asked->text;
    else asked->answer = (asked == &answers->long_one ? passed : kept)(answers, answer, size);
    if (!asked->answer) return false;
    asked->answer_size = size, asked->state = GIVEN;
    return true;
}

void answers_clear(Answers *answers) {
    for (Block *next, *block = answers->blocks; block; block = next) {
        next = block->next;
        free(block);
    }
    free(answers->slots), free(answers->passing);
    *answers = (Answers){.key = {answers->key[0], answers->key[1]}};
}
