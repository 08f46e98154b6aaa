/* Request content: decoded from kept input as it is asked for, with reading paused while a window of it waits. */
#include <errno.h>
#include <stddef.h>

#include "base/must.h"
#include "gate/gate.h"

enum { SECOND_MS = 1000 };

static const char continue_line[] = "HTTP/1.1 100 Continue\r\n\r\n";

struct request *content_owner(struct mg_worker *w, uint32_t conn)
{
    must(w->clients[conn].last != NONE);
    return &w->requests[w->clients[conn].last];
}

/* Is what is left little enough to be read and dropped? */
bool content_fits_unread(const struct mg_worker *w, const struct request *r)
{
    if (r->body_error)
        return false;
    if (r->body.kind == BODY_LENGTH)
        return (double)r->body.left <= w->settings.unread_bytes;
    return true; /* chunked: counted while it is dropped */
}

int32_t content_limit(struct request *r, double bytes)
{
    r->body_limit = bytes;
    if (r->body.kind == BODY_LENGTH && (double)(r->body.left + r->body.content) > bytes)
        return -413;
    return 0;
}

static void resume_reading(struct mg_worker *w, uint32_t conn)
{
    if (conn_is_paused(w->net, conn) && kept_count(&w->clients[conn]) < w->settings.window_bytes / 2)
        conn_resume(w->net, conn);
}

/* The last byte of the content has been used: what follows is the next request. */
static void content_ended(struct mg_worker *w, struct request *r)
{
    uint32_t conn = r->pub.conn;
    struct client *client = &w->clients[conn];
    client->phase = r->close ? CLIENT_LAST : CLIENT_IDLE;
    conn_deadline(w->net, conn, 0);
    if (client->phase == CLIENT_IDLE)
        client_make_ready(w, conn); /* also resumes reading */
}

static void use_up(struct mg_worker *w, struct request *r)
{
    if (r->pub.conn == NONE || r->body_used == 0)
        return;
    struct client *client = &w->clients[r->pub.conn];
    client->kept->begin += r->body_used;
    r->body_used = 0;
}

/* One step of decoding. > 0: content bytes, at *ret_content; 0: none yet; negative: a status. */
static int32_t decode(struct mg_worker *w, struct request *r, const char **ret_content)
{
    struct client *client = &w->clients[r->pub.conn];
    while (!r->body.done && kept_count(client) > r->body_used) {
        struct kept *kept = client->kept;
        const char *from = kept->bytes + kept->begin + r->body_used;
        uint32_t at, bytes;
        int64_t used = http_body_next(&r->body, from, kept->end - kept->begin - r->body_used, &at, &bytes);
        if (used < 0)
            return (int32_t)used;
        r->body_used += (uint32_t)used;
        if (bytes > 0) {
            *ret_content = from + at;
            return (int32_t)bytes;
        }
        if (used == 0)
            break;
    }
    return 0;
}

/* How long the client may take for the next piece. Beside the limit between two pieces there is one for all the time that it was waited for,
 * which grows with what has come: a client that drips must not hold a request for ever. 0: its time is over. */
static uint32_t patience_ms(const struct mg_worker *w, const struct request *r)
{
    double most = w->settings.body_ms, rate = w->settings.body_rate;
    double all = most + (rate > 0 ? SECOND_MS * (double)r->body.content / rate : 0) - r->body_waited_ms;
    if (rate > 0 && all < most)
        most = all;
    return most >= 1 ? (uint32_t)most : 0;
}

static void begin_waiting(struct mg_worker *w, struct request *r, uint32_t most_ms)
{
    r->body_since_ms = net_now_ms(w->net);
    conn_deadline(w->net, r->pub.conn, most_ms);
}

static void end_waiting(const struct mg_worker *w, struct request *r)
{
    if (r->body_since_ms > 0)
        r->body_waited_ms += net_now_ms(w->net) - r->body_since_ms;
    r->body_since_ms = 0;
}

/* The handler wants content that the client holds back (RFC 9110 §10.1.1). Not before the answers of earlier requests; and not behind the head
 * of its own answer, where the line would be taken for content: that head has told the client as much as the line would. */
static void send_continue(struct mg_worker *w, struct request *r)
{
    if (!r->expect || !request_is_first(w, r))
        return;
    r->expect = false;
    if (kept_count(&w->clients[r->pub.conn]) == 0 && !(r->pub.flags & MG_REQ_BEGUN))
        conn_write(w->net, r->pub.conn, continue_line, sizeof continue_line - 1);
}

void content_turn(struct mg_worker *w, struct request *r)
{
    if (!r->waiting || !r->expect || r->body.done || w->clients[r->pub.conn].phase != CLIENT_CONTENT)
        return;
    send_continue(w, r);
    begin_waiting(w, r, (uint32_t)w->settings.body_ms);
}

static int32_t fail(struct request *r, int32_t error)
{
    r->body_error = error;
    r->close = true;
    return error;
}

int32_t content_read(struct mg_worker *w, struct request *r, double token)
{
    r->body_token = 0;
    if (r->body_error)
        return r->body_error;
    if (r->pub.conn == NONE)
        return -EPIPE;
    use_up(w, r);
    struct client *client = &w->clients[r->pub.conn];
    if (r->body.done) {
        if (client->phase == CLIENT_CONTENT && client->last == r->pub.slot)
            content_ended(w, r);
        return 0;
    }
    if (client->phase != CLIENT_CONTENT)
        return -EPIPE;
    if (r->body.kind == BODY_LENGTH && (double)(r->body.left + r->body.content) > r->body_limit)
        return fail(r, -413);
    const char *content = NULL;
    int32_t bytes = decode(w, r, &content);
    if (bytes < 0)
        return fail(r, bytes);
    if ((double)r->body.content > r->body_limit)
        return fail(r, -413);
    if (bytes > 0) {
        r->expect = false;
        conn_deadline(w->net, r->pub.conn, 0); /* the reader has something to do: its time, not the client's */
        w->border.text = content;
        w->border.text_bytes = (uint32_t)bytes;
        return bytes;
    }
    use_up(w, r);
    if (r->body.done) {
        content_ended(w, r);
        return 0;
    }
    if (client->ended)
        return fail(r, -EPIPE);
    uint32_t most_ms = patience_ms(w, r);
    if (most_ms == 0)
        return fail(r, -408);
    r->waiting = true;
    send_continue(w, r);
    if (r->expect) /* a client that may not send yet is not slow */
        conn_deadline(w->net, r->pub.conn, 0);
    else
        begin_waiting(w, r, most_ms);
    resume_reading(w, r->pub.conn);
    r->body_token = token;
    return -EAGAIN;
}

void content_arrived(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    struct request *r = content_owner(w, conn);
    end_waiting(w, r);
    if (r->body_token != 0) {
        worker_wake(w, r->body_token, 0);
        r->body_token = 0;
    }
    if (r->exchange != NONE)
        side_content_arrived(w, r);
    if (client->open && client->phase == CLIENT_CONTENT && kept_count(client) >= w->settings.window_bytes)
        conn_pause(w->net, conn);
}

/* ---- content that its request did not read to the end ---- */

static void last_with_linger(struct mg_worker *w, struct client *client)
{
    client->phase = CLIENT_LAST;
    client->linger = true;
    kept_drop(w, &client->kept);
}

/* The answer is complete: content that it did not wait for is read and dropped when it is little, else the connection ends. */
void content_leave(struct mg_worker *w, struct request *r)
{
    uint32_t conn = r->pub.conn;
    struct client *client = &w->clients[conn];
    use_up(w, r);
    if (r->body.done) {
        content_ended(w, r);
    } else if (r->close || r->body_error || client->ended) {
        r->close = true;
        last_with_linger(w, client);
    } else {
        client->phase = CLIENT_UNREAD;
        client->unread = r->pub.slot;
        r->unread = true;
        r->body_limit = (double)r->body.content + w->settings.unread_bytes;
        conn_deadline(w->net, conn, (uint32_t)w->settings.body_ms);
        client_make_ready(w, conn);
    }
}

/* The slot was kept for its framing state only. */
void content_forget(struct mg_worker *w, struct client *client)
{
    if (client->unread == NONE)
        return;
    struct request *r = &w->requests[client->unread];
    client->unread = NONE;
    r->unread = false;
    request_put(w, r);
}

/* Too much of it, or it does not come: the answers go out, then the connection ends. */
void content_give_up(struct mg_worker *w, struct client *client)
{
    content_forget(w, client);
    last_with_linger(w, client);
}

void content_drop(struct mg_worker *w, uint32_t conn)
{
    struct client *client = &w->clients[conn];
    struct http_body *body = &w->requests[client->unread].body;
    double most = w->requests[client->unread].body_limit;
    int64_t used = 1;
    while (!body->done && used > 0 && kept_count(client) > 0) {
        struct kept *kept = client->kept;
        uint32_t at, bytes;
        used = http_body_next(body, kept->bytes + kept->begin, kept_count(client), &at, &bytes);
        if (used > 0)
            kept->begin += (uint32_t)used;
    }
    if (body->done) {
        content_forget(w, client);
        client->phase = CLIENT_IDLE;
        if (conn_is_paused(w->net, conn))
            conn_resume(w->net, conn);
    } else if (used < 0 || (double)body->content > most || client->ended) {
        content_give_up(w, client);
    } else {
        resume_reading(w, conn);
    }
}
