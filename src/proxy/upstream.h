/* Servers, and the upstreams that put them together, as the files of proxy see them: part of inner.h.
 *
 * A server is kept by its whole identity (name of the upstream, text of the config, address), with its connections, counters and what
 * is known of its health. An upstream is one generation's view of its servers: who sits on which seat, with which weight. So a reload
 * that changes a weight or a limit builds another view of the same servers, and no connection is lost.
 *
 * A link is one connection to a server. It outlives the exchange that made it, and its number is the `owner` of its net events.
 *
 *   FREE ─▶ CONNECTING ─▶ BUSY ⇄ IDLE
 *    ▲          └──────────┴──────┴──▶ CLOSING ─ NET_CLOSED ─▶ FREE */
#pragma once
#include <stdbool.h>

#include "net/net.h"
#include "proxy/alarm.h"
#include "proxy/balance.h"
#include "proxy/change.h"
#include "proxy/budget.h"
#include "proxy/ejection.h"
#include "proxy/pool.h"
#include "proxy/spec.h"

struct exchange;
struct name;
struct proxy_request;
struct upstream;

enum { LINK_NONE = UINT32_MAX };

enum link_state { LINK_FREE, LINK_CONNECTING, LINK_BUSY, LINK_IDLE, LINK_CLOSING };

struct link {
    struct server *server;
    struct upstream *upstream; /* that took it; NULL: nobody uses it */
    struct exchange *exchange; /* CONNECTING and BUSY */
    double since_ms;           /* that an exchange has it */
    uint32_t keep_ms;          /* the server keeps it so long without a request, as it says; 0: it says nothing */
    uint64_t sent_before;      /* bytes that the kernel had taken on it before that exchange */
    uint32_t conn;
    uint32_t next, prev;       /* among the idle ones of the server; next: among the free */
    uint8_t state;             /* enum link_state */
    bool counted;              /* among those in use by all workers */
    uint8_t seat;              /* in that upstream */
};

struct server {
    struct server *next;       /* of all */
    char upstream[PROXY_NAME_BYTES + 1];
    struct proxy_address address;
    uint64_t name;             /* hash of its identity */
    uint32_t holders;          /* seats and links */
    uint32_t seats;            /* of upstreams that are open; 0: nothing is kept */
    uint32_t idle_first, idle_count; /* the first is the last used */
    uint32_t links;
    struct balance_load load;
    struct ejection ejection;
    struct shared_server *shared; /* NULL: there is no room for it */
    struct probe *probe;       /* NULL: it is not checked by this worker */
    double back_ms;            /* since when it can be used again, for a slow start; 0: from the beginning */
    uint64_t requests, failures, connects, refused;
    uint8_t order;             /* enum server_order */
};

struct seat {
    struct server *server;     /* NULL: empty */
    uint8_t entry;             /* which line of the config it comes from */
    uint8_t backup;
    uint16_t weight;
    uint32_t connections_max;
    double joined_ms;          /* of one that came later than its upstream; 0: it was there from the beginning */
};

struct waiting {
    struct exchange *first, *last;
    uint32_t count;
    struct alarm alarm;        /* the first has waited for too long */
};

struct upstream {
    struct upstream *next;         /* of all, closed ones among them */
    struct upstream *next_waiting; /* of those with exchanges that wait */
    char name[PROXY_NAME_BYTES + 1];
    uint32_t opens;            /* handles given out; 0: lives on for its users alone */
    uint32_t users;            /* links and exchanges */
    uint32_t running;          /* exchanges that are not over */
    uint32_t seat_count;       /* seats are below this */
    uint32_t health_seen;      /* version of what all workers share, when it was last looked at */
    bool stale;                /* who may be used has changed */
    bool reseated;             /* who sits where, or a weight */
    bool limited;              /* some seat has a limit of connections */
    double due_ms;             /* when who may be used changes by itself */
    struct balance balance;
    struct seat seats[PROXY_SERVERS_MAX];
    struct budget budget;      /* of what is sent again */
    struct waiting waiting;    /* exchanges for which no connection is free */
    struct name *names[SPEC_SERVERS_MAX]; /* of its servers, by line; NULL: an address */
    uint64_t gone;             /* lines whose servers were taken out while the gateway runs */
    uint8_t orders[SPEC_SERVERS_MAX]; /* by line: enum server_order */
    uint64_t settled;          /* lines that had servers before: what comes later begins slowly */
    char *lines;               /* as it was opened, owned: an equal one is the same */
    struct spec spec;
};

/* server.c: the store of servers */
struct server *server_get(struct proxy *proxy, const char *upstream, const struct proxy_address *address); /* holds it; NULL: no memory */
void server_drop(struct proxy *proxy, struct server *server);
void servers_fini(struct proxy *proxy);

/* upstream.c */
struct upstream *upstream_of(const struct proxy *proxy, int handle); /* NULL: no such handle */
void upstream_use(struct upstream *upstream);
void upstream_drop(struct proxy *proxy, struct upstream *upstream);
const char *upstream_label(const struct upstream *upstream, uint32_t seat); /* of its server, for messages */
int upstream_sit(struct proxy *proxy, struct upstream *upstream, uint32_t entry); /* seats for a line of the spec */
void upstream_leave_entry(struct proxy *proxy, struct upstream *upstream, uint32_t entry);
/* change_apply.c: what stands of the changes made to an upstream of that name */
void standings_apply(struct proxy *proxy, struct upstream *upstream);
/* The name has other addresses than before. */
void upstream_follow(struct proxy *proxy, struct upstream *upstream, const struct name *name);
const char *upstream_lack(const struct upstream *upstream); /* why no server can be used */
bool upstream_is_pending(const struct upstream *upstream); /* some name was not answered yet */
int upstream_seat(const struct upstream *upstream, struct slice server); /* the first of that label, or that the config writes so; -1: none */
struct slice upstream_host(const struct upstream *upstream); /* for a request that names none */
void upstreams_fini(struct proxy *proxy);
/* A seat for that address of an entry of the spec: its number, also when it has one already; -ENOSPC, -ENOMEM. */
int seat_add(struct proxy *proxy, struct upstream *upstream, uint32_t entry, const struct proxy_address *address);
void seat_remove(struct proxy *proxy, struct upstream *upstream, uint32_t seat);

/* key.c: what of a request the server is chosen by, as a number; 0: nothing */
uint64_t upstream_key(const struct upstream *upstream, const struct proxy_request *request);

/* waiting.c: exchanges for which no connection is free, in order */
/* 0; -EBUSY: as many wait as may. It is called by exchange_go() when its turn has come, or fails with CAUSE_WAIT_TIME. */
int waiting_add(struct proxy *proxy, struct exchange *x);
void waiting_remove(struct proxy *proxy, struct exchange *x);
/* Lets go on who can, after a connection has become free (proxy->freed). */
void waiting_turn(struct proxy *proxy);

/* pool.c: links */
struct link *link_take(struct proxy *proxy, struct upstream *upstream, uint32_t seat); /* a kept one, now BUSY, or NULL */
int link_connect(struct proxy *proxy, struct upstream *upstream, uint32_t seat, struct link **ret_link);
void link_connected(struct proxy *proxy, struct link *link);
void link_keep(struct proxy *proxy, struct link *link); /* to the idle ones, or closed when there are enough */
void link_close(struct proxy *proxy, struct link *link);
void link_closed(struct proxy *proxy, struct link *link); /* NET_CLOSED has come */
