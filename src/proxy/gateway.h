/* What a gateway adds to a request that it passes on: who asked for it, by which way it came, and what it is known by. Comes in: the parsed
 * head, what the terms say, and whether the peer may speak for others. Goes out: field lines. Pure. */
#pragma once
#include "proxy/forward.h"
#include "proxy/terms.h"

struct out;

/* 1: the gateway writes this field itself, or the client must not be believed: it is not copied. */
int gateway_replaces(const struct proxy_request *request, const struct terms *terms, const struct http_field_line *field);
/* Via, X-Forwarded-For, -Proto and -Host, Forwarded (RFC 7239), X-Request-Id, traceparent. */
void gateway_put(struct out *out, const struct proxy_request *request, const struct forward_way *way);
