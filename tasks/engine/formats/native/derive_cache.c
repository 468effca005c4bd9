/* The derive cache: derived values by column and text, in a hash table with open addressing.
 *
 * Records of text and value fill blocks of a fixed size, one after another. When all blocks are full, the cache forgets
 * the records of a random block. So it keeps a share of the texts, even if more distinct texts than it holds come in a
 * cycle: a cache that forgets the oldest records would then forget each text just before the text comes again.
 * Blocks and slots take at most 16 MB: 10 MB of blocks, and 6 MB of slots while the table grows from 2 to 4 MB.
 */
#include "native.h"

#include <stdlib.h>

#define BLOCK_BYTES (256 << 10)
#define MAX_RECORD_BYTES (64 << 10)
#define FIRST_SLOTS 1024u
#define MAX_SLOTS (512u << 10)
#define UNIT sizeof(Kept) /* records begin at multiples of this size */

typedef struct {
    uint32_t hash, text_size;
    int32_t value_size; /* -1: the text is invalid */
    int32_t column;
    char bytes[]; /* the text, then the value */
} Kept;

/* A slot of the table. The place of a record counts units in all blocks from 1; 0 marks a free slot. */
struct Slot { uint32_t hash, place; };

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

/* SipHash-1-3. Without the key nobody can construct texts that collide. */
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

static Kept *kept_at(const DeriveCache *cache, uint32_t place) {
    size_t offset = (size_t)(place - 1) * UNIT;
    return (Kept *)(void *)(cache->blocks[offset / BLOCK_BYTES] + offset % BLOCK_BYTES);
}

static int64_t kept_bytes(int64_t text_size, int64_t value_size) {
    int64_t size = (int64_t)sizeof(Kept) + text_size + (value_size > 0 ? value_size : 0);
    return (size + (int64_t)UNIT - 1) / (int64_t)UNIT * (int64_t)UNIT;
}

/* ---- the table ---- */

/* Return the position of the first slot from the hash on that is free or holds this place. */
static uint32_t position_of(const Slot *slots, uint32_t mask, uint32_t hash, uint32_t place) {
    uint32_t position = hash & mask;
    while (slots[position].place && slots[position].place != place) position = (position + 1) & mask;
    return position;
}

static bool widen(DeriveCache *cache) {
    uint32_t size = cache->slots ? (cache->mask + 1) * 2 : FIRST_SLOTS;
    Slot *slots = calloc(size, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; cache->slots && i <= cache->mask; i++)
        if (cache->slots[i].place) slots[position_of(slots, size - 1, cache->slots[i].hash, 0)] = cache->slots[i];
    free(cache->slots);
    cache->slots = slots, cache->mask = size - 1;
    return true;
}

/* Free a slot. The records after it move up, so that no search ends at the gap. */
static void free_slot(DeriveCache *cache, uint32_t gap) {
    Slot *slots = cache->slots;
    for (uint32_t next = (gap + 1) & cache->mask; slots[next].place; next = (next + 1) & cache->mask) {
        uint32_t from_home = (next - slots[next].hash) & cache->mask;
        if (from_home < ((next - gap) & cache->mask)) continue;
        slots[gap] = slots[next], gap = next;
    }
    slots[gap] = (Slot){0};
    cache->count--;
}

/* ---- the blocks ---- */

static void forget_block(DeriveCache *cache, uint32_t block) {
    for (uint32_t at = 0; at < cache->used[block];) {
        uint32_t place = (uint32_t)(((size_t)block * BLOCK_BYTES + at) / UNIT) + 1;
        const Kept *record = kept_at(cache, place);
        free_slot(cache, position_of(cache->slots, cache->mask, record->hash, place));
        at += (uint32_t)kept_bytes(record->text_size, record->value_size);
    }
    cache->used[block] = 0;
}

/* Open an empty block: a new one, or one that held records. */
static bool open_block(DeriveCache *cache, bool is_table_full) {
    if (!is_table_full && cache->block_count < MAX_BLOCKS) {
        if (!(cache->blocks[cache->block_count] = malloc(BLOCK_BYTES))) return false;
        cache->used[cache->block_count] = 0;
        cache->open = cache->block_count++;
        return true;
    }
    if (!cache->random) cache->random = cache->key[1] | 1;
    cache->random ^= cache->random << 13, cache->random ^= cache->random >> 7, cache->random ^= cache->random << 17;
    cache->open = (uint32_t)(cache->random % cache->block_count);
    forget_block(cache, cache->open);
    return true;
}

/* Make room for a record of a size. */
static bool make_room(DeriveCache *cache, int64_t size) {
    bool is_table_full = cache->slots && cache->count * 2 > cache->mask;
    if ((!cache->slots || is_table_full) && (!cache->slots || cache->mask + 1 < MAX_SLOTS)) {
        if (!widen(cache)) return false;
        is_table_full = false;
    }
    bool has_room = cache->block_count && cache->used[cache->open] + size <= BLOCK_BYTES;
    return (has_room && !is_table_full) || open_block(cache, is_table_full);
}

CacheEntry *cache_find(DeriveCache *cache, int32_t column, const char *text, int64_t size) {
    uint64_t key[2] = {cache->key[0] ^ (uint64_t)column, cache->key[1]};
    uint32_t hash = (uint32_t)text_hash(key, text, size);
    cache->latest = (CacheEntry){.column = column, .state = PENDING, .hash = hash, .text = text, .text_size = size};
    if (!cache->slots) return &cache->latest;
    for (uint32_t position = hash & cache->mask; cache->slots[position].place; position = (position + 1) & cache->mask) {
        if (cache->slots[position].hash != hash) continue;
        const Kept *record = kept_at(cache, cache->slots[position].place);
        if (record->column != column || record->text_size != size || memcmp(record->bytes, text, (size_t)size)) continue;
        cache->latest.state = record->value_size < 0 ? REFUSED : DERIVED;
        cache->latest.value = record->bytes + size, cache->latest.value_size = record->value_size;
        break;
    }
    return &cache->latest;
}

/* Keep the value of the latest text if the record is too long for the cache. */
static bool keep_latest(DeriveCache *cache, const char *value, int64_t size) {
    free(cache->latest_value);
    cache->latest_value = malloc((size_t)size + 1);
    if (!cache->latest_value) return false;
    cache->latest.value = memcpy(cache->latest_value, value, (size_t)size);
    return true;
}

bool cache_store(DeriveCache *cache, const char *value, int64_t size) {
    CacheEntry *entry = &cache->latest;
    entry->state = size < 0 ? REFUSED : DERIVED, entry->value_size = size;
    /* The sum of the sizes could overflow, so each size is checked before the sum. */
    bool is_long = entry->text_size > MAX_RECORD_BYTES || size > MAX_RECORD_BYTES;
    int64_t bytes = is_long ? 0 : kept_bytes(entry->text_size, size);
    if (is_long || bytes > MAX_RECORD_BYTES) return size < 0 || keep_latest(cache, value, size);
    if (!make_room(cache, bytes)) return false;
    uint32_t at = cache->used[cache->open], place = (uint32_t)(((size_t)cache->open * BLOCK_BYTES + at) / UNIT) + 1;
    Kept *record = kept_at(cache, place);
    *record = (Kept){entry->hash, (uint32_t)entry->text_size, size < 0 ? -1 : (int32_t)size, entry->column};
    memcpy(record->bytes, entry->text, (size_t)entry->text_size);
    if (size > 0) memcpy(record->bytes + entry->text_size, value, (size_t)size);
    entry->value = record->bytes + entry->text_size;
    cache->slots[position_of(cache->slots, cache->mask, entry->hash, 0)] = (Slot){entry->hash, place};
    cache->used[cache->open] = at + (uint32_t)bytes, cache->count++;
    return true;
}

void cache_clear(DeriveCache *cache) {
    for (uint32_t block = 0; block < cache->block_count; block++) free(cache->blocks[block]);
    free(cache->slots), free(cache->latest_value);
    *cache = (DeriveCache){.key = {cache->key[0], cache->key[1]}};
}
