/* Targets, paths and percent-encoding (RFC 3986). */
#pragma once
#include "http/message.h"

/* Normalises a path for matching and forwarding: percent-escapes of unreserved characters are decoded,
 * hexadecimal digits of the others are made upper case, dot segments are removed; empty segments are kept;
 * "%2F" stays. Bytes that are not allowed in a path stay as they are unless they are controls. `ret` holds
 * at least `bytes` bytes and may be `path`. Returns the length written (0 for an empty path), or -400 (no
 * '/' at the beginning, a control, a bad escape, "%00", a dot segment that climbs above the root).
 * Normalising again changes nothing. */
int32_t http_path_normalise(const char *path, uint32_t bytes, char *ret);

/* Decodes percent-escapes. `plus`: '+' is a space (query and form encoding). Bad escapes are copied as they
 * are. "%00" becomes a NUL. `ret` holds at least `bytes` and may be `text`. Returns the length written. */
uint32_t http_percent_decode(const char *text, uint32_t bytes, int plus, char *ret);

/* host [":" port] as in Host (RFC 9110 §7.2): a registered name, an IPv4 address or an IPv6 one in
 * brackets, and a port of at most five digits up to 65535. Refused though RFC 3986 has them: an empty host,
 * userinfo, a comma (a list is not a host), IPvFuture, escapes of bytes that a name may not hold. Returns 0
 * or -400. */
int http_authority_check(const char *text, uint32_t bytes);
