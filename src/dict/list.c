/* Lists: elements are chains of blocks of their own, linked both ways; the entry knows the first and the last. */
#include <errno.h>
#include <string.h>

#include "dict/inner.h"

static struct ends *ends_of(struct entry *entry)
{
    return (struct ends *)&entry->word;
}

/* A new element, not linked yet; there is room for it. */
static uint32_t node_make(struct shard *shard, const struct dict_value *value, const char *bytes)
{
    bool is_number = value->kind == DICT_NUMBER || value->kind == DICT_BOOLEAN;
    uint32_t last, count = is_number ? sizeof value->number : value->bytes;
    uint32_t blocks = blocks_for(count, NODE_ROOM), index = chain_take(shard, blocks, &last);
    struct node *node = node_at(shard, index);
    node->last = last;
    node->blocks = blocks;
    node->bytes = count;
    node->kind = value->kind;
    node->before = node->after = 0;
    chain_write(shard, index, NODE_ROOM, 0, is_number ? (const char *)&value->number : bytes, count);
    return index;
}

static void node_link(struct shard *shard, struct entry *entry, uint32_t index, enum dict_end end)
{
    struct ends *ends = ends_of(entry);
    struct node *node = node_at(shard, index);
    if (end == DICT_FIRST) {
        node->after = ends->first;
        put32(shard, ends->first ? &node_at(shard, ends->first)->before : &ends->last, index);
        put32(shard, &ends->first, index);
    } else {
        node->before = ends->last;
        put32(shard, ends->last ? &node_at(shard, ends->last)->after : &ends->first, index);
        put32(shard, &ends->last, index);
    }
    put32(shard, &entry->bytes, entry->bytes + 1);
    put64(shard, &entry->version, version_next(shard));
}

static void node_unlink(struct shard *shard, struct entry *entry, uint32_t index)
{
    struct ends *ends = ends_of(entry);
    struct node *node = node_at(shard, index);
    put32(shard, node->before ? &node_at(shard, node->before)->after : &ends->first, node->after);
    put32(shard, node->after ? &node_at(shard, node->after)->before : &ends->last, node->before);
    put32(shard, &entry->bytes, entry->bytes - 1);
    put64(shard, &entry->version, version_next(shard));
    chain_give(shard, index, node->last, node->blocks);
}

static int push(struct access *access, enum dict_end end, const struct dict_value *value, const char *bytes)
{
    struct shard *shard = access->shard;
    uint32_t index = entry_find(access);
    if (index && entry_at(shard, index)->kind != DICT_LIST)
        return -EINVAL;
    access->protect = index;
    uint32_t own = index ? 0 : blocks_for(access->key.bytes, ENTRY_ROOM);
    int error = entry_room(access, own + blocks_for(value->bytes, NODE_ROOM), true);
    if (error)
        return error;
    if (!index) {
        index = entry_make(access, DICT_LIST, 0);
        entry_at(shard, index)->expires_ms = expiry(access->now_ms, value->ttl_ms);
        entry_link(access, index);
    }
    struct entry *entry = entry_at(shard, index);
    node_link(shard, entry, node_make(shard, value, bytes), end);
    int length = (int)entry->bytes;
    commit(shard);
    entry->visited = 1;
    shard->sets++;
    entry_sweep(access);
    return length;
}

int dict_push(struct dict *dict, struct dict_key key, double now_ms, enum dict_end end, const struct dict_value *value, const char *bytes)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    error = push(&access, end, value, bytes);
    shard_unlock(access.shard);
    return error;
}

static int pop(struct access *access, enum dict_end end, struct dict_value *ret, char *ret_bytes, uint32_t room)
{
    struct shard *shard = access->shard;
    uint32_t index = entry_find(access);
    struct entry *entry = index ? entry_at(shard, index) : NULL;
    if (!entry)
        return -ENOENT;
    if (entry->kind != DICT_LIST)
        return -EINVAL;
    uint32_t at = end == DICT_FIRST ? ends_of(entry)->first : ends_of(entry)->last;
    struct node *node = node_at(shard, at);
    *ret = (struct dict_value){ .kind = node->kind, .bytes = node->bytes };
    if (node->kind == DICT_NUMBER || node->kind == DICT_BOOLEAN) {
        chain_read(shard, at, NODE_ROOM, 0, (char *)&ret->number, node->bytes);
    } else {
        if (node->bytes > room)
            return -EMSGSIZE;
        chain_read(shard, at, NODE_ROOM, 0, ret_bytes, node->bytes);
    }
    node_unlink(shard, entry, at);
    if (entry->bytes == 0) /* an empty list is none; nobody sees one, ever */
        entry_remove(shard, index);
    commit(shard);
    entry_sweep(access);
    return 0;
}

int dict_pop(struct dict *dict, struct dict_key key, double now_ms, enum dict_end end, struct dict_value *ret, char *ret_bytes, uint32_t room)
{
    struct access access;
    int error = access_begin(&access, dict, key, now_ms);
    if (error)
        return error;
    error = pop(&access, end, ret, ret_bytes, room);
    shard_unlock(access.shard);
    return error;
}
