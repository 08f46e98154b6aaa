/* Two kinds of memory. Lent buffers: what arrives is put there, they come back within the turn, and the most recently freed are filled
 * first, so that they stay in the cache. Blocks: output on its way, in three sizes, kept on
 * free lists up to a point and bounded in sum. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/fault.h"
#include "base/must.h"
#include "net/internal.h"

enum { LENT_PADDING = 4096, TARGET_LEAST = 64, QUIET_TURNS = 20000 };

static const uint32_t class_room[BLOCK_CLASSES] = { [BLOCK_LENT] = 0, 448, 4032, 16320 };
static const uint32_t class_kept[BLOCK_CLASSES] = { [BLOCK_LENT] = 4096, 4096, 1024, 256 };

static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

int lent_init(struct net *net)
{
    struct lent *lent = &net->lent;
    lent->entries = net->options.lent_buffers ? net->options.lent_buffers : 512;
    lent->each = net->options.lent_bytes ? net->options.lent_bytes : 4096;
    must((lent->entries & (lent->entries - 1)) == 0 && lent->entries <= 32768);
    lent->target = lent->entries < TARGET_LEAST ? lent->entries : TARGET_LEAST;
    lent->memory = map((size_t)lent->entries * lent->each + LENT_PADDING);
    lent->stack = calloc(lent->entries, sizeof *lent->stack);
    if (!lent->memory || !lent->stack)
        return -ENOMEM;
    for (uint32_t i = lent->entries; i-- > 0;)
        lent->stack[lent->free++] = (uint16_t)i;
    return 0;
}

/* After the engine is closed. */
void lent_fini(struct net *net)
{
    struct lent *lent = &net->lent;
    if (lent->memory)
        munmap(lent->memory, (size_t)lent->entries * lent->each + LENT_PADDING);
    free(lent->stack);
}

void lent_aim(struct net *net, bool found_none)
{
    struct lent *lent = &net->lent;
    if (found_none && lent->target < lent->entries) {
        lent->target *= 2;
        lent->quiet = 0;
    } else if (lent->target > TARGET_LEAST && ++lent->quiet > QUIET_TURNS) { /* the rush is over */
        lent->target /= 2;
        lent->quiet = 0;
    }
}

static uint32_t block_cost(uint32_t class)
{
    return (uint32_t)sizeof(struct block) + class_room[class];
}

/* The class for `bytes`: the more is queued already, the larger the block. */
static uint32_t class_for(uint32_t bytes, uint32_t queued)
{
    must(bytes <= class_room[BLOCK_CLASSES - 1]);
    uint32_t class = queued == 0 ? 1 : queued <= class_room[1] ? 2 : 3;
    while (class_room[class] < bytes)
        class++;
    return class;
}

/* NULL: the bound is reached. */
static struct block *block_get(struct net *net, uint32_t class)
{
    if (net->block_bytes + block_cost(class) > net->options.buffer_bytes)
        return NULL;
    struct block *block = net->blocks_free[class];
    if (block) {
        net->blocks_free[class] = block->next;
        net->blocks_kept[class]--;
    } else {
        block = malloc(sizeof *block + class_room[class]);
        if (!block)
            return NULL;
        block->room = class_room[class];
        block->class = class;
    }
    net->block_bytes += block_cost(class);
    block->next = NULL;
    block->loan = NULL;
    block->from = block->bytes;
    block->begin = block->end = 0;
    return block;
}

static void block_put(struct net *net, struct block *block)
{
    net->block_bytes -= block_cost(block->class);
    if (block->loan)
        block->loan->pieces--;
    if (net->blocks_kept[block->class] >= class_kept[block->class]) {
        free(block);
        return;
    }
    block->next = net->blocks_free[block->class];
    net->blocks_free[block->class] = block;
    net->blocks_kept[block->class]++;
}

/* ---- queues of blocks ---- */

static struct block *queue_append(struct net_queue *queue, struct block *block)
{
    if (queue->last)
        queue->last->next = block;
    else
        queue->first = block;
    queue->last = block;
    return block;
}

/* Room behind what a block has; one that is lent ends where it ends. */
static uint32_t room_left(const struct block *block)
{
    return !block || block->loan ? 0 : block->room - block->end;
}

char *queue_out(struct net *net, struct net_queue *queue, uint32_t bytes)
{
    struct block *last = queue->last;
    if (!last || room_left(last) < bytes) {
        bool behind_lent = last && last->loan; /* the next that comes is lent as well, most likely: it takes no room */
        struct block *block = block_get(net, class_for(bytes, behind_lent ? 0 : queue->bytes));
        if (!block)
            return NULL;
        last = queue_append(queue, block);
    }
    return last->bytes + last->end;
}

int queue_lend(struct net *net, struct net_queue *queue, const char *bytes, uint32_t count, struct net_loan *loan)
{
    must(count > 0);
    struct block *block = fault_hit("no-block") ? NULL : block_get(net, BLOCK_LENT);
    if (!block)
        return -ENOBUFS;
    block->from = bytes;
    block->end = count;
    block->loan = loan;
    loan->pieces++;
    queue->bytes += count;
    queue_append(queue, block);
    return 0;
}

void queue_commit(struct net_queue *queue, uint32_t bytes)
{
    must(room_left(queue->last) >= bytes);
    queue->last->end += bytes;
    queue->bytes += bytes;
}

int queue_write(struct net *net, struct net_queue *queue, const char *bytes, uint32_t count)
{
    const uint32_t largest = class_room[BLOCK_CLASSES - 1];
    uint32_t room = room_left(queue->last);
    uint32_t blocks = count > room ? (count - room) / largest + 2 : 0;
    if (blocks && net->block_bytes + (count - room) + largest + blocks * sizeof(struct block) > net->options.buffer_bytes)
        return -ENOBUFS; /* all or nothing */
    if (count > room && fault_hit("no-block"))
        return -ENOBUFS;
    while (count > 0) {
        uint32_t piece = count < largest ? count : largest;
        if (room > 0 && piece > room)
            piece = room;
        char *out = queue_out(net, queue, piece);
        if (!out)
            return -ENOBUFS;
        memcpy(out, bytes, piece);
        queue_commit(queue, piece);
        bytes += piece;
        count -= piece;
        room = room_left(queue->last);
    }
    return 0;
}

void queue_take_out(struct net *net, struct net_queue *queue, uint32_t bytes)
{
    must(bytes <= queue->bytes);
    queue->bytes -= bytes;
    while (queue->first) {
        struct block *block = queue->first;
        uint32_t held = block->end - block->begin;
        uint32_t part = bytes < held ? bytes : held;
        block->begin += part;
        bytes -= part;
        if (block->begin < block->end)
            break;
        queue->first = block->next;
        block_put(net, block);
    }
    must(bytes == 0);
    if (!queue->first)
        queue->last = NULL;
}

uint32_t queue_gather(const struct net_queue *queue, struct iovec *ret_pieces, uint32_t most)
{
    uint32_t count = 0;
    for (const struct block *block = queue->first; block && count < most; block = block->next)
        ret_pieces[count++] = (struct iovec){ (char *)block->from + block->begin, block->end - block->begin };
    return count;
}

void queue_free(struct net *net, struct net_queue *queue)
{
    queue_take_out(net, queue, queue->bytes);
    must(queue->first == NULL);
}

void blocks_free(struct net *net)
{
    for (int class = 0; class < BLOCK_CLASSES; class++)
        while (net->blocks_free[class]) {
            struct block *block = net->blocks_free[class];
            net->blocks_free[class] = block->next;
            free(block);
        }
}
