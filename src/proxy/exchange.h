/* One proxied request. Comes in: a parsed request head and its content, and the net events of upstream connections. Goes out: events
 * with the response head, its content and the end. It does not write to clients and decides nothing about routes.
 *
 *   net_event_next(net, &e);
 *   if (e.role == ROLE_UPSTREAM) proxy_on_net(proxy, &e);
 *   while (proxy_event_next(proxy, &p)) …                     after every such net event, and after what is called below
 *
 * All the events of a net event must be taken before the next net_event_next(): content is lent out of its buffer. */
#pragma once
#include "proxy/forward.h"
#include "proxy/pool.h"

struct net_event;

enum proxy_event_kind {
    PROXY_NONE,
    PROXY_HEAD,     /* the final response head: head, bytes, skip, body_kind, length. 101: what follows, both ways, are bytes of a tunnel */
    PROXY_INTERIM,  /* before it, where the request wants them: a 1xx head that is for the client: status, head, bytes, skip */
    PROXY_TRAILERS, /* before END, where the request wants them: head, bytes, skip of fields behind the content */
    PROXY_CONTENT,  /* bytes/count of content, framing taken off; lent until the next proxy_event_next() */
    PROXY_END,      /* the response is whole */
    PROXY_FAILED,   /* instead of a head: status 502, 503 or 504; bytes/count a sentence for log and error page */
    PROXY_BROKEN,   /* after the head: the rest will not come, and the client must be able to tell; bytes/count a sentence */
    PROXY_WRITABLE, /* proxy_send() returned more than the window, and now half of it is free */
};

/* END, FAILED and BROKEN are the last of an exchange: its number means nothing any more. */
struct proxy_event {
    uint8_t kind;          /* enum proxy_event_kind */
    uint8_t body_kind;     /* HEAD: enum http_body_kind of the response */
    uint16_t status;       /* HEAD, FAILED */
    uint32_t user;         /* what proxy_begin() was told */
    uint32_t exchange;
    uint32_t count;
    const char *bytes;     /* HEAD: what the offsets in `head` count from */
    int64_t length;        /* HEAD: Content-Length as it came, -1: none. With BODY_NONE it is that of the answer to a GET */
    const struct http_head *head;
    struct forward_set skip; /* HEAD: field lines that are not sent on */
};

/* Takes a server and a connection, and queues the request head. `user` comes back in every event.
 * 0; -ENOENT (no such upstream), -ENOBUFS (all exchanges are in use, or no memory: answer 503), and what forward_request() says:
 * -EINVAL (answer 400), -EBADMSG (400), -E2BIG (431). Anything later comes as an event. */
int proxy_begin(struct proxy *proxy, int upstream, const struct proxy_request *request, uint32_t user, uint32_t *ret_exchange);

/* Request content, or bytes of a tunnel, in order; copied. `last` (with or without bytes) ends it. Returns the bytes waiting to be taken by the server: above
 * window_bytes stop reading the client until PROXY_WRITABLE. -EMSGSIZE: more or less than the length announced; nothing was taken, abort.
 * -EPIPE: nothing more is taken; the exchange has ended, or its last event is due. -ENOBUFS: the same, for want of memory. */
int proxy_send(struct proxy *proxy, uint32_t exchange, const char *bytes, uint32_t count, int last);

/* Stops and restarts the response when the client's queue is full; content on its way still comes. */
void proxy_read_pause(struct proxy *proxy, uint32_t exchange);
void proxy_read_resume(struct proxy *proxy, uint32_t exchange);

/* Its further events are told to that user. */
void proxy_adopt(struct proxy *proxy, uint32_t exchange, uint32_t user);

/* The client has gone: the connection is dropped, no event of it follows. Does nothing to an exchange that has ended. */
void proxy_abort(struct proxy *proxy, uint32_t exchange);

/* Every net event whose role is ROLE_UPSTREAM. */
void proxy_on_net(struct proxy *proxy, const struct net_event *event);
/* The next event; 0: none. */
int proxy_event_next(struct proxy *proxy, struct proxy_event *ret_event);
