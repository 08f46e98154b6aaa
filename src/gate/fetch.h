/* Exchanges that Lua holds: requests of the gateway's own (mg.fetch), and proxied ones whose response a script looks at before it is sent
 * on. Comes in: events of the proxy room. Goes out: a head, content in pieces, an end or a sentence; or all of it to a client, in C.
 *
 *   FREE ─begin─▶ WAITING ─head─▶ CONTENT ─end─▶ WHOLE
 *                    └──────────────┴─failed─▶ FAILED            any ─close, or given to a client─▶ FREE
 *
 * A window of content waits here at most; beyond it the server waits. A handle names a fetch and its turn: a stale one is none. */
#pragma once
#include "gate/gate.h"

enum fetch_state { FETCH_FREE, FETCH_WAITING, FETCH_CONTENT, FETCH_WHOLE, FETCH_FAILED };

enum { FETCH_ARENA_FIRST = 512, FETCH_NO_CONTENT = -2, FETCH_CHUNKED = -1 };

struct fetch {
    struct kept *content;
    struct slice head;         /* status line and fields as they came, in the arena; bytes 0: none yet */
    struct slice sentence;     /* FAILED: why */
    double length;             /* as reply_begin() takes it */
    double read_token, write_token;
    struct arena arena;
    uint32_t exchange;         /* NONE: it has ended */
    uint32_t request;          /* slot whose client it is for: it is given up when that has gone; NONE: nobody's */
    uint32_t turn, next;       /* next: of the same request; among the free */
    int32_t timer;             /* of a paused one; -1: none */
    uint16_t status;           /* of the head */
    uint16_t failed;           /* FAILED: what would be answered, 499: the client has gone */
    uint8_t state;             /* enum fetch_state */
    uint8_t body_kind;         /* enum http_body_kind of the response */
    bool paused : 1, taken : 1; /* taken: some of the content was read */
    _Alignas(16) char first_page[FETCH_ARENA_FIRST];
};

struct fetch_store;
struct proxy_event;

struct fetch_store *fetches_new(uint32_t most); /* NULL: no memory */
void fetches_adapt(struct fetch_store *store, uint32_t most);
void fetches_free(struct mg_worker *w, struct fetch_store *store);
uint32_t fetches_open(const struct mg_worker *w);

/* Begins a request whose whole head is in `head`, for an upstream. `length`: of its content, or FETCH_CHUNKED or FETCH_NO_CONTENT. `slot`:
 * the request that it is for, or NONE. A handle ≥ 0; -EMFILE (limits.fetches), -EINVAL (border.text says why), or as proxy_begin(). */
int32_t fetch_begin(struct mg_worker *w, int upstream, int terms, struct slice head, double length, uint32_t slot);
/* Gives up the response that was looked at so far: the request is forwarded anew. */
void fetch_drop(struct mg_worker *w, struct request *r);
/* Forwards a client's request, whose response is not sent on by itself. As side_reply_proxy(), but a handle. */
int32_t fetch_forward(struct mg_worker *w, struct request *r, int upstream, int terms, struct slice target, struct slice content);
struct fetch *fetch_at(struct mg_worker *w, int32_t handle); /* NULL: closed */

/* The status of the response head; 0: `token` is woken when it is there; negative: the status of its failure, why in border.text. */
int32_t fetch_head(struct mg_worker *w, struct fetch *f, double token);
/* The next content, > 0 bytes at border.text, lent until the next turn; 0: the end; -EAGAIN: `token` will be woken; -EPIPE: border.text. */
int32_t fetch_read(struct mg_worker *w, struct fetch *f, double token);
/* As proxy_send(). */
int32_t fetch_write(struct mg_worker *w, struct fetch *f, const char *bytes, uint32_t count, bool last);
/* 0: `token` is woken when there is room for more content; -EPIPE: no more is wanted. */
int32_t fetch_wait(struct mg_worker *w, struct fetch *f, double token);
void fetch_close(struct mg_worker *w, struct fetch *f);

/* The fields of a response head become those of the request's answer, which may have some that overrule them. -EINVAL: it is no head. */
int fetch_copy_fields(struct mg_worker *w, struct request *r, struct slice head);
/* Answers with the rest of it, in C; the fetch is closed but for -E2BIG, when nothing was begun. */
int fetch_reply(struct mg_worker *w, struct request *r, struct fetch *f, uint32_t status);

/* What other files tell it. */
void fetch_on_proxy(struct mg_worker *w, const struct proxy_event *event);
bool fetch_is_of(const struct proxy_event *event);
void fetch_on_timer(struct mg_worker *w, double token);
void fetch_fail_content(struct mg_worker *w, struct request *r, int32_t status, const char *why); /* the client's content cannot be sent on */
void fetch_abandon(struct mg_worker *w, struct request *r); /* its client has gone: those for it fail */
void fetch_leave(struct mg_worker *w, struct request *r);   /* it is answered: those for it are closed */
