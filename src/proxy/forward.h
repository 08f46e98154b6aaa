/* What is passed on and what is not. Comes in: a parsed head. Goes out: the head of the request to the upstream, written anew, or
 * the set of response field lines that must not be sent on. Never copies a line from the wire; pure. */
#pragma once
#include "base/slice.h"
#include "http/body.h"

/* One request to forward; all memory is lent for the call. */
struct proxy_request {
    const struct http_head *head;
    const char *base;      /* what the offsets of `head` count from */
    struct slice target;   /* replaces path and query; bytes 0: the path below, with the client's query */
    struct slice path;     /* normalised, as it was routed; bytes 0: as received */
    struct slice client;   /* address without port, for X-Forwarded-For; bytes 0: unknown */
    struct slice scheme;   /* "http" or "https", for X-Forwarded-Proto */
    struct slice id;       /* X-Request-Id unless the client sent one; bytes 0: none */
    struct slice key;      /* what the server is chosen by, of an upstream with a function for it; bytes 0: none */
    struct slice server;   /* the label or address of the server that is wanted; bytes 0: any */
    struct slice edits;    /* fields that are set or not sent on (edit.h) */
    int32_t terms;         /* handle of proxy_terms_open(); 0: nothing was said */
    uint8_t body_kind;     /* BODY_NONE, BODY_LENGTH or BODY_CHUNKED */
    uint8_t own;           /* it is the gateway's own: nothing is added for one that is passed on (Via, X-Forwarded-…) */
    uint64_t length;       /* for BODY_LENGTH */
};

/* A set of field lines of one head, by index. */
struct forward_set {
    uint64_t bits[HTTP_FIELDS_MAX / 64];
};

int forward_set_has(const struct forward_set *set, uint32_t index);

/* Field lines of a response that are not sent on: hop-by-hop ones, those that Connection names (RFC 9110 §7.6.1), and
 * the framing fields, which whoever sends the response makes anew. */
void forward_response_skip(const struct http_head *head, const char *base, struct forward_set *ret_skip);

/* Writes the request head: HTTP/1.1, Host as received (`host` when there is none), end-to-end fields, Via, X-Forwarded-For (appended),
 * -Proto and -Host (set), exactly one framing field if there is content. Expect and Upgrade are not passed on.
 * Returns the length, or -EINVAL (a target with bytes that it must not have, CONNECT), -EBADMSG (Connection names a field that must
 * not be lost on the way, such as Cookie or X-Forwarded-For: answer 400), -E2BIG (longer than `room`). */
int32_t forward_request(const struct proxy_request *request, struct slice host, char *out, uint32_t room);
