/* Answers: head and content, whole or as a stream, straight to the connection or to the request's own queue until it is its turn. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "gate/lend.h"

enum { DIRECT_MAX = 16320, COPY_MAX = 4096, PIPELINED_ROOM = 512, FRAMING_ROOM = 64 };

/* ---- where bytes go ---- */

static char *out_room(struct mg_worker *w, struct request *r, uint32_t bytes)
{
    if (w->in.conn == r->pub.conn && w->in.count - w->in.at > 32 && bytes < PIPELINED_ROOM)
        bytes = PIPELINED_ROOM; /* more requests are here: their answers shall lie in one block */
    if (request_is_first(w, r))
        return conn_out(w->net, r->pub.conn, bytes);
    return queue_out(w->net, &r->out, bytes);
}

static void out_commit(struct mg_worker *w, struct request *r, uint32_t bytes)
{
    if (request_is_first(w, r)) {
        conn_out_commit(w->net, r->pub.conn, bytes);
    } else {
        queue_commit(&r->out, bytes);
        w->clients[r->pub.conn].behind += bytes;
    }
    r->bytes_out += bytes;
}

/* Counts what was put behind the connection's output, or behind that of the request's own. Passes the error on. */
static int out_counted(struct mg_worker *w, struct request *r, bool first, uint32_t count, int error)
{
    if (error)
        return error;
    if (!first)
        w->clients[r->pub.conn].behind += count;
    r->bytes_out += count;
    return 0;
}

static int out_write(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count)
{
    bool first = request_is_first(w, r);
    int error = first ? conn_write(w->net, r->pub.conn, bytes, count) : queue_write(w->net, &r->out, bytes, count);
    return out_counted(w, r, first, count, error);
}

static int out_lend(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count, struct net_loan *loan)
{
    bool first = request_is_first(w, r);
    int error = first ? conn_lend(w->net, r->pub.conn, bytes, count, loan) : queue_lend(w->net, &r->out, bytes, count, loan);
    return out_counted(w, r, first, count, error);
}

uint32_t reply_waiting(const struct mg_worker *w, const struct request *r)
{
    if (r->pub.conn == NONE)
        return 0;
    return request_is_first(w, r) ? conn_queued(w->net, r->pub.conn) : r->out.bytes;
}

/* ---- fields ---- */

static bool names_equal(struct slice a, struct slice b)
{
    return a.bytes == b.bytes && strncasecmp(a.at, b.at, a.bytes) == 0;
}

/* Fields that only the gate may send: they frame the message or speak of the connection. */
static bool is_framing(enum http_field id)
{
    return id == FIELD_CONTENT_LENGTH || id == FIELD_TRANSFER_ENCODING || id == FIELD_CONNECTION || id == FIELD_KEEP_ALIVE ||
           id == FIELD_UPGRADE || id == FIELD_TRAILER || id == FIELD_TE || id == FIELD_PROXY_CONNECTION;
}

static void note_own(struct request *r, enum http_field id, bool present)
{
    if (id == FIELD_DATE)
        r->own_date = present;
    else if (id == FIELD_SERVER)
        r->own_server = present;
    else if (id == FIELD_CONTENT_TYPE)
        r->own_type = present;
}

static void field_remove(struct request *r, struct slice name)
{
    struct http_out_field **link = &r->fields;
    while (*link) {
        if (names_equal((*link)->name, name))
            *link = (*link)->next;
        else
            link = &(*link)->next;
    }
    r->fields_end = link;
    note_own(r, http_field_number(name.at, name.bytes), false);
}

int reply_field(struct request *r, struct slice name, struct slice value, enum mg_field_mode mode)
{
    if (r->pub.flags & (MG_REQ_BEGUN | MG_REQ_ENDED))
        return -EALREADY;
    if (mode == MG_FIELD_REMOVE) {
        field_remove(r, name);
        return 0;
    }
    enum http_field id = http_field_number(name.at, name.bytes);
    if (mode == MG_FIELD_DROP && is_framing(id))
        return 0; /* an upstream's is never passed on */
    if (!http_name_valid(name.at, name.bytes) || !http_value_valid(value.at, value.bytes) || is_framing(id))
        return -EINVAL;
    if (value.bytes > 32768)
        return -E2BIG;
    struct http_out_field *field = arena_get(&r->arena, (uint32_t)sizeof *field);
    char *name_copy = arena_copy(&r->arena, name.at, name.bytes);
    char *value_copy = arena_copy(&r->arena, value.at, value.bytes);
    if (!field || !name_copy || !value_copy)
        return -E2BIG;
    if (mode != MG_FIELD_ADD)
        field_remove(r, name);
    *field = (struct http_out_field){ NULL, { name_copy, name.bytes }, { value_copy, value.bytes }, (uint16_t)id, (uint8_t)mode };
    *r->fields_end = field;
    r->fields_end = &field->next;
    note_own(r, id, mode != MG_FIELD_DROP);
    r->drops |= mode == MG_FIELD_DROP;
    return 0;
}

const struct http_out_field *reply_field_find(const struct request *r, struct slice name, uint32_t index)
{
    for (const struct http_out_field *field = r->fields; field; field = field->next)
        if (field->mode != MG_FIELD_DROP && names_equal(field->name, name) && index-- == 0)
            return field;
    return NULL;
}

void reply_fields_clear(struct request *r)
{
    r->fields = NULL;
    r->fields_end = &r->fields;
    r->own_date = r->own_server = r->own_type = r->drops = false;
    r->own_status = 0;
    r->reason = (struct slice){ 0 };
}

/* 405 and automatic OPTIONS name the methods that the path has (RFC 9110 §10.2.1). */
static void add_allow(struct request *r)
{
    static const char *const names[] = {
#define X(id, text) text,
#include "http/methods.tbl.h"
#undef X
    };
    char text[512];
    uint32_t used = 0, allow = r->pub.match.allow | 1u << METHOD_OPTIONS;
    if (r->pub.match.allow == UINT32_MAX)
        allow = 1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_POST | 1u << METHOD_PUT | 1u << METHOD_DELETE | 1u << METHOD_PATCH |
                1u << METHOD_OPTIONS;
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
        if (allow & 1u << i)
            used += (uint32_t)snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "", names[i]);
    struct slice name = { "Allow", 5 };
    if (!reply_field_find(r, name, 0))
        reply_field(r, name, (struct slice){ text, used }, MG_FIELD_SET);
}

/* ---- heads ---- */

static struct slice content_type(const struct request *r, uint32_t content)
{
    static const struct slice types[] = {
        [MG_CONTENT_NONE] = { "", 0 },
        [MG_CONTENT_TEXT] = { "text/plain; charset=utf-8", 25 },
        [MG_CONTENT_HTML] = { "text/html; charset=utf-8", 24 },
        [MG_CONTENT_JSON] = { "application/json", 16 },
        [MG_CONTENT_BYTES] = { "application/octet-stream", 24 },
        [MG_CONTENT_EVENTS] = { "text/event-stream", 17 },
    };
    return r->own_type || content > MG_CONTENT_EVENTS ? types[MG_CONTENT_NONE] : types[content];
}

static bool has_no_content(uint32_t status)
{
    return status == 204 || status == 304;
}

/* Does the connection have to end with this answer? */
static void decide_close(struct mg_worker *w, struct request *r)
{
    if (w->draining && (r->next == NONE || !r->listed))
        r->close = true;
    if (!r->body.done && (r->expect || !content_fits_unread(w, r)))
        r->close = true;
}

/* Those that only kept an upstream's out are not sent. */
static void fields_settle(struct request *r)
{
    struct http_out_field **link = &r->fields;
    while (r->drops && *link) {
        if ((*link)->mode == MG_FIELD_DROP)
            *link = (*link)->next;
        else
            link = &(*link)->next;
    }
    if (r->drops)
        r->fields_end = link;
    r->drops = false;
}

static void prepare(struct mg_worker *w, struct request *r, uint32_t status, uint32_t content, struct http_reply *ret_reply)
{
    bool is_own = r->exchange == NONE; /* else the methods are the upstream's to name */
    if (is_own && (status == 405 || (status == 204 && r->pub.match.route == MG_ROUTE_METHOD && r->pub.head.method == METHOD_OPTIONS)))
        add_allow(r);
    fields_settle(r);
    decide_close(w, r);
    *ret_reply = (struct http_reply){
        .status = (uint16_t)status,
        .minor = r->pub.head.minor,
        .close = r->close,
        .own_date = r->own_date,
        .own_server = r->own_server,
        .content_type = content_type(r, content),
        .reason = r->reason,
        .fields = r->fields,
    };
}

/* Once "close" has been said nothing behind this request is run (RFC 9112 §9.6). */
static void begun(struct mg_worker *w, struct request *r, uint32_t status)
{
    r->pub.status = (uint16_t)status;
    r->pub.flags |= MG_REQ_BEGUN;
    w->stats->answered[status / 100]++;
    if (r->close && r->pub.conn != NONE && w->clients[r->pub.conn].last == r->pub.slot && w->clients[r->pub.conn].phase <= CLIENT_HEAD)
        w->clients[r->pub.conn].phase = CLIENT_LAST;
}

/* Heads are rendered in one block. Checked before anything is begun, so that another answer can be given; the framing is added later. */
static bool head_fits(const struct mg_worker *w, const struct http_reply *reply)
{
    return http_render_bound(reply, &w->common) + FRAMING_ROOM <= DIRECT_MAX;
}

static int write_head(struct mg_worker *w, struct request *r, const struct http_reply *reply)
{
    uint32_t bound = http_render_bound(reply, &w->common);
    if (bound > DIRECT_MAX)
        return -E2BIG;
    char *out = out_room(w, r, bound);
    if (!out)
        return -ENOBUFS;
    r->head_bytes_out = http_render_head(out, reply, &w->common);
    out_commit(w, r, r->head_bytes_out);
    return 0;
}

/* ---- the end of an answer ---- */

static void finish(struct mg_worker *w, struct request *r)
{
    r->state = REQUEST_ENDED;
    r->pub.flags |= MG_REQ_ENDED;
    side_answered(w, r);
    access_line(w, r);
    client_answered(w, r);
}

/* There is no memory to answer with: the connection ends, the client can tell. */
static void give_up(struct mg_worker *w, struct request *r)
{
    uint32_t conn = r->pub.conn;
    r->state = REQUEST_ENDED;
    r->pub.flags |= MG_REQ_ENDED;
    side_answered(w, r);
    worker_log(w, MG_LOG_ERROR, "limits.buffers: no memory for an answer; connection closed", 58);
    access_line(w, r);
    if (conn != NONE)
        client_lost(w, conn);
    else
        client_answered(w, r);
}

static int check_begin(const struct request *r, uint32_t status)
{
    if (status < 200 || status > 599)
        return -EINVAL;
    if (r->pub.flags & (MG_REQ_BEGUN | MG_REQ_ENDED))
        return -EALREADY;
    return 0;
}

int reply_whole(struct mg_worker *w, struct request *r, uint32_t status, uint32_t content, const char *body, uint32_t bytes)
{
    int error = check_begin(r, status);
    if (error)
        return error;
    if (r->pub.conn == NONE) { /* the client has gone: answered to nobody */
        begun(w, r, status);
        finish(w, r);
        return 0;
    }
    struct http_reply reply;
    bool bare = has_no_content(status);
    prepare(w, r, status, bare ? MG_CONTENT_NONE : content, &reply);
    if (!head_fits(w, &reply))
        return -E2BIG;
    reply.framing = bare ? FRAMING_NONE : FRAMING_LENGTH;
    reply.length = bytes;
    uint32_t bound = http_render_bound(&reply, &w->common), sent = bare || r->head_only ? 0 : bytes;
    if (bound + sent <= DIRECT_MAX) {
        char *out = out_room(w, r, bound + sent);
        if (out) {
            r->head_bytes_out = http_render_head(out, &reply, &w->common);
            memcpy(out + r->head_bytes_out, body, sent);
            out_commit(w, r, r->head_bytes_out + sent);
        } else {
            error = -ENOBUFS;
        }
    } else {
        error = write_head(w, r, &reply);
        if (!error && sent)
            error = out_write(w, r, body, sent);
    }
    begun(w, r, status);
    if (error)
        give_up(w, r);
    else
        finish(w, r);
    return error;
}

int reply_ready(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines, const char *body, uint32_t bytes, struct net_loan *loan)
{
    int error = check_begin(r, status);
    if (error)
        return error;
    if (r->pub.conn == NONE) {
        begun(w, r, status);
        finish(w, r);
        return 0;
    }
    decide_close(w, r);
    const struct http_reply reply = { .status = (uint16_t)status, .minor = r->pub.head.minor, .close = r->close, .ready = lines };
    uint32_t bound = http_render_bound(&reply, &w->common), sent = has_no_content(status) || r->head_only ? 0 : bytes;
    uint32_t copied = sent <= COPY_MAX ? sent : 0;
    char *out = out_room(w, r, bound + copied);
    if (out) {
        r->head_bytes_out = http_render_head(out, &reply, &w->common);
        if (copied)
            memcpy(out + r->head_bytes_out, body, copied);
        out_commit(w, r, r->head_bytes_out + copied);
        error = sent > copied ? out_lend(w, r, body, sent, loan) : 0;
    } else {
        error = -ENOBUFS;
    }
    begun(w, r, status);
    if (error)
        give_up(w, r);
    else
        finish(w, r);
    return error;
}

/* An answer of the gate's own: what is wrong, in words. */
void reply_refuse(struct mg_worker *w, struct request *r, uint32_t status, const char *reason)
{
    char text[256];
    struct slice phrase = http_status_phrase((uint16_t)status);
    int bytes = snprintf(text, sizeof text, "%u %.*s: %s\n", status, (int)phrase.bytes, phrase.at, reason);
    r->close = true;
    w->stats->refused++;
    if (r->pub.conn != NONE) {
        w->clients[r->pub.conn].linger = true;
        w->clients[r->pub.conn].phase = CLIENT_LAST;
    }
    reply_whole(w, r, status, MG_CONTENT_TEXT, text, (uint32_t)bytes < sizeof text ? (uint32_t)bytes : (uint32_t)sizeof text - 1);
}

/* ---- heads of 1xx ---- */

/* A head as it stands: status line, lines, an empty one. It counts neither as the answer nor as its content. */
static int write_1xx(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines)
{
    char line[64];
    struct slice phrase = http_status_phrase((uint16_t)status);
    uint32_t bytes = (uint32_t)snprintf(line, sizeof line, "HTTP/1.1 %u %.*s\r\n", status, (int)phrase.bytes, phrase.at);
    uint32_t whole = bytes + lines.bytes + 2;
    char *out = whole <= DIRECT_MAX ? out_room(w, r, whole) : NULL;
    if (!out)
        return whole <= DIRECT_MAX ? -ENOBUFS : -E2BIG;
    memcpy(out, line, bytes);
    memcpy(out + bytes, lines.at, lines.bytes);
    memcpy(out + whole - 2, "\r\n", 2);
    out_commit(w, r, whole);
    r->bytes_out -= whole;
    return 0;
}

void reply_interim(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines)
{
    if (r->pub.conn != NONE && r->state == REQUEST_RUNNING && r->pub.head.minor == 1)
        write_1xx(w, r, status, lines); /* one that does not fit is left out: the client can do without */
}

int reply_switch(struct mg_worker *w, struct request *r, struct slice lines)
{
    if (r->pub.conn == NONE || r->state != REQUEST_RUNNING || !request_is_first(w, r) || r->next != NONE)
        return -EPIPE;
    int error = write_1xx(w, r, 101, lines);
    if (error)
        return error;
    r->state = REQUEST_STREAMING;
    r->framing = FRAMING_CLOSE;
    r->close = true;
    begun(w, r, 101);
    return 0;
}

/* ---- streams ---- */

static int begin(struct mg_worker *w, struct request *r, uint32_t status, uint32_t content, double length, struct slice ready, bool unframed)
{
    int error = check_begin(r, status);
    if (error)
        return error;
    r->state = REQUEST_STREAMING;
    if (r->pub.conn == NONE) {
        begun(w, r, status);
        return 0;
    }
    struct http_reply reply;
    prepare(w, r, status, content, &reply);
    reply.ready = ready;
    reply.unframed = unframed;
    if (!head_fits(w, &reply)) {
        r->state = REQUEST_RUNNING;
        return -E2BIG;
    }
    if (has_no_content(status) || length == LENGTH_UNSAID)
        r->framing = FRAMING_NONE;
    else if (length >= 0)
        r->framing = FRAMING_LENGTH;
    else if (r->pub.head.minor == 1)
        r->framing = FRAMING_CHUNKED;
    else
        r->framing = FRAMING_CLOSE;
    if (r->framing == FRAMING_NONE)
        r->head_only = true;
    if (r->framing == FRAMING_CLOSE)
        r->close = true;
    reply.close = r->close;
    reply.framing = r->framing;
    reply.length = (int64_t)length;
    r->length_left = length;
    error = write_head(w, r, &reply);
    begun(w, r, status);
    if (error)
        give_up(w, r);
    return error;
}

int reply_begin(struct mg_worker *w, struct request *r, uint32_t status, uint32_t content, double length)
{
    return begin(w, r, status, content, length, (struct slice){ NULL, 0 }, false);
}

int reply_begin_ready(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines, double length)
{
    return begin(w, r, status, MG_CONTENT_NONE, length, lines, false);
}

int reply_begin_with(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines, bool own_date, bool own_server, double length)
{
    r->own_date |= own_date;
    r->own_server |= own_server;
    return begin(w, r, status, MG_CONTENT_NONE, length, lines, true);
}

static int write_chunk(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count)
{
    char head[16];
    int head_bytes = snprintf(head, sizeof head, "%x\r\n", count);
    uint32_t whole = (uint32_t)head_bytes + count + 2;
    if (whole <= DIRECT_MAX) {
        char *out = out_room(w, r, whole);
        if (!out)
            return -ENOBUFS;
        memcpy(out, head, (size_t)head_bytes);
        memcpy(out + head_bytes, bytes, count);
        memcpy(out + head_bytes + count, "\r\n", 2);
        out_commit(w, r, whole);
        return 0;
    }
    int error = out_write(w, r, head, (uint32_t)head_bytes);
    if (!error)
        error = out_write(w, r, bytes, count);
    return error ? error : out_write(w, r, "\r\n", 2);
}

/* 1: nothing is to be written; 0; or why not. */
static int check_write(struct request *r, uint32_t count)
{
    if (r->state != REQUEST_STREAMING || r->pub.conn == NONE)
        return -EPIPE;
    if (r->framing == FRAMING_LENGTH) {
        if (count > r->length_left)
            return -EMSGSIZE;
        r->length_left -= count;
    }
    return count == 0 || r->head_only;
}

int reply_lend(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count, struct net_loan *loan)
{
    int error = check_write(r, count);
    must(r->framing != FRAMING_CHUNKED);
    if (error == 0 && (error = out_lend(w, r, bytes, count, loan)))
        give_up(w, r);
    return error < 0 ? error : (int)reply_waiting(w, r);
}

int reply_write(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count)
{
    int error = check_write(r, count);
    if (error)
        return error < 0 ? error : (int)reply_waiting(w, r);
    error = r->framing == FRAMING_CHUNKED ? write_chunk(w, r, bytes, count) : out_write(w, r, bytes, count);
    if (error) { /* part of a chunk may be out: the answer cannot be mended */
        give_up(w, r);
        return error;
    }
    return (int)reply_waiting(w, r);
}

/* 1: at most `mark` bytes wait now; 0: `token` will be woken; -EPIPE. */
int reply_wait(struct mg_worker *w, struct request *r, uint32_t mark, double token)
{
    if (r->pub.conn == NONE)
        return -EPIPE;
    if (request_is_first(w, r) && conn_queued(w->net, r->pub.conn) <= mark)
        return 1;
    r->drain_token = token; /* a later request of the connection is told when its turn has come */
    r->drain_mark = mark;
    if (request_is_first(w, r))
        client_update_drain(w, r->pub.conn);
    return 0;
}

static bool end_chunks(struct mg_worker *w, struct request *r)
{
    if (r->trailers.bytes == 0)
        return out_write(w, r, "0\r\n\r\n", 5) == 0;
    return out_write(w, r, "0\r\n", 3) == 0 && out_write(w, r, r->trailers.at, r->trailers.bytes) == 0 && out_write(w, r, "\r\n", 2) == 0;
}

int reply_end(struct mg_worker *w, struct request *r, bool abort)
{
    if (r->state != REQUEST_STREAMING)
        return -EALREADY;
    if (r->pub.conn == NONE) {
        finish(w, r);
        return 0;
    }
    bool whole = !abort && !(r->framing == FRAMING_LENGTH && r->length_left > 0 && !r->head_only);
    if (whole && r->framing == FRAMING_CHUNKED && !r->head_only)
        whole = end_chunks(w, r);
    if (!whole) {
        r->close = true; /* cut short: with chunked or a length the client can tell */
        w->clients[r->pub.conn].phase = CLIENT_LAST;
        if (r->framing == FRAMING_CLOSE && r->pub.status != 101)
            conn_reset_at_close(w->net, r->pub.conn); /* and so it can with neither */
    }
    finish(w, r);
    return 0;
}
