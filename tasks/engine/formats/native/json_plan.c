/* The plan: which values of a record the sources want, and which keys were found. */
#include "json.h"

#include <stdlib.h>

char *buffer_room(Buffer *buffer, int64_t size) {
    if (buffer->size + size > buffer->room) {
        int64_t room = 2 * buffer->room > buffer->size + size ? 2 * buffer->room : buffer->size + size + 4096;
        char *bytes = realloc(buffer->bytes, (size_t)room);
        if (!bytes) return NULL;
        buffer->bytes = bytes, buffer->room = room;
    }
    return buffer->bytes + buffer->size;
}

/* FNV-1a. The tables are small and their size is bounded, so colliding keys cost little. */
static uint64_t hash_of(int32_t parent, const char *key, int64_t size) {
    uint64_t hash = 0xcbf29ce484222325 ^ (uint64_t)parent << 32 ^ (key ? 0 : (uint64_t)size << 1 | 1);
    for (int64_t i = 0; key && i < size; i++) hash = (hash ^ (uint8_t)key[i]) * 0x100000001b3;
    hash *= 0x9e3779b97f4a7c15;
    return hash ^ hash >> 32;
}

static bool is_place(const JsonPlace *place, int32_t parent, const char *key, int64_t size) {
    if (place->parent != parent || !place->key != !key) return false;
    return key ? place->size == size && !memcmp(place->key, key, (size_t)size) : place->index == size;
}

static int32_t find_in_table(const JsonPlan *plan, int32_t parent, const char *key, int64_t size) {
    for (uint64_t slot = hash_of(parent, key, size);; slot++) {
        int32_t place = plan->table[slot & plan->mask];
        if (place < 0 || is_place(&plan->places[place], parent, key, size)) return place;
    }
}

int32_t plan_find(JsonPlan *plan, int32_t parent, const char *key, int64_t size) {
    /* Most records have the same keys in the same order. */
    int32_t guess = plan->next[plan->latest];
    if (guess && is_place(&plan->places[guess], parent, key, size)) return plan->latest = guess;
    int32_t found = find_in_table(plan, parent, key, size);
    if (found >= 0) plan->latest = plan->next[plan->latest] = found;
    return found;
}

bool plan_note_unknown(JsonPlan *plan, int32_t place, const char *key, int64_t size) {
    JsonKeys *keys = &plan->keys;
    if (keys->unknown_count == plan->most_unknown) return true;
    uint64_t hash = hash_of(place, key, size), slot = hash;
    for (; plan->fresh[slot & plan->fresh_mask] >= 0; slot++) {
        const JsonUnknown *known = &keys->unknown[plan->fresh[slot & plan->fresh_mask]];
        if (known->hash == hash && known->place == place && known->size == size && !memcmp(known->key, key, (size_t)size))
            return true;
    }
    char *copy = malloc((size_t)size + 1);
    if (!copy) return false;
    memcpy(copy, key, (size_t)size);
    plan->fresh[slot & plan->fresh_mask] = (int32_t)keys->unknown_count;
    keys->unknown[keys->unknown_count++] = (JsonUnknown){copy, size, hash, place};
    return true;
}

void plan_forget_unknown(JsonPlan *plan, int64_t count) {
    JsonKeys *keys = &plan->keys;
    while (keys->unknown_count > count) { /* the latest first, so that no search passes a freed slot */
        JsonUnknown *latest = &keys->unknown[--keys->unknown_count];
        uint64_t slot = latest->hash;
        while (plan->fresh[slot & plan->fresh_mask] != keys->unknown_count) slot++;
        plan->fresh[slot & plan->fresh_mask] = -1;
        free(latest->key);
    }
}

static uint64_t table_size(int32_t count) {
    uint64_t size = 16;
    while (size < 4 * (uint64_t)count) size *= 2;
    return size;
}

static void *copied(const void *items, int32_t count, size_t size) {
    void *copy = calloc((size_t)count + 1, size);
    if (copy && items) memcpy(copy, items, (size_t)count * size);
    return copy;
}

static bool has_all(const JsonPlan *plan) {
    return plan->places && plan->names && plan->is_named && plan->is_taken && plan->table && plan->next && plan->fresh &&
           plan->states && plan->blocks && plan->kinds && plan->spans && plan->keys.is_seen && plan->keys.unknown;
}

static void fill(JsonPlan *plan) {
    memset(plan->table, 0xff, (plan->mask + 1) * sizeof *plan->table);
    memset(plan->fresh, 0xff, (plan->fresh_mask + 1) * sizeof *plan->fresh);
    for (int32_t i = 0; i < plan->name_count; i++) plan->is_named[plan->names[i].place] = true;
    for (int32_t i = 1; i < plan->place_count; i++) {
        const JsonPlace *place = &plan->places[i];
        plan->is_taken[i] = plan->is_named[i] || plan->is_taken[place->parent];
        uint64_t slot = hash_of(place->parent, place->key, place->key ? place->size : place->index);
        while (plan->table[slot & plan->mask] >= 0) slot++;
        plan->table[slot & plan->mask] = i;
    }
}

JsonPlan *json_plan_new(const JsonPlace *places, int32_t place_count, const JsonName *names, int32_t name_count,
                        int32_t source_count, int64_t most_keys, int32_t most_unknown, bool keeps_unknown) {
    JsonPlan *plan = calloc(1, sizeof *plan);
    if (!plan) return NULL;
    plan->place_count = place_count, plan->name_count = name_count, plan->source_count = source_count;
    plan->most_keys = most_keys, plan->most_unknown = most_unknown, plan->keeps_unknown = keeps_unknown;
    plan->mask = table_size(place_count) - 1, plan->fresh_mask = table_size(most_unknown) - 1;
    plan->places = copied(places, place_count, sizeof *places);
    plan->names = copied(names, name_count, sizeof *names);
    plan->is_named = copied(NULL, place_count, sizeof *plan->is_named);
    plan->is_taken = copied(NULL, place_count, sizeof *plan->is_taken);
    plan->states = copied(NULL, place_count, sizeof *plan->states);
    plan->blocks = copied(NULL, place_count, sizeof *plan->blocks);
    plan->kinds = copied(NULL, place_count, sizeof *plan->kinds);
    plan->spans = copied(NULL, place_count, sizeof *plan->spans);
    plan->next = copied(NULL, place_count, sizeof *plan->next);
    plan->table = copied(NULL, (int32_t)plan->mask, sizeof *plan->table);
    plan->fresh = copied(NULL, (int32_t)plan->fresh_mask, sizeof *plan->fresh);
    plan->keys.is_seen = copied(NULL, name_count, sizeof *plan->keys.is_seen);
    plan->keys.unknown = copied(NULL, most_unknown, sizeof *plan->keys.unknown);
    if (!has_all(plan)) return json_plan_free(plan), NULL;
    fill(plan);
    return plan;
}

void json_plan_free(JsonPlan *plan) {
    if (!plan) return;
    if (plan->fresh && plan->keys.unknown) plan_forget_unknown(plan, 0);
    free(plan->places), free(plan->names), free(plan->is_named), free(plan->is_taken), free(plan->states);
    free(plan->blocks), free(plan->kinds), free(plan->spans), free(plan->table), free(plan->next);
    free(plan->fresh), free(plan->keys.is_seen), free(plan->keys.unknown);
    free(plan->arena.bytes), free(plan->rest.bytes), free(plan->key.bytes);
    free(plan);
}
