/* The border between C and Lua: one text, compiled here and read by the only ffi.cdef (lua/moongate/abi.lua).
 *
 * Lua calls C; C never calls Lua. Scalars and (pointer, length) only. A request crosses as the number of its slot.
 * Memory lent to Lua is valid until the request is answered or its task waits. Errors are negated errno values, or negated
 * HTTP statuses where a function says so. Strings passed in are copied when they must live on. A `token` names a waiting
 * task: it comes back in the event that ends the wait. */
#pragma once
#include "abi/crypto.h"
#include "abi/dict.h"
#include "abi/process.h"
#include "abi/regex.h"
#include "base/slice.h"
#include "gate/border.h"
#include "gate/settings.h"
#include "gate/stats.h"
#include "proxy/facts.h"

struct mg_worker;

/* ---- the loop ---- */

/* The next request for Lua: its slot, ≥ 0; or -1 when border->event says what happened; or -2: the worker has ended. Sleeps when nothing is due. */
int32_t mg_next(struct mg_worker *w);
struct mg_border *mg_border(struct mg_worker *w);
struct mg_request *mg_request(struct mg_worker *w, uint32_t slot);
struct mg_settings *mg_settings(struct mg_worker *w);
struct mg_stats *mg_stats(struct mg_worker *w);
/* The `index`-th row of the settings table, NULL past the end. Needs no worker. */
const struct mg_setting_info *mg_setting(uint32_t index);
/* The settings are final: opens the engine, "auto", "io_uring" or "epoll". 0, or -errno with a sentence in border->text. Start hooks may wait from here on. */
int32_t mg_open(struct mg_worker *w, const char *engine);
/* Start hooks have run: accept, and tell the master. 0 or -errno. */
int32_t mg_serve(struct mg_worker *w);
/* The Server field of all answers; bytes 0: none. 0 or -EINVAL. */
int32_t mg_server_field(struct mg_worker *w, const char *text, uint32_t bytes);
/* Peers that may speak for a client, as lines (gate/trust.h). The same errors as trust_read(). mg_trust_check() only looks. */
int32_t mg_trust(struct mg_worker *w, const char *lines, uint32_t bytes);
int32_t mg_trust_check(const char *lines, uint32_t bytes);
/* How access lines are written: 0 combined, 1 JSON; and the least level (enum mg_log_level) of the error log. */
void mg_log_format(struct mg_worker *w, int32_t json, int32_t level);
/* `message` bytes 0: all stop hooks have run, end. Otherwise the worker could not start: the master prints it. */
void mg_end(struct mg_worker *w, const char *message, uint32_t bytes);
/* This request's task is about to wait: what it was lent is moved to memory of its own. 0; -ENOBUFS: no memory, it must not wait. */
int32_t mg_park(struct mg_worker *w, uint32_t slot);
double mg_now(struct mg_worker *w);       /* monotonic ms, as of this turn */
double mg_unix_time(struct mg_worker *w); /* seconds with fraction, exact */

/* ---- answers ---- */

/* The whole answer at once. `content` picks Content-Type unless the field list has one. HEAD, 204 and 304 drop the body as they must.
 * 0, -EINVAL (a status outside 200..599), -EALREADY (already begun), -E2BIG (the fields are too large together: nothing was begun),
 * -ENOBUFS (no memory: the connection ends). */
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
void mg_fields_clear(struct mg_worker *w, uint32_t slot);
/* `index`-th request field of that name, any case: 1 and border->text, or 0. */
int32_t mg_header(struct mg_worker *w, uint32_t slot, const char *name, uint32_t name_bytes, uint32_t index);
/* Own reason phrase. 0 or -EINVAL. */
int32_t mg_reason(struct mg_worker *w, uint32_t slot, const char *text, uint32_t bytes);

/* Keeps the slot after its answer until mg_release(); `token` (0: none yet, call again) is woken after the last byte was taken by the
 * kernel (1) or the client has gone (0). 0; 1: that has happened already; -EALREADY: too late to begin. */
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
/* Bytes of the content announced by Content-Length, -1: not announced (chunked), 0: there is none. */
double mg_body_length(struct mg_worker *w, uint32_t slot);

/* ---- answers made in C ---- */

/* A folder to serve from, with its options as lines (file_options_read): handle ≥ 0 or -errno. It need not be there yet. */
int32_t mg_folder_open(struct mg_worker *w, const char *folder, uint32_t bytes, const char *options, uint32_t options_bytes);
void mg_folder_close(struct mg_worker *w, int32_t folder);
/* Answers with what the last capture of the route names in a folder. 0: answered or taken over; what is missing then comes as
 * MG_EVENT_FAIL. -ENOENT, -EACCES and others: nothing was begun, Lua answers. */
int32_t mg_reply_folder(struct mg_worker *w, uint32_t slot, int32_t folder);
/* Answers with a file below the root. `path` is decoded and relative. `status` 0: as the request's conditions and range say; else that
 * one, with the whole file. `content_type` bytes 0: by extension. 0: taken over; -ENOENT, -EACCES, -EISDIR: not begun, Lua answers. */
int32_t mg_reply_file(struct mg_worker *w, uint32_t slot, int32_t folder, const char *path, uint32_t bytes, uint32_t status,
                      const char *content_type, uint32_t content_type_bytes);
/* An upstream from a list of servers "ADDRESS WEIGHT\n…": handle ≥ 0, or -errno with a sentence in border->text. */
int32_t mg_upstream_open(struct mg_worker *w, const char *name, uint32_t name_bytes, const char *servers, uint32_t bytes);
void mg_upstream_close(struct mg_worker *w, int32_t upstream);
/* The server that this request would be sent to, `at` places after the next one (0: the next), without sending it: its number as they were listed with their
 * addresses, and its label in border->text; -ENOENT past the last. border->result: 1 when it stands aside after failures. */
int32_t mg_upstream_server(struct mg_worker *w, int32_t upstream, uint32_t at, uint32_t slot);
/* proxy_change(): 0, or -errno with a sentence in border->text. `blindly`: it was said to another worker, or before this one was born. */
int32_t mg_upstream_change(struct mg_worker *w, const char *line, uint32_t bytes, int32_t blindly);
/* proxy_upstream_facts(), proxy_server_facts() and proxy_upstream_line(). */
int32_t mg_upstream_facts(struct mg_worker *w, int32_t upstream, struct proxy_upstream_facts *ret);
int32_t mg_server_facts(struct mg_worker *w, int32_t upstream, uint32_t at, struct proxy_server_facts *ret);
int32_t mg_upstream_line(struct mg_worker *w, int32_t upstream, uint32_t line, struct slice *ret_text, struct slice *ret_why);
/* How requests are forwarded, as lines (proxy/terms.h): a handle ≥ 0 or -errno. Equal lines share one. */
int32_t mg_terms_open(struct mg_worker *w, const char *lines, uint32_t bytes);
void mg_terms_close(struct mg_worker *w, int32_t terms);
/* Forwards the request; `terms` 0: nothing was said; `target` bytes 0: as it came. `content`: all that was read of its content, or NULL
 * when none was. 0: taken over. -EBUSY: some of it was read and is not given. A failure before the response head comes as MG_EVENT_FAIL. */
int32_t mg_reply_proxy(struct mg_worker *w, uint32_t slot, int32_t upstream, int32_t terms, const char *target, uint32_t bytes,
                       const char *content, uint32_t content_bytes);

int32_t mg_edits_check(const char *edits, uint32_t bytes); /* edits_check() */
/* Where a request is forwarded, and with what, from here on: a server of the upstream by its address (bytes 0: any), the key that one is
 * chosen by, and fields to set or take away (proxy/edit.h). 0, -EINVAL (edits), -ENOBUFS. */
int32_t mg_forward_to(struct mg_worker *w, uint32_t slot, const char *server, uint32_t server_bytes, const char *key, uint32_t key_bytes,
                      const char *edits, uint32_t edits_bytes);
/* The status of an answer that mg_reply_proxy() is going to bring, instead of the upstream's; 0: the upstream's. */
void mg_own_status(struct mg_worker *w, uint32_t slot, uint32_t status);

/* ---- fetches: requests to other servers whose responses Lua holds (gate/fetch.h) ---- */

/* A request of the gateway's own: `head` is a whole request head. `length`: of its content; -1: not known; -2: there is none. `slot`: the
 * request that it is for, UINT32_MAX: none. A handle ≥ 0, or -errno with why in border->text. */
int32_t mg_fetch_begin(struct mg_worker *w, int32_t upstream, int32_t terms, const char *head, uint32_t bytes, double length, uint32_t slot);
/* As mg_reply_proxy(), but the response is a fetch's. */
int32_t mg_fetch_forward(struct mg_worker *w, uint32_t slot, int32_t upstream, int32_t terms, const char *target, uint32_t bytes,
                         const char *content, uint32_t content_bytes);
/* The status of the response; 0: `token` is woken when it is there; negative: of its failure (499: the client has gone), why in border->text. */
int32_t mg_fetch_head(struct mg_worker *w, int32_t fetch, double token);
/* The response head as it came in border->text. 1: all of the content is here; 0: not yet. */
int32_t mg_fetch_text(struct mg_worker *w, int32_t fetch);
/* As mg_body_read(); -EPIPE: the rest will not come, why in border->text; -EBADF: closed. */
int32_t mg_fetch_read(struct mg_worker *w, int32_t fetch, double token);
/* Content for the server: bytes that wait, -EPIPE: no more is wanted, or -EMSGSIZE: not the length announced. */
int32_t mg_fetch_write(struct mg_worker *w, int32_t fetch, const char *bytes, uint32_t count, int32_t last);
/* 0: `token` is woken when less than the window waits again; -EPIPE. Only after mg_fetch_write() gave more than that. */
int32_t mg_fetch_wait(struct mg_worker *w, int32_t fetch, double token);
void mg_fetch_close(struct mg_worker *w, int32_t fetch);
/* The fields of a response head, as mg_fetch_text() gives it, become those of the request's answer, but for those that were set or dropped. */
int32_t mg_fetch_fields(struct mg_worker *w, uint32_t slot, const char *head, uint32_t bytes);
/* Answers with what comes of it, in C. 0: taken over; -E2BIG: nothing was begun, and the fetch is closed. */
int32_t mg_fetch_reply(struct mg_worker *w, uint32_t slot, int32_t fetch, uint32_t status);

/* ---- routes ---- */

struct route_builder *mg_routes_new(void);
void mg_routes_free(struct route_builder *b);
int32_t mg_host_known(const char *host, uint32_t bytes, uint32_t wait_ms, char *ret_message, uint32_t message_bytes); /* address_is_known() */
int32_t mg_pattern_check(const char *pattern, uint32_t bytes, char *ret_message, uint32_t message_bytes);
/* As route_add(); methods as a mask in a double. */
int32_t mg_routes_add(struct route_builder *b, const char *host, uint32_t host_bytes, const char *pattern, uint32_t bytes, double methods,
                      int32_t number, char *ret_message, uint32_t message_bytes, int32_t *ret_other);
/* The route after `skip` candidates, into the request itself (captures too). For predicates that said no. */
int32_t mg_rematch(struct mg_worker *w, uint32_t slot, uint32_t skip);
/* A request head that nobody sent, for `explain`: trial_begin() (gate/trial.h). */
int32_t mg_trial_begin(struct mg_worker *w, const char *head, uint32_t bytes);
void mg_trial_end(struct mg_worker *w, uint32_t slot);
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
/* Writes the standard phrase of a status ("Unknown" for others): its length. */
int32_t mg_phrase(uint32_t status, char *ret, uint32_t bytes);
/* Fills `ret` with random bytes from the kernel. */
void mg_random(char *ret, uint32_t bytes);
