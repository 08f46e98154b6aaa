/* Plain loads and stores by one writer each, and atomic ones where several write. */
#include "proxy/shared.h"

#include <stddef.h>
#include <time.h>

#include "base/must.h"

enum { FIND_TRIES = 2000, FIND_PAUSE_US = 100 };

#define LOAD(at) __atomic_load_n(at, __ATOMIC_ACQUIRE)
#define STORE(at, value) __atomic_store_n(at, value, __ATOMIC_RELEASE)
#define ADD(at, value) __atomic_add_fetch(at, value, __ATOMIC_ACQ_REL)

uint64_t shared_bytes(void)
{
    return sizeof(struct proxy_shared);
}

static int swap(uint32_t *at, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static struct shared_server *hold(struct proxy_shared *shared, uint32_t at, uint32_t worker)
{
    shared->servers[at].rows[worker].holds++;
    return &shared->servers[at];
}

static struct shared_server *find(struct proxy_shared *shared, uint64_t name, uint32_t worker)
{
    for (uint32_t at = 0; at < SHARED_SERVERS; at++)
        if (LOAD(&shared->names[at]) == name) {
            ADD(&shared->holders[at], 1);
            return hold(shared, at, worker);
        }
    return NULL;
}

static struct shared_server *claim(struct proxy_shared *shared, uint64_t name, uint32_t worker)
{
    for (uint32_t pass = 0; pass < 2; pass++) /* first those that nobody has used */
        for (uint32_t at = 0; at < SHARED_SERVERS; at++) {
            if ((pass == 0 && LOAD(&shared->names[at])) || !swap(&shared->holders[at], 0, 1))
                continue;
            struct shared_server *server = &shared->servers[at];
            server->health = HEALTH_UNKNOWN;
            server->in_use = server->good = server->bad = 0;
            server->since_ms = server->back_ms = server->took_ms = 0;
            server->why[0] = 0;
            STORE(&shared->names[at], name);
            return hold(shared, at, worker);
        }
    return NULL;
}

/* Workers begin together and look for the same servers. One that dies meanwhile is forgotten by the master. */
static int begin_finding(struct proxy_shared *shared, uint32_t worker)
{
    const struct timespec pause = { .tv_nsec = FIND_PAUSE_US * 1000L };
    for (uint32_t i = 0; i < FIND_TRIES; i++) {
        if (swap(&shared->finder, 0, worker + 1))
            return 1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

struct shared_server *shared_get(struct proxy_shared *shared, uint64_t name, uint32_t worker)
{
    must(worker < SHARED_WORKERS && name != 0);
    if (!begin_finding(shared, worker))
        return NULL;
    struct shared_server *server = find(shared, name, worker);
    if (!server)
        server = claim(shared, name, worker);
    STORE(&shared->finder, 0);
    return server;
}

void shared_put(struct proxy_shared *shared, struct shared_server *server, uint32_t worker)
{
    server->rows[worker].holds--;
    ADD(&shared->holders[server - shared->servers], (uint32_t)-1);
}

void shared_use(struct shared_server *server, uint32_t worker, int32_t more)
{
    server->rows[worker].in_use += (uint32_t)more;
    ADD(&server->in_use, (uint32_t)more);
}

uint32_t shared_in_use(const struct shared_server *server)
{
    return LOAD(&server->in_use);
}

void shared_become(struct proxy_shared *shared, struct shared_server *server, enum shared_health health, double now_ms)
{
    if (health == HEALTH_UP && server->health >= HEALTH_DOWN)
        server->back_ms = now_ms;
    server->since_ms = now_ms;
    STORE(&server->health, (uint32_t)health);
    ADD(&shared->version, 1);
}

int shared_elect(struct proxy_shared *shared, uint32_t worker, double now_ms)
{
    uint32_t holder = LOAD(&shared->checker);
    if (holder != worker + 1) {
        if (holder && now_ms - shared->beat_ms < SHARED_PATIENCE_MS)
            return 0;
        if (!swap(&shared->checker, holder, worker + 1))
            return 0; /* another was quicker */
    }
    shared->beat_ms = now_ms;
    return 1;
}

void shared_resign(struct proxy_shared *shared, uint32_t worker)
{
    swap(&shared->checker, worker + 1, 0);
}

void shared_forget(struct proxy_shared *shared, uint32_t worker)
{
    must(worker < SHARED_WORKERS);
    for (uint32_t at = 0; at < SHARED_SERVERS; at++) {
        if (!LOAD(&shared->names[at]))
            continue;
        struct shared_server *server = &shared->servers[at];
        struct shared_row *row = &server->rows[worker];
        if (row->in_use)
            ADD(&server->in_use, (uint32_t)-row->in_use);
        if (row->holds)
            ADD(&shared->holders[at], (uint32_t)-row->holds);
        *row = (struct shared_row){ 0 };
    }
    shared_resign(shared, worker);
    swap(&shared->finder, worker + 1, 0);
}
