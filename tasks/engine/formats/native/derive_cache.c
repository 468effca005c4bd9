/* The derive cache: derived values by column and text, in a hash table with open addressing.
 *
 * The cache uses at most MAX_BYTES, including its slots. A full cache is cleared. A text longer than MAX_CACHED_BYTES
 * is not cached: its entry is valid until the next call of cache_find.
 */
#include "native.h"

#include <stdlib.h>

#define MAX_BYTES (16 << 20)
#define MAX_CACHED_BYTES (64 << 10)
#define BLOCK_BYTES (64 << 10)
#define ALLOCATOR_BYTES 16 /* overhead of malloc for each block */

typedef struct Block {
    struct Block *next;
    int64_t size, used;
    char bytes[];
} Block;

/* Copy bytes into memory that lasts until the cache is cleared. */
static const char *kept(DeriveCache *cache, const char *bytes, int64_t size) {
    Block *block = cache->blocks;
    if (!block || block->size - block->used < size) {
        int64_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        if (!(block = malloc(sizeof(Block) + (size_t)room))) return NULL;
        *block = (Block){cache->blocks, room, 0};
        cache->blocks = block;
        cache->bytes += room + (int64_t)sizeof(Block) + ALLOCATOR_BYTES;
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

static bool widen(DeriveCache *cache) {
    uint64_t mask = cache->mask ? cache->mask * 2 + 1 : 1023;
    CacheEntry *slots = calloc(mask + 1, sizeof *slots);
    if (!slots) return false;
    for (uint64_t i = 0; cache->slots && i <= cache->mask; i++) {
        if (cache->slots[i].state == FREE) continue;
        uint64_t place = cache->slots[i].hash & mask;
        while (slots[place].state != FREE) place = (place + 1) & mask;
        slots[place] = cache->slots[i];
    }
    free(cache->slots);
    cache->slots = slots, cache->mask = mask;
    return true;
}

/* Make room for one more entry. While the table grows, the old slots and the new slots coexist: together three times
 * the old size. */
static bool make_room(DeriveCache *cache) {
    int64_t slots = cache->slots ? (int64_t)((cache->mask + 1) * sizeof(CacheEntry)) : 0;
    bool is_full = !cache->slots || (uint64_t)cache->count * 2 > cache->mask;
    if (cache->bytes + (is_full ? 3 : 1) * slots + BLOCK_BYTES + MAX_CACHED_BYTES > MAX_BYTES) {
        cache_clear(cache);
        is_full = true;
    }
    return !is_full || widen(cache);
}

CacheEntry *cache_find(DeriveCache *cache, int32_t column, const char *text, int64_t size) {
    free(cache->uncached_value);
    cache->uncached_value = NULL;
    if (size > MAX_CACHED_BYTES) {
        cache->uncached = (CacheEntry){.column = column, .state = PENDING, .text = text, .text_size = size};
        return &cache->uncached;
    }
    if (!make_room(cache)) return NULL;
    uint64_t key[2] = {cache->key[0] ^ (uint64_t)column, cache->key[1]};
    uint64_t hash = text_hash(key, text, size), place = hash & cache->mask;
    CacheEntry *slot = &cache->slots[place];
    for (; slot->state != FREE; place = (place + 1) & cache->mask, slot = &cache->slots[place])
        if (slot->hash == hash && slot->column == column && slot->text_size == size && !memcmp(slot->text, text, (size_t)size))
            return slot;
    const char *copy = kept(cache, text, size);
    if (!copy) return NULL;
    *slot = (CacheEntry){.column = column, .state = PENDING, .hash = hash, .text = copy, .text_size = size};
    cache->count++;
    return slot;
}

/* Copy the value of an uncached text. The copy lasts until the next call of cache_find. */
static const char *passed(DeriveCache *cache, const char *value, int64_t size) {
    cache->uncached_value = malloc((size_t)size + 1);
    return cache->uncached_value ? memcpy(cache->uncached_value, value, (size_t)size) : NULL;
}

bool cache_store(DeriveCache *cache, CacheEntry *entry, const char *value, int64_t size) {
    if (size < 0) return entry->state = REFUSED, true;
    bool is_same = size == entry->text_size && !memcmp(value, entry->text, (size_t)size);
    if (is_same) entry->value = entry->text;
    else entry->value = (entry == &cache->uncached ? passed : kept)(cache, value, size);
    if (!entry->value) return false;
    entry->value_size = size, entry->state = DERIVED;
    return true;
}

void cache_clear(DeriveCache *cache) {
    for (Block *next, *block = cache->blocks; block; block = next) {
        next = block->next;
        free(block);
    }
    free(cache->slots), free(cache->uncached_value);
    *cache = (DeriveCache){.key = {cache->key[0], cache->key[1]}};
}
