/* What the caller's functions made of texts, by column and text: a hash table of open addresses. */
#include "native.h"

#include <stdlib.h>

typedef struct Block {
    struct Block *next;
    char bytes[];
} Block;

/* A copy of some bytes that lasts until all answers are forgotten. */
static const char *kept(Answers *answers, const char *bytes, int64_t size) {
    Block *block = malloc(sizeof(Block) + (size_t)size);
    if (!block) return NULL;
    block->next = answers->blocks, answers->blocks = block;
    answers->bytes += size + (int64_t)sizeof(Block);
    return memcpy(block->bytes, bytes, (size_t)size);
}

static uint64_t hash_of(int32_t column, const char *text, int64_t size) {
    uint64_t hash = 0x9e3779b97f4a7c15u ^ (uint64_t)column ^ (uint64_t)size << 32, word;
    for (; size > 0; text += 8, size -= 8) {
        word = 0;
        memcpy(&word, text, size < 8 ? (size_t)size : 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    return hash;
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

Answer *answers_find(Answers *answers, int32_t column, const char *text, int64_t size) {
    if ((uint64_t)answers->count * 2 > answers->mask || !answers->slots)
        if (!widen(answers)) return NULL;
    uint64_t hash = hash_of(column, text, size), place = hash & answers->mask;
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

bool answers_give(Answers *answers, Answer *asked, const char *answer, int64_t size) {
    if (size < 0) return asked->state = REFUSED, true;
    bool is_same = size == asked->text_size && !memcmp(answer, asked->text, (size_t)size);
    asked->answer = is_same ? asked->text : kept(answers, answer, size);
    if (!asked->answer) return false;
    asked->answer_size = size, asked->state = GIVEN;
    return true;
}

void answers_clear(Answers *answers) {
    for (Block *next, *block = answers->blocks; block; block = next) {
        next = block->next;
        free(block);
    }
    free(answers->slots);
    *answers = (Answers){0};
}
