/* Picks by load, by turn, by key and by chance. */
#include "proxy/balance.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum {
    DRAWS = 4,        /* attempts to draw one that may be used, before they are counted off */
    REHASHES = 8,     /* further places of a key whose server is out */
    CHEAPER = 9,      /* the second of two must be cheaper than the first by one part in so many */
    IDLE_CHEAPER = 2, /* while neither has anything to do, so many times: small differences of time leave the weights alone */
    FADE_MS = 1000,   /* what was slow once, and not asked since, is taken for half as slow after that time */
    LATENCY_LEAST_MS = 1, /* what is added to both: below it differences mean nothing */
};

/* ---- chance ---- */

/* splitmix64: one addition and a mix; any seed will do. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t draw(struct balance *balance)
{
    balance->chance += UINT64_C(0x9e3779b97f4a7c15);
    return mix(balance->chance);
}

static uint32_t below(uint32_t bits, uint32_t bound)
{
    return (uint32_t)((uint64_t)bits * bound >> 32);
}

uint64_t balance_hash(const char *bytes, uint32_t count)
{
    uint64_t hash = UINT64_C(0x243f6a8885a308d3) ^ count;
    if (count == 0)
        return 0;
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = mix(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
    }
    uint64_t last = 0;
    memcpy(&last, bytes, count);
    hash = mix(hash ^ last);
    return hash ? hash : 1;
}

/* ---- sets ---- */

static uint64_t bit(uint32_t seat)
{
    return UINT64_C(1) << seat;
}

/* The `at`-th member of a set, from 0. */
static uint32_t member(uint64_t set, uint32_t at)
{
    uint32_t from = 0;
    for (uint32_t half = 32; half; half /= 2) {
        uint32_t low = (uint32_t)__builtin_popcountll(set >> from & (bit(half) - 1));
        if (at >= low) {
            at -= low;
            from += half;
        }
    }
    return from;
}

static uint32_t any_of(struct balance *balance, uint64_t set)
{
    return member(set, below((uint32_t)draw(balance), (uint32_t)__builtin_popcountll(set)));
}

/* ---- drawing by weight: Vose's alias method ---- */

void balance_prepare(struct balance *balance)
{
    uint64_t sum = 0, scaled[BALANCE_SEATS_MAX];
    uint8_t few[BALANCE_SEATS_MAX], many[BALANCE_SEATS_MAX];
    uint32_t few_count = 0, many_count = 0;
    balance->count = 0;
    for (uint64_t left = balance->usable; left; left &= left - 1) {
        uint32_t seat = (uint32_t)__builtin_ctzll(left);
        balance->list[balance->count++] = (uint8_t)seat;
        sum += balance->seats[seat].weight;
    }
    for (uint32_t i = 0; i < balance->count; i++) {
        uint32_t seat = balance->list[i];
        scaled[seat] = (uint64_t)balance->seats[seat].weight * balance->count;
        if (scaled[seat] < sum)
            few[few_count++] = (uint8_t)seat;
        else
            many[many_count++] = (uint8_t)seat;
        balance->seats[seat].chance = UINT32_MAX;
        balance->seats[seat].other = seat;
    }
    while (few_count && many_count) {
        uint32_t poor = few[--few_count], rich = many[many_count - 1];
        balance->seats[poor].chance = (uint32_t)((scaled[poor] << 32) / sum);
        balance->seats[poor].other = rich;
        scaled[rich] -= sum - scaled[poor];
        if (scaled[rich] < sum)
            few[few_count++] = many[--many_count];
    }
}

static uint32_t by_weight(struct balance *balance)
{
    uint64_t random = draw(balance);
    const uint32_t seat = balance->list[below((uint32_t)random, balance->count)];
    const struct balance_seat *s = &balance->seats[seat];
    return random >> 32 <= s->chance ? seat : s->other;
}

/* One of a set, by weight as far as a few draws find one. */
static uint32_t draw_of(struct balance *balance, uint64_t set)
{
    for (uint32_t i = 0; i < DRAWS && balance->count; i++) {
        uint32_t seat = by_weight(balance);
        if (set & bit(seat))
            return seat;
    }
    return any_of(balance, set);
}

/* ---- kinds ---- */

/* How long a request would probably take there, in no unit. */
static double cost(const struct balance *balance, uint32_t seat, double now_ms)
{
    const struct balance_seat *s = &balance->seats[seat];
    double latency = (double)balance->latency_ms;
    if (s->load->latency_ms > 0) { /* what was slow once is tried again when nothing was heard of it for a while */
        double age = now_ms - s->load->latency_at_ms;
        latency = (double)s->load->latency_ms * FADE_MS / (FADE_MS + (age > 0 ? age : 0));
    }
    return (latency + LATENCY_LEAST_MS) * ((double)s->weight + (double)s->load->in_flight * BALANCE_SCALE) / s->weight;
}

static uint32_t p2c(struct balance *balance, uint64_t left, double now_ms)
{
    uint32_t first = draw_of(balance, left), second = draw_of(balance, left & ~bit(first));
    const bool idle = !balance->seats[first].load->in_flight && !balance->seats[second].load->in_flight;
    double a = cost(balance, first, now_ms), b = cost(balance, second, now_ms);
    return idle ? (b * IDLE_CHEAPER < a ? second : first) : (b * CHEAPER < a * (CHEAPER - 1) ? second : first);
}

static int has_less(const struct balance_seat *a, const struct balance_seat *b)
{
    return (uint64_t)(a->load->in_flight + 1) * b->weight < (uint64_t)(b->load->in_flight + 1) * a->weight;
}

/* Equal ones take turns by chance: the search begins at any of them. */
static uint32_t least(struct balance *balance, uint64_t left)
{
    uint32_t from = any_of(balance, left);
    uint64_t turned = from ? left >> from | left << (BALANCE_SEATS_MAX - from) : left;
    uint32_t best = UINT32_MAX;
    for (; turned; turned &= turned - 1) {
        uint32_t seat = ((uint32_t)__builtin_ctzll(turned) + from) % BALANCE_SEATS_MAX;
        if (best == UINT32_MAX || has_less(&balance->seats[seat], &balance->seats[best]))
            best = seat;
    }
    return best;
}

/* Everybody earns his weight, the richest is picked and pays what all have earned. */
static uint32_t richest(struct balance *balance, uint64_t left)
{
    uint32_t best = (uint32_t)__builtin_ctzll(left);
    int32_t earned = 0;
    for (; left; left &= left - 1) {
        uint32_t seat = (uint32_t)__builtin_ctzll(left);
        struct balance_seat *s = &balance->seats[seat];
        s->credit += (int32_t)s->weight;
        earned += (int32_t)s->weight;
        if (s->credit > balance->seats[best].credit)
            best = seat;
    }
    balance->seats[best].credit -= earned;
    return best;
}

/* The one that a key falls to when all are asked (rendezvous hashing): for keys of single requests, where there is no table. */
static int preferred(const struct balance *balance, uint64_t left, uint64_t key)
{
    uint32_t best = (uint32_t)__builtin_ctzll(left);
    uint64_t most = 0;
    for (; left; left &= left - 1) {
        uint32_t seat = (uint32_t)__builtin_ctzll(left);
        uint64_t score = mix(balance->seats[seat].name ^ key);
        if (score >= most) {
            most = score;
            best = seat;
        }
    }
    return (int)best;
}

/* The table stays as it is while servers come and go for a while: only the keys of one that is out look further. */
static int keyed(const struct balance *balance, uint64_t left, uint64_t key)
{
    for (uint32_t i = 0, most = balance->table ? REHASHES : 0; i < most; i++) {
        uint32_t seat = balance->table[key % BALANCE_TABLE];
        if (seat < BALANCE_SEATS_MAX && left & bit(seat))
            return (int)seat;
        key = mix(key + 1);
    }
    return preferred(balance, left, key);
}

static uint64_t seats_left(const struct balance *balance, uint64_t out)
{
    uint64_t left = balance->usable & ~out;
    if (out && left & balance->healthy)
        return left & balance->healthy; /* after a failure nothing is risked */
    return left ? left : balance->spare & ~out;
}

int balance_pick(struct balance *balance, uint64_t out, uint64_t key, double now_ms)
{
    uint64_t left = seats_left(balance, out);
    if ((left & (left - 1)) == 0)
        return left ? __builtin_ctzll(left) : -1;
    if (key)
        return keyed(balance, left, key);
    switch ((enum balance_kind)balance->kind) {
    case BALANCE_LEAST:
        return (int)least(balance, left);
    case BALANCE_ROUND:
        return (int)richest(balance, left);
    case BALANCE_RANDOM:
        return (int)draw_of(balance, left);
    case BALANCE_HASH:
    case BALANCE_P2C:
        break;
    }
    return (int)p2c(balance, left, now_ms);
}

/* Of those left, the one that the most speaks for. */
static uint32_t foremost(const struct balance *balance, uint64_t left, double now_ms)
{
    uint32_t best = (uint32_t)__builtin_ctzll(left);
    for (; left; left &= left - 1) {
        uint32_t seat = (uint32_t)__builtin_ctzll(left);
        const struct balance_seat *s = &balance->seats[seat], *b = &balance->seats[best];
        bool by_cost = balance->kind != BALANCE_RANDOM;
        double here = by_cost ? cost(balance, seat, now_ms) : 0, there = by_cost ? cost(balance, best, now_ms) : 0;
        bool better = balance->kind == BALANCE_LEAST ? has_less(s, b) : here < there || (here <= there && s->weight > b->weight);
        if (better)
            best = seat;
    }
    return best;
}

uint32_t balance_order(const struct balance *balance, uint64_t key, double now_ms, uint32_t *ret_order)
{
    struct balance copy = *balance;
    uint64_t out = 0;
    uint32_t count = 0;
    for (uint64_t left; (left = seats_left(&copy, out)) != 0; count++) {
        if (key)
            ret_order[count] = (uint32_t)keyed(&copy, left, key);
        else if (copy.kind == BALANCE_ROUND)
            ret_order[count] = richest(&copy, left);
        else
            ret_order[count] = foremost(&copy, left, now_ms);
        out |= bit(ret_order[count]);
    }
    return count;
}

/* ---- what is measured ---- */

/* A mean that follows upwards at once and forgets in BALANCE_DECAY_MS. */
static void follow(float *mean, double ms, double age)
{
    double keep = BALANCE_DECAY_MS / (BALANCE_DECAY_MS + (age > 0 ? age : 0));
    if (keep > 0.95)
        keep = 0.95; /* a busy server is measured often, and each time counts */
    *mean = (float)(ms > (double)*mean ? ms : (double)*mean * keep + ms * (1 - keep));
}

void balance_answered(struct balance *balance, struct balance_load *load, double ms, double now_ms)
{
    follow(&load->latency_ms, ms, now_ms - load->latency_at_ms);
    load->latency_at_ms = now_ms;
    balance->latency_ms = (float)((double)balance->latency_ms * 0.98 + ms * 0.02);
}

/* ---- the table: Maglev (Eisenbud and others, 2016, §3.4), where weight decides how many places a seat takes in one round ---- */

struct walk {
    uint32_t seat, at, step;
    double share, due; /* places a round; places it should have by now */
};

/* Its next free place by its own order of all places. */
static void take_place(uint8_t *table, struct walk *walk)
{
    while (table[walk->at] != UINT8_MAX) {
        walk->at += walk->step;
        walk->at -= walk->at >= BALANCE_TABLE ? BALANCE_TABLE : 0;
    }
    table[walk->at] = (uint8_t)walk->seat;
}

static uint32_t walks_begin(const struct balance *balance, struct walk *walks)
{
    uint32_t count = 0, most = 1;
    for (uint32_t seat = 0; seat < BALANCE_SEATS_MAX; seat++)
        if (balance->seats[seat].weight > most)
            most = balance->seats[seat].weight;
    for (uint32_t seat = 0; seat < BALANCE_SEATS_MAX; seat++) {
        const struct balance_seat *s = &balance->seats[seat];
        if (!s->weight)
            continue;
        walks[count] = (struct walk){ .seat = seat, .at = (uint32_t)(s->name % BALANCE_TABLE), .share = (double)s->weight / most };
        walks[count++].step = (uint32_t)(mix(s->name) % (BALANCE_TABLE - 1)) + 1;
    }
    return count;
}

/* Whoever has the smaller name goes first, so that the seats they sit on do not matter. */
static int by_name(const void *a, const void *b)
{
    const struct walk *x = a, *y = b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : x->step != y->step ? (x->step < y->step ? -1 : 1) : 0;
}

int balance_place(struct balance *balance)
{
    struct walk walks[BALANCE_SEATS_MAX];
    if (!balance->table && !(balance->table = malloc(BALANCE_TABLE)))
        return -ENOMEM;
    memset(balance->table, UINT8_MAX, BALANCE_TABLE);
    uint32_t count = walks_begin(balance, walks), taken = 0;
    qsort(walks, count, sizeof *walks, by_name);
    while (count && taken < BALANCE_TABLE) {
        for (uint32_t i = 0; i < count && taken < BALANCE_TABLE; i++) {
            walks[i].due += walks[i].share;
            if (walks[i].due < 1)
                continue;
            walks[i].due -= 1;
            take_place(balance->table, &walks[i]);
            taken++;
        }
    }
    return 0;
}

void balance_fini(struct balance *balance)
{
    free(balance->table);
    balance->table = NULL;
}
