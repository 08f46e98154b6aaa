/* Targets, paths and percent-encoding (RFC 3986). */
#pragma once
#include "http/message.h"

/* Normalises a path for matching and forwarding: percent-escapes of unreserved characters are decoded, hexadecimal digits
 * of the others are made upper case, dot segments are removed; empty segments are kept; "%2F" stays.
 * Bytes that are not allowed in a path stay as they are unless they are controls. `ret` holds at least `bytes` bytes.
 * Returns the length written, or -400 (a bad escape, "%00", a dot segment that climbs above the root). */
int32_t http_path_normalise(const char *path, uint32_t bytes, char *ret);

/* Decodes percent-escapes. `plus`: '+' is a space (query and form encoding). Bad escapes are copied as they are.
 * `ret` holds at least `bytes`. Returns the length written. */
uint32_t http_percent_decode(const char *text, uint32_t bytes, int plus, char *ret);

/* host [":" port] as in Host (RFC 9110 §7.2, no userinfo). Returns 0 or -400. */
int http_authority_check(const char *text, uint32_t bytes);
