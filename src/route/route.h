/* The router: patterns in, a flat program out; then host, method and path in, a route number and captures out.
 * It does not know handlers. Built once per generation, read by matching; no allocation while matching.
 *
 * Pattern: "/" followed by segments separated by "/". A segment is literal, ":name" (one non-empty segment) or, only as
 * the last, "*name" or "*" (the rest of the path, may be empty, with its slashes). Precedence, segment by segment:
 * literal, then parameter, then wildcard; with backtracking, and the method is part of the decision.
 *
 * A name is [A-Za-z_][A-Za-z0-9_]*, used once. "*" without a name is a capture too. Slashes at the end and empty segments
 * count: "/x", "/x/" and "/x//" are three paths, of which "/x/" followed by "*" fits the last two. Literals are UTF-8, escaped or
 * not: they are brought to the form of normalised paths, where "é" is "%C3%A9" and "%2f" is "%2F". Characters that RFC 3986
 * keeps out of paths but clients send raw ("{", "|", "[" …) match raw and escaped, all those of a segment alike. A literal
 * "*", or ":" at the start of a segment, is written "%2A", "%3A". */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum { ROUTE_CAPTURES_MAX = 16, ROUTE_NONE = -1 };

struct route_builder;
struct route_program;

struct route_capture {
    uint16_t at, bytes; /* in the path that was matched, still percent-encoded */
};

struct route_match {
    int32_t route;      /* the number given to route_add, or ROUTE_NONE */
    uint32_t allow;     /* methods (mask of 1 << enum http_method) of all routes whose path fits: filled when route is ROUTE_NONE */
    uint32_t capture_count;
    struct route_capture captures[ROUTE_CAPTURES_MAX];
};

/* Checks one pattern. 0, or -EINVAL with a message in ret_message: the pattern, the byte (from 1) and what is wrong there. */
int route_pattern_check(const char *pattern, uint32_t bytes, char *ret_message, uint32_t message_bytes);

struct route_builder *route_builder_new(void);
void route_builder_free(struct route_builder *builder);

/* Adds one route. `host` empty: any host; "example.org" exact; "*.example.org" any depth below it, not itself.
 * `methods`: mask of 1 << enum http_method; all ones: any method, unknown ones too. `number` ≥ 0 is what a match returns.
 * Any method beside some methods is no conflict: the narrower is preferred. 0, -EINVAL (bad pattern or host, or one path could
 * fit too many patterns at once: message), -EEXIST (same host, shape and an overlapping method: message; the number of the
 * other route in ret_other), -ENOMEM. */
int route_add(struct route_builder *builder, const char *host, uint32_t host_bytes, const char *pattern, uint32_t bytes,
              uint32_t methods, int32_t number, char *ret_message, uint32_t message_bytes, int32_t *ret_other);

/* Lays the program out. The builder may be freed afterwards. NULL: out of memory. */
struct route_program *route_compile(const struct route_builder *builder);
void route_program_free(struct route_program *program);
uint32_t route_program_bytes(const struct route_program *program);

/* Matches a normalised path (http_path_normalise). `host` is compared without its port, any case; exact host before the
 * longest wildcard host before any host; when a host has no route for the path, the less specific hosts are tried.
 * HEAD falls back to GET's route. `skip`: the number of candidates to pass over, in order of precedence (for predicates that
 * said no); when all are passed over, `allow` holds their methods too. A path that does not begin with "/" or has more than
 * 65535 bytes fits nothing. A match costs the same with one route and with ten thousand, and at most ROUTE_STEPS_MAX
 * (program.h) steps per host. */
void route_match(const struct route_program *program, const char *host, uint32_t host_bytes, uint32_t method,
                 const char *path, uint32_t path_bytes, uint32_t skip, struct route_match *ret_match);
