/* Asked for by people and specs, never on the way of a request. */
#include "gate/bounds.h"

#include "gate/fetch.h"
#include "gate/gate.h"
#include "gate/side.h"

struct facts {
    struct net_facts net;
    struct proxy_facts proxy;
    struct file_reader_facts files;
    struct file_cache_facts cache;
};

enum { EVENTS_OF_REQUEST = 6 /* four tokens, one failure, one overrun of its time */, EVENTS_OF_FETCH = 2, EVENTS_OF_MASTER = 1024 };

/* Each event is of a timer, a file operation, a request or an order of the master. */
static double events_most(const struct mg_worker *w, const struct facts *f)
{
    return (double)f->net.timers_most + f->net.file_ops_most + (double)w->request_room * EVENTS_OF_REQUEST
           + w->settings.fetches * EVENTS_OF_FETCH + EVENTS_OF_MASTER;
}

static struct facts facts_of(const struct mg_worker *w)
{
    struct facts f = { 0 };
    if (!w->side)
        return f;
    net_facts(w->net, &f.net);
    proxy_facts(w->side->proxy, &f.proxy);
    file_reader_facts(w->side->files, &f.files);
    file_cache_facts(w->side->cache, &f.cache);
    return f;
}

int bounds_row(const struct mg_worker *w, uint32_t index, struct mg_bound *ret_bound)
{
    struct facts f = facts_of(w);
    const struct mg_bound rows[] = {
#define X(name, now, most, beyond) { name, beyond, (double)(now), (double)(most) },
#include "gate/bounds.tbl.h"
#undef X
    };
    if (index >= sizeof rows / sizeof *rows)
        return 0;
    *ret_bound = rows[index];
    return 1;
}
