/* Files as answers: what the cache has, as the request's conditions, ranges and codings say. An entry that is not here yet is waited for
 * without Lua. file_send.c sends it. */
#include <errno.h>
#include <string.h>

#include "base/must.h"
#include "gate/file_job.h"
#include "http/url.h"

enum { WAITS_MAX = 16 };

/* ---- what is held ---- */

struct held job_end(struct mg_worker *w, struct request *r)
{
    struct file_job *job = r->file;
    struct held held = { { job->main, job->content, NULL } };
    r->file = NULL;
    if (job->wait.state == 3) {
        held.entry[2] = job->wait.entry;
        job->wait.state = 0;
    }
    file_cache_leave(w->side->cache, &job->wait);
    return held;
}

void held_release(struct mg_worker *w, const struct held *held)
{
    for (int i = 0; i < 3; i++)
        if (held->entry[i])
            file_entry_unref(w->side->cache, held->entry[i]);
}

void job_drop(struct mg_worker *w, struct request *r)
{
    if (!r->file)
        return;
    const struct held held = job_end(w, r);
    held_release(w, &held);
}

/* ---- which file, and which of its representations ---- */

/* The first of these that there is (`make`: or that can be made): 1; 0: it is waited for; -ENOENT: none. */
static int choose_coded(struct mg_worker *w, struct request *r, const struct file_liking *liked, uint32_t count, int make, const struct file_form **ret_form)
{
    struct file_job *job = r->file;
    int found = -ENOENT;
    for (uint32_t i = 0; i < count && found == -ENOENT; i++)
        found = file_cache_coded(w->side->cache, job->main, (enum file_coding)liked[i].coding, make, &job->wait, ret_form);
    return found;
}

/* The best that the client likes and that there is: 1; 0: it is waited for. Of those that he likes equally, one that was made beforehand. */
static int choose_form(struct mg_worker *w, struct request *r, const struct file_form **ret_form)
{
    struct file_job *job = r->file;
    struct file_liking liked[FILE_CODINGS];
    uint32_t count = file_entry_varies(job->main) && job->waits <= WAITS_MAX ? file_codings_liked(&r->pub.head, r->pub.bytes, liked) : 0;
    for (uint32_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && liked[to].weight == liked[from].weight;)
            to++;
        int found = choose_coded(w, r, liked + from, to - from, 0, ret_form);
        if (found == -ENOENT)
            found = choose_coded(w, r, liked + from, to - from, 1, ret_form);
        if (found != -ENOENT)
            return found;
    }
    *ret_form = file_entry_form(job->main);
    return 1;
}

static int send_file(struct mg_worker *w, struct request *r)
{
    struct file_job *job = r->file;
    const struct file_form *form;
    int chosen = choose_form(w, r, &form);
    if (chosen == 0)
        return 1;
    if (job->type.bytes && !r->own_type)
        reply_field(r, (struct slice){ "Content-Type", 12 }, job->type, MG_FIELD_SET);
    /* what a script sends with a status of its own, or for another method, is sent whole: the conditions are about the resource, not the file */
    if (job->status != 0 || (r->pub.head.method != METHOD_GET && r->pub.head.method != METHOD_HEAD))
        return send_whole(w, r, form, job->status ? job->status : 200, true);
    return send_judged(w, r, form);
}

/* A folder is asked for without its slash. */
static int send_to_folder(struct mg_worker *w, struct request *r)
{
    const struct http_head *head = &r->pub.head;
    bool query = head->flags & HEAD_HAS_QUERY && head->query.bytes > 0;
    char *to = arena_get(&r->arena, r->pub.path_bytes + head->query.bytes + 2);
    if (!to)
        return -ENOBUFS;
    uint32_t bytes = r->pub.path_bytes;
    memcpy(to, r->pub.path, bytes);
    to[bytes++] = '/';
    if (query) {
        to[bytes++] = '?';
        memcpy(to + bytes, r->pub.bytes + head->query.at, head->query.bytes);
        bytes += head->query.bytes;
    }
    int error = reply_field(r, (struct slice){ "Location", 8 }, (struct slice){ to, bytes }, MG_FIELD_SET);
    if (error)
        return error;
    job_drop(w, r);
    return reply_whole(w, r, 301, MG_CONTENT_NONE, "", 0);
}

/* "?sort=n", "s" or "t", capitals for the reverse; by name otherwise. */
static char order_of(const struct request *r)
{
    const struct http_span query = r->pub.head.query;
    const char *text = r->pub.bytes + query.at;
    bool said = r->pub.head.flags & HEAD_HAS_QUERY && query.bytes == 6 && memcmp(text, "sort=", 5) == 0 && strchr("nNsStT", text[5]);
    return said ? text[5] : 'n';
}

/* Looks elsewhere for what to send. */
static void turn_to(struct mg_worker *w, struct request *r, struct slice path, char order)
{
    struct file_job *job = r->file;
    file_entry_unref(w->side->cache, job->main);
    job->main = NULL;
    job->path = path;
    job->order = order;
}

/* Nothing is there: 1 when there is something to send in its stead. */
static bool stray(struct mg_worker *w, struct request *r, int error)
{
    struct file_job *job = r->file;
    if (error != -ENOENT || job->strayed || job->status != 0 || !job->is_folder)
        return false;
    const struct file_options *options = file_folder_options(w->side->cache, job->folder);
    if (!options || (options->fallback.bytes == 0 && options->missing.bytes == 0))
        return false;
    struct slice path = options->fallback.bytes ? options->fallback : options->missing;
    char *copy = arena_copy(&r->arena, path.at, path.bytes); /* a reload may close the folder while this is waited for */
    if (!copy)
        return false;
    job->strayed = true;
    job->status = options->fallback.bytes ? 0 : 404;
    turn_to(w, r, (struct slice){ copy, path.bytes }, 0);
    return true;
}

/* 0: answered, or sent from here on; 1: waits; or -errno: nothing was begun. */
static int serve(struct mg_worker *w, struct request *r)
{
    struct file_job *job = r->file;
    for (;;) {
        if (!job->main) {
            struct file_entry *entry;
            int found = file_cache_get(w->side->cache, job->folder, job->path, job->order, &job->wait, &entry);
            if (found <= 0)
                return found == 0 ? 1 : found;
            job->main = entry;
            file_entry_ref(entry);
        }
        switch (file_entry_kind(job->main)) {
        case FILE_LISTABLE:
            turn_to(w, r, job->path, order_of(r));
            break;
        case FILE_DIRECTORY:
            return job->is_folder && !job->strayed ? send_to_folder(w, r) : -ENOENT;
        case FILE_FAILED:
            if (!stray(w, r, file_entry_error(job->main)))
                return job->strayed && job->status == 404 ? -ENOENT : file_entry_error(job->main);
            break;
        default:
            return send_file(w, r);
        }
    }
}

/* It will take a while: everything that was lent moves to memory of the request's own. */
static int wait_for_file(struct mg_worker *w, struct request *r)
{
    struct file_job *job = r->file;
    bool is_own = job->strayed;
    char *path = is_own ? NULL : arena_copy(&r->arena, job->path.at, job->path.bytes);
    char *type = job->type.bytes ? arena_copy(&r->arena, job->type.at, job->type.bytes) : NULL;
    if ((!is_own && !path) || (job->type.bytes && !type) || request_park(w, r) < 0)
        return -ENOBUFS;
    if (!is_own)
        job->path.at = path;
    job->type.at = type;
    return 0;
}

static int start(struct mg_worker *w, struct request *r, const struct file_job *what)
{
    struct file_job *job = arena_get(&r->arena, sizeof *job);
    if (!job)
        return -ENOBUFS;
    *job = *what;
    job->wait.owner = r->pub.slot;
    r->file = job;
    int result = serve(w, r);
    if (result == 1)
        result = wait_for_file(w, r);
    if (result < 0)
        job_drop(w, r);
    return result;
}

/* Those whose files have come. True: there was one. */
bool side_file_step(struct mg_worker *w)
{
    struct file_wait *wait = file_cache_next(w->side->cache);
    if (!wait)
        return false;
    struct request *r = request_at(w, wait->owner);
    must(r && r->file && &r->file->wait == wait);
    r->file->waits++;
    int result = serve(w, r);
    if (result >= 0)
        return true;
    job_drop(w, r);
    side_file_failed(w, r, result);
    return true;
}

void side_file_failed(struct mg_worker *w, struct request *r, int error)
{
    if (r->state != REQUEST_RUNNING)
        return;
    if (error == -ENOENT || error == -EACCES) {
        worker_fail(w, r, error == -ENOENT ? 404 : 403, error == -ENOENT ? "no such file" : NULL);
        return;
    }
    bool is_short = error == -ENOMEM || error == -ENOBUFS || error == -EMFILE || error == -ENFILE || error == -EAGAIN;
    worker_logf(w, MG_LOG_ERROR, "file %.*s: %s", (int)r->pub.path_bytes, r->pub.path, strerror(-error));
    worker_fail(w, r, is_short ? 503 : 500, NULL);
}

/* The client has gone, or Lua answers in its place. */
void side_file_abandon(struct mg_worker *w, struct request *r)
{
    job_drop(w, r);
}

int side_reply_file(struct mg_worker *w, struct request *r, int folder, struct slice path, uint16_t status, struct slice type)
{
    const struct file_job job = { .folder = folder, .status = status, .path = path, .type = type };
    return start(w, r, &job);
}

/* An escaped slash in a name would be a second way to the same file, past the filters of the first. */
static bool has_escaped_slash(struct slice text)
{
    const char *end = text.at + text.bytes;
    for (const char *at = text.at; (at = memchr(at, '%', (size_t)(end - at))); at++)
        if (end - at >= 3 && at[1] == '2' && (at[2] | 0x20) == 'f')
            return true;
    return false;
}

int side_reply_folder(struct mg_worker *w, struct request *r, int folder)
{
    const struct route_match *match = &r->pub.match;
    if (match->capture_count == 0)
        return -ENOENT;
    const struct route_capture *last = &match->captures[match->capture_count - 1];
    struct slice path = { r->pub.path + last->at, last->bytes };
    if (memchr(path.at, '%', path.bytes)) {
        char *decoded = arena_get(&r->arena, path.bytes);
        if (has_escaped_slash(path) || !decoded)
            return decoded ? -ENOENT : -ENOBUFS;
        path = (struct slice){ decoded, http_percent_decode(path.at, path.bytes, 0, decoded) };
    }
    const struct file_job job = { .folder = folder, .is_folder = true, .path = path };
    return start(w, r, &job);
}
