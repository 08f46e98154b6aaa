/* The border between C and Lua: one text, compiled here and read by the only ffi.cdef (lua/moongate/abi.lua).
 *
 * Lua calls C; C never calls Lua. Scalars and (pointer, length) only. A request crosses as the number of its slot.
 * Memory lent to Lua is valid until the request is answered or its task waits. Errors are negated errno values, or negated
 * HTTP statuses where a function says so. Strings passed in are copied when they must live on. A `token` names a waiting
 * task: it comes back in the event that ends the wait. */
#pragma once
#include "base/slice.h"
#include "gate/settings.h"
#include "gate/stats.h"
#include "http/message.h"
#include "route/route.h"

struct mg_worker;

/* ---- what Lua reads directly ---- */

/* Route numbers that are not the user's. */
enum { MG_ROUTE_NOT_FOUND = 0, MG_ROUTE_METHOD = 1, MG_ROUTE_FIRST = 2 };

enum mg_request_flag {
    MG_REQ_GONE = 1 << 0,    /* the client has left */
    MG_REQ_BEGUN = 1 << 1,   /* the response head is queued */
    MG_REQ_ENDED = 1 << 2,   /* the answer is complete; nothing more can be written */
    MG_REQ_HAS_BODY = 1 << 3, /* there is content, or may be (chunked) */
    MG_REQ_TLS = 1 << 4,
};

struct mg_request {
    uint32_t slot;
    uint32_t generation;  /* of the slot: changes with every request that uses it */
    uint32_t conn;
    int32_t route;        /* MG_ROUTE_… or the user's */
    uint32_t allow;       /* methods that the path has, when route is MG_ROUTE_METHOD */
    uint16_t flags;       /* enum mg_request_flag */
    uint16_t status;      /* of the answer, once begun */
    double started_ms;    /* monotonic */
    const char *bytes;    /* what the offsets in `head` count from */
    const char *path;     /* normalised; what `captures` count from */
    uint32_t path_bytes;
    uint32_t capture_count;
    struct route_capture captures[ROUTE_CAPTURES_MAX];
    struct http_head head;
};

enum mg_event_kind {
    MG_EVENT_WAKE = 1, /* token, result: a wait has ended */
    MG_EVENT_FAIL,     /* slot, result: this request must be answered with that HTTP status (reason: text) */
    MG_EVENT_CONTROL,  /* result: enum mg_control; argument */
};

enum mg_control { MG_CONTROL_DRAIN = 1, MG_CONTROL_STOP, MG_CONTROL_RELOAD, MG_CONTROL_REOPEN };

/* One per worker: results of the last call, read by Lua without another call. */
struct mg_border {
    int32_t current;      /* slot of the request that Lua is running; -1: none. Lua writes it when it resumes a task */
    int32_t event;        /* enum mg_event_kind, after mg_next() gave -1 */
    uint32_t slot;
    int32_t result;
    double token;
    double argument;
    const char *text;     /* reason or found value; lent until the next call */
    uint32_t text_bytes;
    uint32_t worker;      /* number of this worker, from 0 */
    uint32_t first;       /* 1: this worker runs the once-per-instance start hooks */
    uint32_t debug;
};

enum mg_content { MG_CONTENT_NONE, MG_CONTENT_TEXT, MG_CONTENT_HTML, MG_CONTENT_JSON, MG_CONTENT_BYTES, MG_CONTENT_EVENTS };

enum mg_field_mode { MG_FIELD_SET, MG_FIELD_ADD, MG_FIELD_REMOVE };

enum mg_log_level { MG_LOG_DEBUG, MG_LOG_INFO, MG_LOG_WARN, MG_LOG_ERROR };

/* ---- the loop ---- */

/* The next request for Lua: its slot, ≥ 0; or -1 when border->event says what happened; or -2: the worker has ended. Sleeps when nothing is due. */
int32_t mg_next(struct mg_worker *w);
struct mg_border *mg_border(struct mg_worker *w);
struct mg_request *mg_request(struct mg_worker *w, uint32_t slot);
struct mg_settings *mg_settings(struct mg_worker *w);
struct mg_stats *mg_stats(struct mg_worker *w);
/* The `index`-th row of the settings table, NULL past the end. Needs no worker. */
const struct mg_setting_info *mg_setting(uint32_t index);
/* The settings are final and start hooks have run: accept. 0 or -errno. */
int32_t mg_serve(struct mg_worker *w);
/* `message` bytes 0: all stop hooks have run, end. Otherwise the worker could not start: the master prints it. */
void mg_end(struct mg_worker *w, const char *message, uint32_t bytes);
/* This request's task is about to wait: what it was lent is moved to memory of its own. */
void mg_park(struct mg_worker *w, uint32_t slot);
double mg_now(struct mg_worker *w);       /* monotonic ms, as of this turn */
double mg_unix_time(struct mg_worker *w); /* seconds with fraction, exact */

/* ---- answers ---- */

/* The whole answer at once. `content` picks Content-Type unless the field list has one. HEAD, 204 and 304 drop the body as they must.
 * 0, -EINVAL (a status outside 200..599), -EALREADY (already begun), -ENOBUFS (no memory: 503 was sent). */
int32_t mg_reply(struct mg_worker *w, uint32_t slot, uint32_t status, uint32_t content, const char *body, uint32_t bytes);
/* Begins a streamed answer; `length` < 0: unknown. The same errors. */
int32_t mg_stream_begin(struct mg_worker *w, uint32_t slot, uint32_t status, uint32_t content, double length);
/* Queues content. Bytes waiting now (0 or more), or -EPIPE (the client has gone), -EMSGSIZE (beyond the announced length), -ENOBUFS. */
int32_t mg_stream_write(struct mg_worker *w, uint32_t slot, const char *bytes, uint32_t count);
/* Wakes `token` when at most `mark` bytes wait, or with -EPIPE. 1: it is so already, nothing will be woken. */
int32_t mg_stream_wait(struct mg_worker *w, uint32_t slot, uint32_t mark, double token);
/* `abort`: end so that the client can tell that the answer is not whole. */
int32_t mg_stream_end(struct mg_worker *w, uint32_t slot, int32_t abort);

/* Response fields before the head is begun. 0, -EINVAL (bytes that must not be in it; framing fields), -E2BIG, -EALREADY. */
int32_t mg_field_set(struct mg_worker *w, uint32_t slot, const char *name, uint32_t name_bytes, const char *value, uint32_t value_bytes, uint32_t mode);
/* `index`-th response field of that name: 1 and border->text, or 0. */
int32_t mg_field_get(struct mg_worker *w, uint32_t slot, const char *name, uint32_t name_bytes, uint32_t index);
/* `index`-th response field of all: 1 with the name in border->text and the value to be had by name, or 0. */
void mg_fields_clear(struct mg_worker *w, uint32_t slot);
/* `index`-th request field of that name, any case: 1 and border->text, or 0. */
int32_t mg_header(struct mg_worker *w, uint32_t slot, const char *name, uint32_t name_bytes, uint32_t index);
/* Own reason phrase. 0 or -EINVAL. */
int32_t mg_reason(struct mg_worker *w, uint32_t slot, const char *text, uint32_t bytes);

/* Keeps the slot after its answer until mg_release(); `token` is woken after the last byte was taken by the kernel (1) or the client has gone (0). */
int32_t mg_hold(struct mg_worker *w, uint32_t slot, double token);
void mg_release(struct mg_worker *w, uint32_t slot);
/* Wakes `token` once when the client leaves. `token` 0: no more. */
void mg_watch_gone(struct mg_worker *w, uint32_t slot, double token);

/* ---- request content ---- */

/* The next piece: > 0 bytes at border->text, lent until the next call or wait; 0: the end; -EAGAIN: `token` will be woken (0: call again), or
 * -400, -408, -413 (statuses), -EPIPE (the client left in the middle). */
int32_t mg_body_read(struct mg_worker *w, uint32_t slot, double token);
/* Raises or lowers this request's limit; -413 when its Content-Length is beyond already. */
int32_t mg_body_limit(struct mg_worker *w, uint32_t slot, double bytes);

/* ---- answers made in C ---- */

/* A folder to serve from: handle ≥ 0 or -errno. */
int32_t mg_root_open(struct mg_worker *w, const char *folder, uint32_t bytes);
void mg_root_close(struct mg_worker *w, int32_t root);
/* Answers with a file below the root. `path` is decoded and relative. `content_type` bytes 0: by extension. 0: taken over;
 * -ENOENT, -EACCES, -EISDIR: not begun, Lua answers. */
int32_t mg_reply_file(struct mg_worker *w, uint32_t slot, int32_t root, const char *path, uint32_t bytes,
                      const char *content_type, uint32_t content_type_bytes);
/* An upstream from a list of servers "ADDRESS WEIGHT\n…": handle ≥ 0, or -errno with a sentence in border->text. */
int32_t mg_upstream_open(struct mg_worker *w, const char *name, uint32_t name_bytes, const char *servers, uint32_t bytes);
void mg_upstream_close(struct mg_worker *w, int32_t upstream);
/* Forwards the request; `target` bytes 0: as it came. 0: taken over. A failure before the response head comes as MG_EVENT_FAIL. */
int32_t mg_reply_proxy(struct mg_worker *w, uint32_t slot, int32_t upstream, const char *target, uint32_t bytes);

/* ---- routes ---- */

struct route_builder *mg_routes_new(void);
void mg_routes_free(struct route_builder *b);
int32_t mg_pattern_check(const char *pattern, uint32_t bytes, char *ret_message, uint32_t message_bytes);
/* As route_add(); methods as a mask in a double. */
int32_t mg_routes_add(struct route_builder *b, const char *host, uint32_t host_bytes, const char *pattern, uint32_t bytes, double methods,
                      int32_t number, char *ret_message, uint32_t message_bytes, int32_t *ret_other);
/* Compiles and makes it the program that new requests are matched with. `body_bytes`: one limit per route number, < 0: the default. */
int32_t mg_routes_use(struct mg_worker *w, struct route_builder *b, const double *body_bytes, uint32_t routes);
/* The route after `skip` candidates, into the request itself (captures too). For predicates that said no. */
int32_t mg_rematch(struct mg_worker *w, uint32_t slot, uint32_t skip);
/* Compiles for questions, without a worker. */
struct route_program *mg_program_new(const struct route_builder *b);
void mg_program_free(struct route_program *p);
void mg_program_match(const struct route_program *p, const char *host, uint32_t host_bytes, uint32_t method, const char *path,
                      uint32_t path_bytes, uint32_t skip, struct route_match *ret_match);
/* http_path_normalise() */
int32_t mg_path_normalise(const char *path, uint32_t bytes, char *ret);
/* http_percent_decode() */
uint32_t mg_percent_decode(const char *text, uint32_t bytes, int32_t plus, char *ret);

/* ---- time, logs, other ---- */

int32_t mg_timer(struct mg_worker *w, double ms, double token); /* handle ≥ 0 or -ENOBUFS */
void mg_timer_cancel(struct mg_worker *w, int32_t timer);
void mg_log(struct mg_worker *w, uint32_t level, const char *text, uint32_t bytes);
/* "address:port" of the client, without the port when `port` is 0: length written. */
int32_t mg_remote(struct mg_worker *w, uint32_t slot, int32_t port, char *ret, uint32_t bytes);
/* Appends to an open file without blocking: `token` is woken with the bytes written or -errno. `bytes` lives until then. */
int32_t mg_file_open(const char *path, int32_t mode); /* 0: read; 1: create or truncate. Descriptor or -errno */
int32_t mg_file_write(struct mg_worker *w, int32_t fd, const char *bytes, uint32_t count, double offset, double token);
int32_t mg_file_close(int32_t fd);
/* gzip, zlib and raw deflate: a stream of content inflated. step: bytes made (≥ 0), ret_used bytes taken; -EINVAL: not such data. */
struct inflater;
struct inflater *mg_inflater_new(int32_t kind); /* 0: gzip or zlib by its head; 1: raw deflate */
int32_t mg_inflater_step(struct inflater *z, const char *in, uint32_t in_bytes, uint32_t *ret_used, char *out, uint32_t out_bytes, int32_t *ret_done);
void mg_inflater_free(struct inflater *z);
/* Fills `ret` with random bytes from the kernel. */
void mg_random(char *ret, uint32_t bytes);
