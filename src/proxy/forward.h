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
    struct slice client;   /* address of the peer without port, for X-Forwarded-For; bytes 0: unknown */
    struct slice scheme;   /* "http" or "https", for X-Forwarded-Proto */
    struct slice id;       /* X-Request-Id unless the client sent one; bytes 0: none */
    struct slice key;      /* what the server is chosen by, of an upstream with a function for it; bytes 0: none */
    struct slice server;   /* the label or address of the server that is wanted; bytes 0: any */
    struct slice edits;    /* fields that are set or not sent on (edit.h) */
    int32_t terms;         /* handle of proxy_terms_open(); 0: nothing was said */
    uint8_t body_kind;     /* BODY_NONE, BODY_LENGTH or BODY_CHUNKED */
    uint8_t trusted;       /* what the peer says of the client is passed on, with the peer behind it; else it is taken away */
    uint8_t trailers;      /* the client takes the trailers of the response: TE says so to the upstream */
    uint8_t interims;      /* PROXY_INTERIM is wanted */
    uint8_t upgrades;      /* the protocol may be changed, as far as the terms let it */
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

int forward_is_hop_by_hop(enum http_field id);

/* Trailers that are not sent on: those that frame, route or describe the message, or say who may have it (RFC 9110 §6.5.1). */
void forward_trailer_skip(const struct http_head *head, const char *base, struct forward_set *ret_skip);

struct terms;

/* By which way a request goes. */
struct forward_way {
    const struct terms *terms;
    struct slice host;  /* of the upstream: for a request that names none, and for HOST_UPSTREAM */
    uint64_t chance[5]; /* random, for what it is known by */
};

/* The protocol that the client wants to change to and the terms let pass: its one token, or bytes 0. */
struct slice forward_upgrade(const struct proxy_request *request, const struct terms *terms);

/* The same for any case of the same text, and never 0. */
uint32_t forward_token_hash(struct slice token);

/* Writes the request head: HTTP/1.1, Host, end-to-end fields, what a gateway adds (gateway.h), Connection with what it names (TE, Upgrade),
 * exactly one framing field if there is content. Expect is not passed on.
 * Returns the length, or -EINVAL (a target with bytes that it must not have, CONNECT), -EBADMSG (Connection names a field that must
 * not be lost on the way, such as Cookie or X-Forwarded-For: answer 400), -E2BIG (longer than `room`). */
int32_t forward_request(const struct proxy_request *request, const struct forward_way *way, char *out, uint32_t room);
