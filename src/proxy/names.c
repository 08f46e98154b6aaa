/* When a name is asked for, and who is told what it stands for. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "proxy/inner.h"

enum { RETRY_MS = 1000, RETRY_MAX_MS = 30000, FILE_MS = 5000 /* an answer without a time: of /etc/hosts */ };

static void ask(void *context, struct alarm *alarm);

static uint32_t hold_ms(const struct name *name, uint32_t ttl_ms)
{
    uint32_t ms = ttl_ms ? ttl_ms : FILE_MS;
    if (ms < name->ttl_min_ms)
        ms = name->ttl_min_ms;
    return ms > name->ttl_max_ms ? name->ttl_max_ms : ms;
}

static uint32_t retry_ms(const struct name *name)
{
    uint32_t ms = RETRY_MS;
    for (uint32_t i = 1; i < name->failures && ms < RETRY_MAX_MS; i++)
        ms *= 2;
    return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

static int in_order(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct resolved));
}

/* Whether it is another answer than the one before. Servers come in any order, and often in another one. */
static bool take_answer(struct name *name, const struct resolve_answer *answer)
{
    struct resolved list[RESOLVE_MAX] = { { { 0 } } };
    for (uint32_t i = 0; i < answer->count; i++)
        list[i] = answer->list[i];
    qsort(list, answer->count, sizeof *list, in_order);
    bool is_new = answer->count != name->count || memcmp(list, name->list, answer->count * sizeof *list) != 0;
    memcpy(name->list, list, sizeof list);
    name->count = answer->count;
    return is_new;
}

static void tell_upstreams(struct proxy *proxy, struct name *name)
{
    for (struct upstream *upstream = proxy->all; upstream; upstream = upstream->next)
        upstream_follow(proxy, upstream, name);
    proxy->freed = true; /* exchanges may wait for the first answer */
}

static void answered(void *context, const struct resolve_answer *answer)
{
    struct name *name = context;
    struct proxy *proxy = name->proxy;
    name->asking = false;
    bool was_tried = name->tried, was_bad = name->why[0] != 0;
    name->tried = true;
    if (answer->why) {
        name->failures++;
        snprintf(name->why, sizeof name->why, "%s", answer->why);
        if (!was_bad)
            notice(proxy, "the name %s cannot be found: %s; %s", name->host, name->why,
                   name->count ? "its last addresses stay in use" : "its servers are left out until it is found");
        if (!was_tried)
            tell_upstreams(proxy, name);
    } else {
        name->failures = 0;
        name->why[0] = 0;
        if (was_bad)
            notice(proxy, "the name %s can be found again", name->host);
        if (take_answer(name, answer) || !was_tried)
            tell_upstreams(proxy, name);
    }
    if (name->holders > 1)
        alarm_set(&proxy->alarms, &name->alarm, answer->why ? retry_ms(name) : hold_ms(name, answer->ttl_ms));
    name_drop(proxy, name);
}

static void ask_for(struct proxy *proxy, struct name *name)
{
    if (name->asking)
        return;
    name->asking = true;
    name->holders++;
    resolver_ask(proxy->resolver, name->resolver, name->host, name->is_service, answered, name);
}

static void ask(void *context, struct alarm *alarm)
{
    ask_for(context, (struct name *)(void *)alarm); /* it is the first of it */
}

static struct name *find(const struct proxy *proxy, const char *host, bool is_service, const char *resolver)
{
    struct name *name = proxy->names;
    while (name && (name->is_service != is_service || strcmp(name->host, host) != 0 || strcmp(name->resolver, resolver) != 0))
        name = name->next;
    return name;
}

struct name *name_get(struct proxy *proxy, const char *host, bool is_service, const struct spec_options *options)
{
    struct name *name = find(proxy, host, is_service, options->resolver);
    bool is_new = !name;
    if (is_new) {
        name = calloc(1, sizeof *name);
        if (!name)
            return NULL;
        name->proxy = proxy;
        name->is_service = is_service;
        name->alarm.ring = ask;
        snprintf(name->host, sizeof name->host, "%s", host);
        snprintf(name->resolver, sizeof name->resolver, "%s", options->resolver);
        name->next = proxy->names;
        proxy->names = name;
    }
    name->ttl_min_ms = options->ttl_min_ms;
    name->ttl_max_ms = options->ttl_max_ms;
    name->holders++;
    if (is_new)
        ask_for(proxy, name);
    return name;
}

static void unlist(struct proxy *proxy, struct name *name)
{
    struct name **at = &proxy->names;
    while (*at != name)
        at = &(*at)->next;
    *at = name->next;
}

void name_drop(struct proxy *proxy, struct name *name)
{
    must(name->holders > 0);
    if (--name->holders > 0) {
        if (name->holders == 1 && name->asking)
            alarm_stop(&proxy->alarms, &name->alarm); /* nobody waits for the answer any more */
        return;
    }
    alarm_stop(&proxy->alarms, &name->alarm);
    unlist(proxy, name);
    free(name);
}

/* After the resolver: no answer comes any more. */
void names_fini(struct proxy *proxy)
{
    while (proxy->names) {
        struct name *name = proxy->names;
        proxy->names = name->next;
        free(name);
    }
}
