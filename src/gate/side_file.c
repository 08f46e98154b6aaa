/* Files as answers: what the cache has, as the request's conditions, ranges and codings say. An entry that is not here yet is waited for
 * without Lua; what is too large for memory is read and sent piece by piece, as fast as the client takes it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/must.h"
#include "gate/lend.h"
#include "gate/side.h"
#include "http/url.h"

enum { WAITS_MAX = 16, PART_HEAD_BYTES = 512, BOUNDARY_BYTES = 24 };

/* A stretch of a file, and the bytes that stand before it. */
struct part {
    struct slice head;
    struct file_range range;
};

/* What a request that waits for a file, or is sent one in pieces, has to remember. In its arena. */
struct file_job {
    struct file_wait wait;
    struct file_entry *main, *content; /* held: what was found at the path; whose bytes are sent */
    int folder, waits;
    uint16_t status;                   /* 0: as conditions and ranges say */
    char order;                        /* of a listing */
    bool strayed;                      /* it is the fallback, or the page that goes with 404 */
    bool is_folder;                    /* a route of a folder; else one named file */
    struct slice path, type;
    struct part *parts;                /* still to be read and sent */
    uint32_t part_count, part_at;
    struct slice tail;
};

/* ---- sending from a descriptor ---- */

/* What a job held, once the job is over: an answer that ends may end its request, and the job's memory with it. */
struct held {
    struct file_entry *entry[3];
};

static struct held job_end(struct mg_worker *w, struct request *r)
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

static void held_release(struct mg_worker *w, const struct held *held)
{
    for (int i = 0; i < 3; i++)
        if (held->entry[i])
            file_entry_unref(w->side->cache, held->entry[i]);
}

static void job_drop(struct mg_worker *w, struct request *r)
{
    if (!r->file)
        return;
    const struct held held = job_end(w, r);
    held_release(w, &held);
}

static void sending_ends(struct mg_worker *w, struct request *r, bool abort)
{
    uint32_t stream = r->stream;
    r->stream = NONE;
    if (stream != NONE)
        file_stream_end(w->side->files, stream);
    job_drop(w, r);
    reply_end(w, r, abort);
}

/* Begins to read the next part. 0; 1: there is none; or -errno. */
static int part_begin(struct mg_worker *w, struct request *r, int fd)
{
    struct file_job *job = r->file;
    if (job->part_at == job->part_count)
        return 1;
    const struct part *part = &job->parts[job->part_at++];
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    int error = file_stream_begin(w->side->files, copy, part->range.first, part->range.last - part->range.first + 1, r->pub.slot, &r->stream);
    if (error) {
        close(copy);
        r->stream = NONE;
        return error;
    }
    if (part->head.bytes)
        reply_write(w, r, part->head.at, part->head.bytes);
    return 0;
}

/* A piece is here. Before the last one goes out, the file must still be the one whose size and tag were said. */
static int piece_write(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count)
{
    bool last = r->length_left <= count + r->file->tail.bytes;
    if (last && file_entry_is_torn(r->file->content)) {
        worker_logf(w, MG_LOG_WARN, "file %.*s: it was changed while it was being sent; the answer is cut short", (int)r->file->path.bytes,
                    r->file->path.at);
        return -ESTALE;
    }
    return reply_write(w, r, bytes, count);
}

/* After the last byte of a part. */
static void part_done(struct mg_worker *w, struct request *r)
{
    uint32_t stream = r->stream;
    r->stream = NONE;
    file_stream_end(w->side->files, stream);
    int error = part_begin(w, r, file_entry_fd(r->file->content));
    if (error == 1 && r->file->tail.bytes)
        reply_write(w, r, r->file->tail.at, r->file->tail.bytes);
    if (error != 0 && r->file)
        sending_ends(w, r, error < 0);
}

/* Sends on what has been read; stops when the client has enough for now. */
static void pump(struct mg_worker *w, struct request *r)
{
    const char *bytes;
    uint32_t count;
    while (r->stream != NONE && !r->paused) {
        int more = file_stream_next(w->side->files, r->stream, &bytes, &count);
        if (more == 0)
            return;
        if (more == -ENODATA) {
            part_done(w, r);
            continue;
        }
        int waiting = more == 1 ? piece_write(w, r, bytes, count) : more;
        if (r->stream == NONE) /* the connection was given up */
            return;
        if (waiting < 0) {
            if (more < 0)
                worker_logf(w, MG_LOG_ERROR, "file %.*s: reading stopped in the middle of an answer: %s", (int)r->file->path.bytes,
                            r->file->path.at, strerror(-more));
            sending_ends(w, r, true);
            return;
        }
        file_stream_taken(w->side->files, r->stream);
        r->paused = waiting > (int)w->settings.window_bytes;
        if (r->paused && request_is_first(w, r))
            client_update_drain(w, r->pub.conn);
    }
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

void side_on_stream(struct mg_worker *w, const struct net_event *event)
{
    uint32_t slot;
    if (!file_stream_on_net(w->side->files, event, &slot))
        return;
    struct request *r = request_at(w, slot);
    if (r && r->stream != NONE)
        pump(w, r);
}

/* ---- heads ---- */

/* Lines as fields of the request, where a script has set some: those win. */
static int lines_to_fields(struct request *r, struct slice lines)
{
    for (const char *at = lines.at, *end = at + lines.bytes; at < end;) {
        const char *colon = memchr(at, ':', (size_t)(end - at)), *stop = memchr(at, '\r', (size_t)(end - at));
        struct slice name = { at, (uint32_t)(colon - at) }, value = { colon + 2, (uint32_t)(stop - colon - 2) };
        at = stop + 2;
        if (http_field_number(name.at, name.bytes) == FIELD_CONTENT_LENGTH || reply_field_find(r, name, 0))
            continue;
        int error = reply_field(r, name, value, MG_FIELD_SET);
        if (error)
            return error;
    }
    return 0;
}

static bool has_own_fields(const struct request *r)
{
    return r->fields || r->reason.bytes;
}

static int begin(struct mg_worker *w, struct request *r, uint16_t status, struct slice lines, uint64_t length)
{
    if (!has_own_fields(r))
        return reply_begin_ready(w, r, status, lines, (double)length);
    int error = lines_to_fields(r, lines);
    return error ? error : reply_begin(w, r, status, MG_CONTENT_NONE, (double)length);
}

/* The lines of an answer with a part of the content: `type`, what `format` says, and those that any answer has. */
static int lines_around(struct request *r, const struct file_form *form, struct slice type, const char *middle, struct slice *ret_lines)
{
    size_t middle_bytes = strlen(middle);
    char *text = arena_get(&r->arena, type.bytes + (uint32_t)middle_bytes + form->other_bytes);
    if (!text)
        return -ENOBUFS;
    memcpy(text, type.at, type.bytes);
    memcpy(text + type.bytes, middle, middle_bytes);
    memcpy(text + type.bytes + middle_bytes, form->lines + form->type_bytes + form->length_bytes, form->other_bytes);
    *ret_lines = (struct slice){ text, type.bytes + (uint32_t)middle_bytes + form->other_bytes };
    return 0;
}

/* ---- content ---- */

/* Sends the parts of a job: from memory at once, or from its descriptor. */
static int send_parts(struct mg_worker *w, struct request *r, const struct file_form *form, uint16_t status, struct slice lines, uint64_t length)
{
    struct file_job *job = r->file;
    int error = form->loan || request_park(w, r) == 0 ? begin(w, r, status, lines, length) : -ENOBUFS;
    if (error)
        return error;
    if (!form->loan && !r->head_only) {
        file_entry_ref(form->content);
        job->content = form->content;
        error = part_begin(w, r, form->fd);
        if (error < 0) {
            worker_logf(w, MG_LOG_ERROR, "file %.*s: it cannot be read: %s", (int)job->path.bytes, job->path.at, strerror(-error));
            sending_ends(w, r, true);
        }
        return 0;
    }
    while (r->state == REQUEST_STREAMING && job->part_at < job->part_count && !r->head_only) {
        const struct part *part = &job->parts[job->part_at++];
        if (reply_write(w, r, part->head.at, part->head.bytes) >= 0)
            reply_lend(w, r, form->bytes + part->range.first, (uint32_t)(part->range.last - part->range.first + 1), form->loan);
    }
    if (r->state == REQUEST_STREAMING) /* else the connection was given up */
        reply_write(w, r, job->tail.at, job->tail.bytes);
    if (r->state == REQUEST_STREAMING)
        sending_ends(w, r, false);
    return 0;
}

static int one_part(struct request *r, struct file_range range)
{
    struct file_job *job = r->file;
    job->parts = arena_get(&r->arena, sizeof *job->parts);
    if (!job->parts)
        return -ENOBUFS;
    *job->parts = (struct part){ .range = range };
    job->part_count = 1;
    return 0;
}

/* The boundary must not occur in the content: nobody can have put it there. */
static void boundary_make(char ret[BOUNDARY_BYTES])
{
    static uint64_t secret, count;
    if (secret == 0)
        (void)!getrandom(&secret, sizeof secret, GRND_NONBLOCK);
    snprintf(ret, BOUNDARY_BYTES, "%016llx", (unsigned long long)((secret ^ ++count) * 0x9fb21c651e98df25u));
}

/* multipart/byteranges (RFC 9110 §14.6). */
static int send_ranges(struct mg_worker *w, struct request *r, const struct file_form *form, const struct file_verdict *verdict)
{
    struct file_job *job = r->file;
    char boundary[BOUNDARY_BYTES], type[128], middle[48], *heads = arena_get(&r->arena, FILE_RANGES_MAX * PART_HEAD_BYTES);
    struct slice lines;
    uint64_t length = 0;
    uint32_t used = 0;
    job->parts = arena_get(&r->arena, verdict->range_count * (uint32_t)sizeof *job->parts);
    if (!heads || !job->parts || form->type_bytes > PART_HEAD_BYTES / 2)
        return -ENOBUFS;
    boundary_make(boundary);
    for (uint16_t i = 0; i < verdict->range_count; i++) {
        const struct file_range *range = &verdict->ranges[i];
        int bytes = snprintf(heads + used, PART_HEAD_BYTES, "\r\n--%s\r\n%.*sContent-Range: bytes %llu-%llu/%llu\r\n\r\n", boundary, (int)form->type_bytes,
                             form->lines, (unsigned long long)range->first, (unsigned long long)range->last, (unsigned long long)form->version.size);
        job->parts[i] = (struct part){ { heads + used, (uint32_t)bytes }, *range };
        used += (uint32_t)bytes;
        length += (uint64_t)bytes + range->last - range->first + 1;
    }
    job->part_count = verdict->range_count;
    int tail = snprintf(heads + used, PART_HEAD_BYTES, "\r\n--%s--\r\n", boundary);
    job->tail = (struct slice){ heads + used, (uint32_t)tail };
    length += (uint64_t)tail;
    int type_bytes = snprintf(type, sizeof type, "Content-Type: multipart/byteranges; boundary=%s\r\n", boundary);
    snprintf(middle, sizeof middle, "Content-Length: %llu\r\n", (unsigned long long)length);
    int error = lines_around(r, form, (struct slice){ type, (uint32_t)type_bytes }, middle, &lines);
    return error ? error : send_parts(w, r, form, 206, lines, length);
}

static int send_range(struct mg_worker *w, struct request *r, const struct file_form *form, struct file_range range)
{
    char middle[160];
    struct slice lines;
    uint64_t length = range.last - range.first + 1;
    snprintf(middle, sizeof middle, "Content-Range: bytes %llu-%llu/%llu\r\nContent-Length: %llu\r\n", (unsigned long long)range.first,
             (unsigned long long)range.last, (unsigned long long)form->version.size, (unsigned long long)length);
    int error = lines_around(r, form, (struct slice){ form->lines, form->type_bytes }, middle, &lines);
    if (error)
        return error;
    if (form->loan && !has_own_fields(r)) {
        const struct held held = job_end(w, r);
        error = reply_ready(w, r, 206, lines, form->bytes + range.first, (uint32_t)length, form->loan);
        held_release(w, &held);
        return error;
    }
    error = one_part(r, range);
    return error ? error : send_parts(w, r, form, 206, lines, length);
}

/* `own`: it is not the resource itself, so it has no validators. */
static int send_whole(struct mg_worker *w, struct request *r, const struct file_form *form, uint16_t status, bool own)
{
    struct slice lines = { form->lines, form->type_bytes + form->length_bytes + (own ? 0 : form->other_bytes) };
    uint64_t size = form->version.size;
    if ((form->loan || size == 0 || r->head_only) && !has_own_fields(r)) {
        const struct held held = job_end(w, r);
        int error = reply_ready(w, r, status, lines, form->bytes, form->loan ? (uint32_t)size : 0, form->loan);
        held_release(w, &held);
        return error;
    }
    int error = size > 0 ? one_part(r, (struct file_range){ 0, size - 1 }) : 0;
    return error ? error : send_parts(w, r, form, status, lines, size);
}

/* 304, 412 and 416: no content of the file. */
static int send_none(struct mg_worker *w, struct request *r, const struct file_form *form, uint16_t status)
{
    struct slice others = { form->lines + form->type_bytes + form->length_bytes, form->other_bytes }, phrase = http_status_phrase(status);
    char range[64];
    int error = 0;
    const struct held held = job_end(w, r);
    if (status == 304 && !has_own_fields(r)) {
        error = reply_ready(w, r, 304, others, NULL, 0, NULL);
    } else if ((error = lines_to_fields(r, others)) == 0) {
        int bytes = snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)form->version.size);
        if (status == 416)
            reply_field(r, (struct slice){ "Content-Range", 13 }, (struct slice){ range, (uint32_t)bytes }, MG_FIELD_SET);
        error = reply_whole(w, r, status, status == 304 ? MG_CONTENT_NONE : MG_CONTENT_TEXT, phrase.at, phrase.bytes);
    }
    held_release(w, &held);
    return error;
}

/* ---- which file, and which of its representations ---- */

/* The best that the client likes and that there is: 1; 0: it is waited for. */
static int choose_form(struct mg_worker *w, struct request *r, const struct file_form **ret_form)
{
    struct file_job *job = r->file;
    enum file_coding liked[FILE_CODINGS];
    *ret_form = file_entry_form(job->main);
    if (!file_entry_varies(job->main) || job->waits > WAITS_MAX)
        return 1;
    uint32_t count = file_codings_liked(&r->pub.head, r->pub.bytes, liked);
    for (uint32_t i = 0; i < count; i++) {
        const struct file_form *form;
        int found = file_cache_coded(w->side->cache, job->main, liked[i], &job->wait, &form);
        if (found == 0)
            return 0;
        if (found == 1) {
            *ret_form = form;
            return 1;
        }
    }
    return 1;
}

static int send_file(struct mg_worker *w, struct request *r)
{
    struct file_job *job = r->file;
    const struct file_form *form;
    struct file_verdict verdict;
    int chosen = choose_form(w, r, &form);
    if (chosen == 0)
        return 1;
    if (job->type.bytes && !r->own_type)
        reply_field(r, (struct slice){ "Content-Type", 12 }, job->type, MG_FIELD_SET);
    /* what a script sends with a status of its own, or for another method, is sent whole: the conditions are about the resource, not the file */
    if (job->status != 0 || (r->pub.head.method != METHOD_GET && r->pub.head.method != METHOD_HEAD))
        return send_whole(w, r, form, job->status ? job->status : 200, true);
    file_judge(&form->version, &r->pub.head, r->pub.bytes, net_unix_time(w->net), &verdict);
    if (verdict.status == 206 && verdict.range_count == 1)
        return send_range(w, r, form, verdict.ranges[0]);
    if (verdict.status == 206)
        return send_ranges(w, r, form, &verdict);
    return verdict.status == 200 ? send_whole(w, r, form, 200, false) : send_none(w, r, form, verdict.status);
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
