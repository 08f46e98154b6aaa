/* Small questions that are asked for every request. Part of gate.h. */
#pragma once

static inline uint32_t kept_bytes(const struct kept *kept)
{
    return kept ? kept->end - kept->begin : 0;
}

static inline uint32_t kept_count(const struct client *client)
{
    return kept_bytes(client->kept);
}

static inline bool request_is_first(const struct mg_worker *w, const struct request *r)
{
    return r->pub.conn != NONE && w->clients[r->pub.conn].first == r->pub.slot;
}

/* Answered by an upstream or a file, without Lua. */
static inline bool request_is_below(const struct request *r)
{
    return (r->exchange != NONE && r->fetch == NONE) || r->stream != NONE || r->file;
}

static inline bool request_is_free(const struct mg_worker *w)
{
    return w->request_running < w->request_most;
}

/* The other side of its connection, whoever it speaks for. */
static inline const struct peer *request_peer(const struct mg_worker *w, const struct request *r)
{
    return r->pub.conn == NONE ? &r->peer : &w->clients[r->pub.conn].peer;
}
