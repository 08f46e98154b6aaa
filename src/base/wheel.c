/* The timer wheel: which slot a tick belongs to, and moving slots down a level as time passes. */
#include "base/wheel.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/must.h"

enum { SLOT_BITS = 6 };

static void list_init(struct wheel_node *head)
{
    head->next = head->prev = head;
}

static int list_empty(const struct wheel_node *head)
{
    return head->next == head;
}

static void list_append(struct wheel_node *head, struct wheel_node *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static void list_remove(struct wheel_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

void wheel_init(struct wheel *wheel, uint64_t now)
{
    wheel->now = now;
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (int i = 0; i < WHEEL_SLOTS; i++)
            list_init(&wheel->slot[level][i]);
    }
    list_init(&wheel->expired);
}

/* The level is that of the highest bit in which `due` and `now` differ. */
static void place(struct wheel *wheel, struct wheel_node *node)
{
    if (node->due <= wheel->now) {
        list_append(&wheel->expired, node);
        return;
    }
    enum { TOP = WHEEL_LEVELS - 1, TOP_SHIFT = SLOT_BITS * (WHEEL_LEVELS - 1) };
    int level = (63 - __builtin_clzll(node->due ^ wheel->now)) / SLOT_BITS;
    uint64_t due = node->due;
    if (level > TOP) { /* over the rim of the top level: it turns, so slots ahead of now are free to use */
        uint64_t furthest = (wheel->now >> TOP_SHIFT) + WHEEL_SLOTS - 1;
        if (due >> TOP_SHIFT > furthest)
            due = furthest << TOP_SHIFT;
        level = TOP;
    }
    unsigned at = (unsigned)(due >> (SLOT_BITS * level)) & (WHEEL_SLOTS - 1);
    list_append(&wheel->slot[level][at], node);
    wheel->occupied[level] |= UINT64_C(1) << at;
}

void wheel_insert(struct wheel *wheel, struct wheel_node *node, uint64_t due)
{
    must(node->next == NULL);
    node->due = due;
    place(wheel, node);
}

void wheel_remove(struct wheel *wheel, struct wheel_node *node)
{
    if (!node->next)
        return;
    struct wheel_node *next = node->next;
    list_remove(node);
    struct wheel_node *first = &wheel->slot[0][0];
    if (list_empty(next) && next >= first && next < first + WHEEL_LEVELS * WHEEL_SLOTS) {
        unsigned index = (unsigned)(next - first);
        wheel->occupied[index / WHEEL_SLOTS] &= ~(UINT64_C(1) << index % WHEEL_SLOTS);
    }
}

static void empty_slot(struct wheel *wheel, int level, unsigned at)
{
    struct wheel_node *head = &wheel->slot[level][at];
    wheel->occupied[level] &= ~(UINT64_C(1) << at);
    struct wheel_node whole;
    list_init(&whole);
    if (!list_empty(head)) { /* splice: place() may append to the same slot again */
        whole = *head;
        whole.next->prev = whole.prev->next = &whole;
        list_init(head);
    }
    while (!list_empty(&whole)) {
        struct wheel_node *node = whole.next;
        list_remove(node);
        place(wheel, node);
    }
}

/* Ticks from now to the next slot that has anything, of any level; UINT64_MAX: none. A slot begins at its first tick. */
static uint64_t next_slot(const struct wheel *wheel)
{
    uint64_t best = UINT64_MAX;
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        if (!wheel->occupied[level])
            continue;
        int shift = SLOT_BITS * level;
        unsigned turn = (unsigned)((wheel->now >> shift) + 1) & (WHEEL_SLOTS - 1);
        uint64_t mask = wheel->occupied[level];
        uint64_t rotated = turn ? mask >> turn | mask << (WHEEL_SLOTS - turn) : mask;
        uint64_t steps = (uint64_t)__builtin_ctzll(rotated) + 1;
        uint64_t at = ((wheel->now >> shift) + steps) << shift;
        if (at - wheel->now < best)
            best = at - wheel->now;
    }
    return best;
}

/* Empties the slots that begin at `tick`; those of the upper levels first: what they hold was inserted earlier. */
static void arrive(struct wheel *wheel, uint64_t tick)
{
    wheel->now = tick;
    for (int level = WHEEL_LEVELS - 1; level >= 0; level--) {
        int shift = SLOT_BITS * level;
        unsigned at = (unsigned)(tick >> shift) & (WHEEL_SLOTS - 1);
        bool begins = (tick & ((UINT64_C(1) << shift) - 1)) == 0;
        if (begins && wheel->occupied[level] & UINT64_C(1) << at)
            empty_slot(wheel, level, at);
    }
}

/* From slot to slot, so that what is overdue by different ticks still fires in the order of time. */
void wheel_advance(struct wheel *wheel, uint64_t now)
{
    if (now <= wheel->now)
        return;
    for (;;) {
        uint64_t step = next_slot(wheel);
        if (step > now - wheel->now)
            break;
        arrive(wheel, wheel->now + step);
    }
    wheel->now = now;
}

struct wheel_node *wheel_expired(struct wheel *wheel)
{
    if (list_empty(&wheel->expired))
        return NULL;
    struct wheel_node *node = wheel->expired.next;
    list_remove(node);
    return node;
}

uint64_t wheel_next(const struct wheel *wheel)
{
    return list_empty(&wheel->expired) ? next_slot(wheel) : 0;
}
