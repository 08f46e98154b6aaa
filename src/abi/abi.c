/* The border: each function checks what Lua gave and hands it on. No logic lives here. */
#include "abi/moongate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi/memory.h"
#include "base/must.h"
#include "gate/fetch.h"
#include "gate/gate.h"
#include "gate/overdue.h"
#include "gate/trial.h"
#include "http/inflate.h"
#include "http/url.h"
#include "proxy/address.h"
#include "proxy/edit.h"

#define EXPORT __attribute__((visibility("default")))

static const double LENGTH_MOST = 0x1p53; /* the last whole number of Lua's that has all before it */

/* NULL: it is answered, or an upstream or a file answers it: Lua has no say in it any more. */
static struct request *running(struct mg_worker *w, uint32_t slot)
{
    struct request *r = request_at(w, slot);
    return r && r->state != REQUEST_ENDED && !request_is_below(r) ? r : NULL;
}

/* NULL also when its answer has begun. */
static struct request *unanswered(struct mg_worker *w, uint32_t slot)
{
    struct request *r = running(w, slot);
    return r && r->state == REQUEST_RUNNING ? r : NULL;
}

/* ---- the loop ---- */

EXPORT int32_t mg_next(struct mg_worker *w)
{
    int32_t slot = worker_next(w);
    w->border.current = slot >= 0 ? slot : -1;
    if (slot >= 0)
        w->border.route = w->requests[slot].pub.match.route;
    return slot;
}

EXPORT struct mg_border *mg_border(struct mg_worker *w)
{
    return &w->border;
}

EXPORT struct mg_request *mg_request(struct mg_worker *w, uint32_t slot)
{
    must(slot < w->request_room);
    return &w->requests[slot].pub;
}

EXPORT struct mg_settings *mg_settings(struct mg_worker *w)
{
    return &w->settings;
}

EXPORT struct mg_stats *mg_stats(struct mg_worker *w)
{
    return w->stats;
}

EXPORT const struct mg_setting_info *mg_setting(uint32_t index)
{
    enum { BYTES = MG_SETTING_BYTES, MS = MG_SETTING_MS, COUNT = MG_SETTING_COUNT };
    static const struct mg_setting_info rows[] = {
#define X(field, key, kind, initial, least, most, prose) { #field, key, prose, kind, initial, least, most },
#include "gate/settings.tbl.h"
#undef X
    };
    return index < sizeof rows / sizeof *rows ? &rows[index] : NULL;
}

EXPORT int32_t mg_open(struct mg_worker *w, const char *engine)
{
    memory_adapt(w);
    return worker_open(w, engine);
}

EXPORT int32_t mg_serve(struct mg_worker *w)
{
    return worker_serve(w);
}

EXPORT int32_t mg_server_field(struct mg_worker *w, const char *text, uint32_t bytes)
{
    return http_common_init(&w->common, text, bytes);
}

EXPORT int32_t mg_trust(struct mg_worker *w, const char *lines, uint32_t bytes)
{
    return trust_read(&w->trust, (struct slice){ lines, bytes });
}

EXPORT int32_t mg_trust_check(const char *lines, uint32_t bytes)
{
    struct trust trust;
    return trust_read(&trust, (struct slice){ lines, bytes });
}

EXPORT void mg_log_format(struct mg_worker *w, int32_t json, int32_t level)
{
    w->access_json = json;
    w->log_level = level;
}

EXPORT void mg_end(struct mg_worker *w, const char *message, uint32_t bytes)
{
    worker_end(w, message, bytes);
}

EXPORT int32_t mg_park(struct mg_worker *w, uint32_t slot)
{
    struct request *r = request_at(w, slot);
    if (!r)
        return 0;
    overdue_watch(w);
    return request_park(w, r);
}

EXPORT double mg_now(struct mg_worker *w)
{
    return net_now_ms(w->net);
}

EXPORT double mg_unix_time(struct mg_worker *w)
{
    return net_unix_time(w->net);
}

/* ---- answers ---- */

EXPORT int32_t mg_reply(struct mg_worker *w, uint32_t slot, uint32_t status, uint32_t content, const char *body, uint32_t bytes)
{
    struct request *r = running(w, slot);
    return r ? reply_whole(w, r, status, content, body, bytes) : -EALREADY;
}

EXPORT int32_t mg_stream_begin(struct mg_worker *w, uint32_t slot, uint32_t status, uint32_t content, double length)
{
    struct request *r = running(w, slot);
    if (length < 0)
        length = LENGTH_UNKNOWN;
    else if (!(length <= LENGTH_MOST) || length != (double)(int64_t)length)
        return -EINVAL;
    return r ? reply_begin(w, r, status, content, length) : -EALREADY;
}

EXPORT int32_t mg_stream_write(struct mg_worker *w, uint32_t slot, const char *bytes, uint32_t count)
{
    struct request *r = running(w, slot);
    return r ? reply_write(w, r, bytes, count) : -EPIPE;
}

EXPORT int32_t mg_stream_wait(struct mg_worker *w, uint32_t slot, uint32_t mark, double token)
{
    struct request *r = running(w, slot);
    return r ? reply_wait(w, r, mark, token) : -EPIPE;
}

EXPORT int32_t mg_stream_end(struct mg_worker *w, uint32_t slot, int32_t abort)
{
    struct request *r = running(w, slot);
    return r ? reply_end(w, r, abort) : -EALREADY;
}

EXPORT int32_t mg_field_set(struct mg_worker *w, uint32_t slot, const char *name, uint32_t name_bytes, const char *value, uint32_t value_bytes, uint32_t mode)
{
    struct request *r = running(w, slot);
    return r ? reply_field(r, (struct slice){ name, name_bytes }, (struct slice){ value, value_bytes }, mode) : -EALREADY;
}

EXPORT int32_t mg_field_get(struct mg_worker *w, uint32_t slot, const char *name, uint32_t name_bytes, uint32_t index)
{
    struct request *r = request_at(w, slot);
    const struct http_out_field *field = r ? reply_field_find(r, (struct slice){ name, name_bytes }, index) : NULL;
    if (!field)
        return 0;
    w->border.text = field->value.at;
    w->border.text_bytes = field->value.bytes;
    return 1;
}

EXPORT void mg_fields_clear(struct mg_worker *w, uint32_t slot)
{
    struct request *r = running(w, slot);
    if (r && !(r->pub.flags & MG_REQ_BEGUN))
        reply_fields_clear(r);
}

EXPORT int32_t mg_header(struct mg_worker *w, uint32_t slot, const char *name, uint32_t name_bytes, uint32_t index)
{
    struct request *r = request_at(w, slot);
    int at = -1;
    if (!r)
        return 0;
    enum http_field id = http_field_number(name, name_bytes);
    do {
        at = id != FIELD_OTHER ? http_head_find(&r->pub.head, id, at + 1)
                               : http_head_find_name(&r->pub.head, r->pub.bytes, name, name_bytes, at + 1);
        if (at < 0)
            return 0;
    } while (index-- > 0);
    const struct http_field_line *line = &r->pub.head.fields[at];
    w->border.text = r->pub.bytes + line->value.at;
    w->border.text_bytes = line->value.bytes;
    return 1;
}

EXPORT int32_t mg_reason(struct mg_worker *w, uint32_t slot, const char *text, uint32_t bytes)
{
    struct request *r = running(w, slot);
    if (!r || bytes > 128 || !http_value_valid(text, bytes))
        return -EINVAL;
    const char *copy = arena_copy(&r->arena, text, bytes);
    if (!copy)
        return -EINVAL;
    r->reason = (struct slice){ copy, bytes };
    return 0;
}

EXPORT int32_t mg_hold(struct mg_worker *w, uint32_t slot, double token)
{
    struct request *r = request_at(w, slot);
    return r ? request_hold(w, r, token) : -EALREADY;
}

EXPORT void mg_release(struct mg_worker *w, uint32_t slot)
{
    struct request *r = request_at(w, slot);
    if (!r || !r->hold)
        return;
    r->hold = false;
    if (r->state != REQUEST_ENDED || r->told) /* else its connection still has it: until its last byte is out */
        request_put(w, r);
}

EXPORT void mg_watch_gone(struct mg_worker *w, uint32_t slot, double token)
{
    struct request *r = running(w, slot);
    if (!r)
        return;
    r->gone_token = token;
    if (token != 0 && (r->pub.conn == NONE || w->clients[r->pub.conn].ended)) {
        r->gone_token = 0;
        worker_wake(w, token, 0);
    }
}

/* ---- request content ---- */

EXPORT int32_t mg_body_read(struct mg_worker *w, uint32_t slot, double token)
{
    struct request *r = running(w, slot);
    return r ? content_read(w, r, token) : -EPIPE;
}

EXPORT int32_t mg_body_limit(struct mg_worker *w, uint32_t slot, double bytes)
{
    struct request *r = running(w, slot);
    return r ? content_limit(r, bytes) : 0;
}

EXPORT double mg_body_length(struct mg_worker *w, uint32_t slot)
{
    struct request *r = running(w, slot);
    if (!r || r->body.kind == BODY_NONE)
        return 0;
    return r->body.kind == BODY_LENGTH ? (double)r->pub.head.content_length : -1;
}

/* ---- answers made in C ---- */

EXPORT int32_t mg_folder_open(struct mg_worker *w, const char *folder, uint32_t bytes, const char *options, uint32_t options_bytes)
{
    return side_folder_open(w, (struct slice){ folder, bytes }, (struct slice){ options, options_bytes });
}

EXPORT void mg_folder_close(struct mg_worker *w, int32_t folder)
{
    side_folder_close(w, folder);
}

EXPORT int32_t mg_reply_folder(struct mg_worker *w, uint32_t slot, int32_t folder)
{
    struct request *r = unanswered(w, slot);
    return r ? side_reply_folder(w, r, folder) : -EALREADY;
}

EXPORT int32_t mg_reply_file(struct mg_worker *w, uint32_t slot, int32_t folder, const char *path, uint32_t bytes, uint32_t status,
                             const char *content_type, uint32_t content_type_bytes)
{
    struct request *r = unanswered(w, slot);
    struct slice type = { content_type, content_type_bytes };
    if (status != 0 && (status < 200 || status > 599))
        return -EINVAL;
    return r ? side_reply_file(w, r, folder, (struct slice){ path, bytes }, (uint16_t)status, type) : -EALREADY;
}

EXPORT int32_t mg_terms_open(struct mg_worker *w, const char *lines, uint32_t bytes)
{
    return side_terms_open(w, (struct slice){ lines, bytes });
}

EXPORT void mg_terms_close(struct mg_worker *w, int32_t terms)
{
    side_terms_close(w, terms);
}

EXPORT int32_t mg_reply_proxy(struct mg_worker *w, uint32_t slot, int32_t upstream, int32_t terms, const char *target, uint32_t bytes,
                              const char *content, uint32_t content_bytes)
{
    struct request *r = unanswered(w, slot);
    return r ? side_reply_proxy(w, r, upstream, terms, (struct slice){ target, bytes }, (struct slice){ content, content_bytes }) : -EALREADY;
}

EXPORT int32_t mg_edits_check(const char *edits, uint32_t bytes)
{
    return edits_check((struct slice){ edits, bytes });
}

EXPORT int32_t mg_forward_to(struct mg_worker *w, uint32_t slot, const char *server, uint32_t server_bytes, const char *key, uint32_t key_bytes,
                             const char *edits, uint32_t edits_bytes)
{
    struct request *r = unanswered(w, slot);
    if (!r)
        return -EALREADY;
    return side_want(r, (struct slice){ server, server_bytes }, (struct slice){ key, key_bytes }, (struct slice){ edits, edits_bytes });
}

EXPORT void mg_own_status(struct mg_worker *w, uint32_t slot, uint32_t status)
{
    struct request *r = unanswered(w, slot);
    if (r)
        r->own_status = status >= 200 && status <= 599 ? (uint16_t)status : 0;
}

/* ---- fetches ---- */

EXPORT int32_t mg_fetch_begin(struct mg_worker *w, int32_t upstream, int32_t terms, const char *head, uint32_t bytes, double length, uint32_t slot)
{
    struct request *r = slot != NONE ? request_at(w, slot) : NULL;
    if (!w->side)
        return -ENOTCONN;
    if (length < FETCH_NO_CONTENT || !(length <= LENGTH_MOST))
        return -EINVAL;
    return fetch_begin(w, upstream, terms, (struct slice){ head, bytes }, length, r && r->state != REQUEST_ENDED ? slot : NONE);
}

EXPORT int32_t mg_fetch_forward(struct mg_worker *w, uint32_t slot, int32_t upstream, int32_t terms, const char *target, uint32_t bytes,
                                const char *content, uint32_t content_bytes)
{
    struct request *r = unanswered(w, slot);
    if (!r)
        return -EALREADY;
    return fetch_forward(w, r, upstream, terms, (struct slice){ target, bytes }, (struct slice){ content, content_bytes });
}

EXPORT int32_t mg_fetch_head(struct mg_worker *w, int32_t fetch, double token)
{
    struct fetch *f = fetch_at(w, fetch);
    return f ? fetch_head(w, f, token) : -EBADF;
}

EXPORT int32_t mg_fetch_text(struct mg_worker *w, int32_t fetch)
{
    struct fetch *f = fetch_at(w, fetch);
    w->border.text = f ? f->head.at : "";
    w->border.text_bytes = f ? f->head.bytes : 0;
    return f ? f->state == FETCH_WHOLE : -EBADF;
}

EXPORT int32_t mg_fetch_read(struct mg_worker *w, int32_t fetch, double token)
{
    struct fetch *f = fetch_at(w, fetch);
    return f ? fetch_read(w, f, token) : -EBADF;
}

EXPORT int32_t mg_fetch_write(struct mg_worker *w, int32_t fetch, const char *bytes, uint32_t count, int32_t last)
{
    struct fetch *f = fetch_at(w, fetch);
    return f ? fetch_write(w, f, bytes, count, last) : -EPIPE;
}

EXPORT int32_t mg_fetch_wait(struct mg_worker *w, int32_t fetch, double token)
{
    struct fetch *f = fetch_at(w, fetch);
    return f ? fetch_wait(w, f, token) : -EPIPE;
}

EXPORT void mg_fetch_close(struct mg_worker *w, int32_t fetch)
{
    struct fetch *f = fetch_at(w, fetch);
    if (f)
        fetch_close(w, f);
}

EXPORT int32_t mg_fetch_fields(struct mg_worker *w, uint32_t slot, const char *head, uint32_t bytes)
{
    struct request *r = unanswered(w, slot);
    return r ? fetch_copy_fields(w, r, (struct slice){ head, bytes }) : -EALREADY;
}

EXPORT int32_t mg_fetch_reply(struct mg_worker *w, uint32_t slot, int32_t fetch, uint32_t status)
{
    struct request *r = unanswered(w, slot);
    struct fetch *f = fetch_at(w, fetch);
    return r && f ? fetch_reply(w, r, f, status) : -EBADF;
}

/* ---- routes ---- */

EXPORT struct route_builder *mg_routes_new(void)
{
    return route_builder_new();
}

EXPORT void mg_routes_free(struct route_builder *b)
{
    route_builder_free(b);
}

EXPORT int32_t mg_host_known(const char *host, uint32_t bytes, uint32_t wait_ms, char *ret_message, uint32_t message_bytes)
{
    return address_is_known(host, bytes, wait_ms, ret_message, message_bytes);
}

EXPORT int32_t mg_pattern_check(const char *pattern, uint32_t bytes, char *ret_message, uint32_t message_bytes)
{
    return route_pattern_check(pattern, bytes, ret_message, message_bytes);
}

EXPORT int32_t mg_routes_add(struct route_builder *b, const char *host, uint32_t host_bytes, const char *pattern, uint32_t bytes, double methods,
                             int32_t number, char *ret_message, uint32_t message_bytes, int32_t *ret_other)
{
    return route_add(b, host, host_bytes, pattern, bytes, (uint32_t)methods, number, ret_message, message_bytes, ret_other);
}

EXPORT int32_t mg_trial_begin(struct mg_worker *w, const char *head, uint32_t bytes)
{
    return trial_begin(w, head, bytes);
}

EXPORT void mg_trial_end(struct mg_worker *w, uint32_t slot)
{
    trial_end(w, slot);
}

EXPORT int32_t mg_rematch(struct mg_worker *w, uint32_t slot, uint32_t skip)
{
    struct request *r = running(w, slot);
    if (!r)
        return MG_ROUTE_NOT_FOUND;
    request_route(r, skip);
    return r->pub.match.route;
}

EXPORT struct route_program *mg_program_new(const struct route_builder *b)
{
    return route_compile(b);
}

EXPORT void mg_program_free(struct route_program *p)
{
    route_program_free(p);
}

EXPORT void mg_program_match(const struct route_program *p, const char *host, uint32_t host_bytes, uint32_t method, const char *path,
                             uint32_t path_bytes, uint32_t skip, struct route_match *ret_match)
{
    route_match(p, host, host_bytes, method, path, path_bytes, skip, ret_match);
}

EXPORT int32_t mg_path_normalise(const char *path, uint32_t bytes, char *ret)
{
    return http_path_normalise(path, bytes, ret);
}

EXPORT uint32_t mg_percent_decode(const char *text, uint32_t bytes, int32_t plus, char *ret)
{
    return http_percent_decode(text, bytes, plus, ret);
}

/* ---- time, logs, other ---- */

EXPORT int32_t mg_timer(struct mg_worker *w, double ms, double token)
{
    return net_timer_start(w->net, ms, USER_LUA, token);
}

EXPORT void mg_timer_cancel(struct mg_worker *w, int32_t timer)
{
    net_timer_stop(w->net, timer);
}

EXPORT void mg_log(struct mg_worker *w, uint32_t level, const char *text, uint32_t bytes)
{
    worker_log(w, level <= MG_LOG_ERROR ? level : MG_LOG_ERROR, text, bytes);
}

EXPORT int32_t mg_remote(struct mg_worker *w, uint32_t slot, int32_t port, char *ret, uint32_t bytes)
{
    struct request *r = request_at(w, slot);
    return r ? request_remote(w, r, port, ret, bytes) : 0;
}

EXPORT int32_t mg_file_open(const char *path, int32_t mode)
{
    int fd = open(path, mode ? O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0666);
    return fd < 0 ? -errno : fd;
}

EXPORT int32_t mg_file_write(struct mg_worker *w, int32_t fd, const char *bytes, uint32_t count, double offset, double token)
{
    return net_write(w->net, fd, bytes, count, (uint64_t)offset, USER_LUA, token);
}

EXPORT int32_t mg_file_close(int32_t fd)
{
    return close(fd) < 0 ? -errno : 0;
}

EXPORT struct inflater *mg_inflater_new(int32_t kind)
{
    return inflater_new(kind);
}

EXPORT int32_t mg_inflater_step(struct inflater *z, const char *in, uint32_t in_bytes, uint32_t *ret_used, char *out, uint32_t out_bytes, int32_t *ret_done)
{
    return inflater_step(z, in, in_bytes, ret_used, out, out_bytes, ret_done);
}

EXPORT void mg_inflater_free(struct inflater *z)
{
    inflater_free(z);
}

EXPORT int32_t mg_phrase(uint32_t status, char *ret, uint32_t bytes)
{
    struct slice phrase = http_status_phrase((uint16_t)status);
    uint32_t count = phrase.bytes < bytes ? phrase.bytes : bytes;
    memcpy(ret, phrase.at, count);
    return (int32_t)count;
}

EXPORT void mg_random(char *ret, uint32_t bytes)
{
    while (bytes > 0) {
        ssize_t n = getrandom(ret, bytes, 0);
        if (n <= 0)
            continue;
        ret += n;
        bytes -= (uint32_t)n;
    }
}
