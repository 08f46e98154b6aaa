/* Files on their way to the client: from memory at once, or from a descriptor piece by piece, as fast as the client takes it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "gate/file_job.h"
#include "gate/lend.h"

enum { PART_HEAD_BYTES = 512, BOUNDARY_BYTES = 24 };

/* ---- sending from a descriptor ---- */

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
static int part_open(struct mg_worker *w, struct request *r, int fd)
{
    struct file_job *job = r->file;
    if (job->part_at == job->part_count)
        return 1;
    const struct part *part = &job->parts[job->part_at];
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    int error = file_stream_begin(w->side->files, copy, part->range.first, part->range.last - part->range.first + 1, r->pub.slot, &r->stream);
    if (error) {
        close(copy);
        r->stream = NONE;
        return error;
    }
    job->part_at++;
    return 0;
}

/* What stands before the part that was opened last. */
static void part_head(struct mg_worker *w, struct request *r)
{
    const struct part *part = &r->file->parts[r->file->part_at - 1];
    if (part->head.bytes)
        reply_write(w, r, part->head.at, part->head.bytes);
}

/* A piece is here. It goes out only when the file is still the one whose size and tag were said: then it has not been read of another. */
static int piece_send(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count, struct net_loan *loan)
{
    struct file_job *job = r->file;
    if (file_entry_is_torn(job->content)) {
        worker_logf(w, MG_LOG_WARN, "file %.*s: it was changed while it was being sent; the answer is cut short", (int)job->path.bytes, job->path.at);
        return -ESTALE;
    }
    int waiting = reply_lend(w, r, bytes, count, loan);
    if (waiting >= 0) {
        job->lent_end[0] = job->lent_end[1];
        job->lent_end[1] = r->bytes_out;
    }
    return waiting;
}

/* After the last byte of a part. */
static void part_done(struct mg_worker *w, struct request *r)
{
    uint32_t stream = r->stream;
    r->stream = NONE;
    file_stream_end(w->side->files, stream);
    int error = part_open(w, r, file_entry_fd(r->file->content));
    if (error == 0)
        part_head(w, r);
    else if (error == 1 && r->file->tail.bytes)
        reply_write(w, r, r->file->tail.at, r->file->tail.bytes);
    if (error != 0 && r->file)
        sending_ends(w, r, error < 0);
}

/* Until so many bytes are left in the connection's queue. */
static void pause_until(struct mg_worker *w, struct request *r, uint32_t mark)
{
    r->paused = true;
    r->pause_mark = mark;
    if (request_is_first(w, r))
        client_update_drain(w, r->pub.conn);
}

/* Sends on what has been read; stops when the client has enough for now. */
static void pump(struct mg_worker *w, struct request *r)
{
    const uint32_t most = (uint32_t)w->settings.window_bytes + 2 * FILE_PIECE_BYTES;
    const char *bytes;
    struct net_loan *loan;
    uint32_t count;
    while (r->stream != NONE && !r->paused) {
        int more = file_stream_next(w->side->files, r->stream, &bytes, &count, &loan);
        if (more == 0)
            return;
        if (more == -ENODATA) {
            part_done(w, r);
            continue;
        }
        if (more == -EAGAIN) { /* until the older of two buffers, or the one that there is, has been sent */
            double end = r->file->lent_end[file_stream_lent(w->side->files, r->stream) == 2 ? 0 : 1];
            pause_until(w, r, (uint32_t)(r->bytes_out - end));
            return;
        }
        int waiting = more == 1 ? piece_send(w, r, bytes, count, loan) : more;
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
        if ((uint32_t)waiting > most) /* many small parts */
            pause_until(w, r, most / 2);
    }
}

void side_file_drained(struct mg_worker *w, struct request *r)
{
    if (!r->paused)
        return;
    if (reply_waiting(w, r) > r->pause_mark) {
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

/* From its descriptor. */
static int send_read(struct mg_worker *w, struct request *r, const struct file_form *form, uint16_t status, struct slice lines, uint64_t length)
{
    struct file_job *job = r->file;
    int error = request_park(w, r) < 0 ? -ENOBUFS : part_open(w, r, form->fd);
    if (error == 0 && (error = begin(w, r, status, lines, length)) < 0) {
        uint32_t stream = r->stream;
        r->stream = NONE;
        if (stream != NONE) /* else the connection was given up */
            file_stream_end(w->side->files, stream);
    }
    if (error || r->stream == NONE)
        return error;
    file_entry_ref(form->content);
    job->content = form->content;
    part_head(w, r);
    return 0;
}

/* Sends the parts of a job: from memory at once, or from its descriptor. */
static int send_parts(struct mg_worker *w, struct request *r, const struct file_form *form, uint16_t status, struct slice lines, uint64_t length)
{
    struct file_job *job = r->file;
    if (!form->loan && !r->head_only)
        return send_read(w, r, form, status, lines, length);
    int error = begin(w, r, status, lines, length);
    if (error)
        return error;
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

int send_whole(struct mg_worker *w, struct request *r, const struct file_form *form, uint16_t status, bool own)
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

int send_judged(struct mg_worker *w, struct request *r, const struct file_form *form)
{
    struct file_verdict verdict;
    file_judge(&form->version, &r->pub.head, r->pub.bytes, net_unix_time(w->net), &verdict);
    if (verdict.status == 206 && verdict.range_count == 1)
        return send_range(w, r, form, verdict.ranges[0]);
    if (verdict.status == 206)
        return send_ranges(w, r, form, &verdict);
    return verdict.status == 200 ? send_whole(w, r, form, 200, false) : send_none(w, r, form, verdict.status);
}
