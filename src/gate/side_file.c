/* Files as answers: what the file room decides, with its pieces carried to the client as fast as the client takes them. */
#include <errno.h>
#include <unistd.h>

#include "file/serve.h"
#include "gate/side.h"

/* Sends on what has been read; stops when the client has enough for now. */
static void pump(struct mg_worker *w, struct request *r)
{
    const char *bytes;
    uint32_t count;
    int more = 1;
    while (r->stream != NONE && !r->paused && (more = file_stream_next(w->side->files, r->stream, &bytes, &count)) == 1) {
        int waiting = reply_write(w, r, bytes, count);
        if (r->stream == NONE) /* the connection was given up */
            return;
        file_stream_taken(w->side->files, r->stream);
        if (waiting > (int)w->settings.window_bytes) {
            r->paused = true;
            if (request_is_first(w, r))
                client_update_drain(w, r->pub.conn);
        }
    }
    if (r->stream == NONE || more >= 0)
        return;
    uint32_t stream = r->stream;
    r->stream = NONE;
    file_stream_end(w->side->files, stream);
    if (more != -ENODATA)
        worker_logf(w, MG_LOG_ERROR, "file: reading stopped in the middle of an answer: error %d", -more);
    reply_end(w, r, more != -ENODATA);
}

void side_file_drained(struct mg_worker *w, struct request *r)
{
    if (!r->paused)
        return;
    if (reply_waiting(w, r) > w->settings.window_bytes / 2) {
        client_update_drain(w, r->pub.conn);
        return;
    }
    r->paused = false;
    pump(w, r);
}

void side_on_file(struct mg_worker *w, const struct net_event *event)
{
    uint32_t slot;
    if (!file_stream_on_net(w->side->files, event, &slot))
        return;
    struct request *r = request_at(w, slot);
    if (r && r->stream != NONE)
        pump(w, r);
}

/* Fields that a script has set win. */
static void set_fields(struct request *r, const struct file_answer *answer, struct slice type)
{
    struct slice name = { "Content-Type", 12 };
    if (answer->type.bytes && !r->own_type)
        reply_field(r, name, type.bytes ? type : answer->type, MG_FIELD_SET);
    for (const struct http_out_field *field = answer->fields; field; field = field->next)
        if (!reply_field_find(r, field->name, 0))
            reply_field(r, field->name, field->value, MG_FIELD_SET);
}

/* A file that a script sends with a status of its own, or for another method, is sent whole: the request's conditions are about the
 * resource, which is not this file. */
static void decide(const struct mg_worker *w, const struct request *r, const struct file_entry *entry, uint16_t status, struct file_answer *answer)
{
    static const struct http_head plain = { .method = METHOD_GET };
    bool own = status != 0 || (r->pub.head.method != METHOD_GET && r->pub.head.method != METHOD_HEAD);
    file_decide(entry, own ? &plain : &r->pub.head, r->pub.bytes, net_unix_time(w->net), answer);
    if (own)
        answer->fields = NULL;
    if (status != 0)
        answer->status = status;
}

int side_reply_file(struct mg_worker *w, struct request *r, int root, struct slice path, uint16_t status, struct slice type)
{
    struct file_entry entry;
    struct file_answer answer;
    if (root < 0 || root >= ROOTS_MAX || w->side->roots[root] < 0)
        return -ENOENT;
    int error = file_open(w->side->roots[root], path.at, path.bytes, &entry);
    if (error)
        return error;
    decide(w, r, &entry, status, &answer);
    set_fields(r, &answer, type);
    if (status == 0 && (answer.status >= 400 || answer.status == 304)) {
        close(entry.fd);
        struct slice phrase = http_status_phrase(answer.status);
        return reply_whole(w, r, answer.status, answer.status == 304 ? MG_CONTENT_NONE : MG_CONTENT_TEXT, phrase.at, phrase.bytes);
    }
    bool whole = answer.length == 0 || r->head_only;
    if (!whole && (error = file_stream_begin(w->side->files, entry.fd, answer.offset, answer.length, r->pub.slot, &r->stream))) {
        close(entry.fd);
        r->stream = NONE;
        return error;
    }
    if (whole)
        close(entry.fd);
    request_park(w, r);
    error = reply_begin(w, r, answer.status, MG_CONTENT_NONE, (double)answer.length);
    if (error == -E2BIG && !whole) {
        uint32_t stream = r->stream;
        r->stream = NONE;
        file_stream_end(w->side->files, stream);
    }
    if (error == 0 && whole)
        reply_end(w, r, false);
    return error == -E2BIG ? error : 0;
}
