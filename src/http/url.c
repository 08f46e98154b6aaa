/* Targets, paths and percent-encoding (RFC 3986). Bytes in, bytes out or a verdict; each function reads its
 * input once, from left to right, and writes no further than it has read, so that `ret` may be the input. */
#include "http/url.h"

#include "http/octet.inl.h"

enum { BAD_REQUEST = -400 };

/* The byte that the escape at `text` stands for, or -1: not an escape. `bytes` are left, the '%' among them. */
static int escape_value(const char *text, uint32_t bytes)
{
    if (bytes < 3 || !octet_is(text[1], OCTET_HEX) || !octet_is(text[2], OCTET_HEX))
        return -1;
    return (int)(octet_value(text[1]) << 4 | octet_value(text[2]));
}

/* Paths */

/* A segment has ended: out[segment..end) is its text and out[segment - 1] the '/' before it. Takes dot
 * segments back (RFC 3986 §5.2.4). Returns where the next byte goes, which is behind a '/' if there was a
 * dot segment, or -400. */
static int32_t segment_close(const char *out, int32_t segment, int32_t end)
{
    int32_t count = end - segment;
    if (count == 0 || count > 2 || out[segment] != '.')
        return end;
    if (count == 1)
        return segment;
    if (out[segment + 1] != '.')
        return end;
    if (segment == 1)
        return BAD_REQUEST;
    int32_t parent = segment - 1;
    while (out[parent - 1] != '/')
        parent--;
    return parent;
}

/* Writes the escape at `text` in its normal form. Returns the bytes written, 1 or 3, or -400. */
static int32_t escape_normalise(const char *text, uint32_t bytes, char *ret)
{
    static const char digits[] = "0123456789ABCDEF";
    int value = escape_value(text, bytes);
    if (value <= 0)
        return BAD_REQUEST;
    if (octet_is((char)value, OCTET_UNRESERVED)) {
        ret[0] = (char)value;
        return 1;
    }
    ret[0] = '%';
    ret[1] = digits[value >> 4];
    ret[2] = digits[value & 15];
    return 3;
}

int32_t http_path_normalise(const char *path, uint32_t bytes, char *ret)
{
    if (bytes == 0)
        return 0;
    if (path[0] != '/' || bytes > INT32_MAX)
        return BAD_REQUEST;
    ret[0] = '/';
    int32_t segment = 1, end = 1;
    for (uint32_t at = 1; at < bytes; at++) {
        char c = path[at];
        if (c == '/') {
            int32_t open = segment_close(ret, segment, end);
            if (open < 0)
                return open;
            if (open == end)
                ret[open++] = '/';
            segment = end = open;
        } else if (c == '%') {
            int32_t wrote = escape_normalise(path + at, bytes - at, ret + end);
            if (wrote < 0)
                return wrote;
            end += wrote;
            at += 2;
        } else if (octet_is(c, OCTET_CONTROL)) {
            return BAD_REQUEST;
        } else {
            ret[end++] = c;
        }
    }
    return segment_close(ret, segment, end);
}

uint32_t http_percent_decode(const char *text, uint32_t bytes, int plus, char *ret)
{
    char space = plus ? ' ' : '+';
    uint32_t end = 0;
    for (uint32_t at = 0; at < bytes; at++) {
        char c = text[at];
        if (c == '%') {
            int value = escape_value(text + at, bytes - at);
            if (value >= 0) {
                c = (char)value;
                at += 2;
            }
        } else if (c == '+') {
            c = space;
        }
        ret[end++] = c;
    }
    return end;
}

/* Authorities */

/* 1*3DIGIT up to 255 without a leading zero, four times, with dots (RFC 3986 §3.2.2). */
static int ipv4_is_valid(const char *text, uint32_t bytes)
{
    uint32_t at = 0;
    for (int part = 0; part < 4; part++) {
        if (part > 0 && (at == bytes || text[at++] != '.'))
            return 0;
        uint32_t first = at;
        unsigned value = 0;
        while (at < bytes && at - first < 3 && text[at] >= '0' && text[at] <= '9')
            value = value * 10 + octet_value(text[at++]);
        if (at == first || value > 255 || (text[first] == '0' && at - first > 1))
            return 0;
    }
    return at == bytes;
}

/* What stands between the brackets. No zone (RFC 6874 keeps those out of the wire) and no IPvFuture. */
static int ipv6_is_valid(const char *text, uint32_t bytes)
{
    int groups = 0, gap = 0;
    uint32_t at = 0;
    if (bytes >= 2 && text[0] == ':' && text[1] == ':') {
        gap = 1;
        at = 2;
    }
    while (at < bytes) {
        uint32_t first = at;
        while (at < bytes && octet_is(text[at], OCTET_HEX))
            at++;
        if (at < bytes && text[at] == '.')
            return ipv4_is_valid(text + first, bytes - first) && (gap ? groups < 6 : groups == 6);
        if (at == first || at - first > 4)
            return 0;
        groups++;
        if (at == bytes)
            break;
        if (text[at++] != ':' || at == bytes)
            return 0;
        if (text[at] == ':') {
            if (gap++)
                return 0;
            at++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

/* Bytes of the reg-name (or IPv4 address) that `text` begins with; 0: none. An escape must stand for something
 * that a name may hold, so that no delimiter or control hides in it. */
static uint32_t reg_name_bytes(const char *text, uint32_t bytes)
{
    uint32_t at = 0;
    for (;;) {
        while (at < bytes && octet_is(text[at], OCTET_REG_NAME))
            at++;
        if (at == bytes || text[at] != '%')
            return at;
        int value = escape_value(text + at, bytes - at);
        if (value < 0 || (value < 0x80 && !octet_is((char)value, OCTET_REG_NAME)))
            return 0;
        at += 3;
    }
}

/* [":" *5DIGIT]: RFC 3986 §3.2.3 lets the digits be none. */
static int port_is_valid(const char *text, uint32_t bytes)
{
    if (bytes == 0)
        return 1;
    if (text[0] != ':' || bytes > 6)
        return 0;
    uint32_t port = 0;
    for (uint32_t at = 1; at < bytes; at++) {
        if (text[at] < '0' || text[at] > '9')
            return 0;
        port = port * 10 + octet_value(text[at]);
    }
    return port <= 65535;
}

int http_authority_check(const char *text, uint32_t bytes)
{
    uint32_t host;
    if (bytes == 0)
        return BAD_REQUEST;
    if (text[0] == '[') {
        uint32_t close = 1;
        while (close < bytes && text[close] != ']')
            close++;
        if (close == bytes || !ipv6_is_valid(text + 1, close - 1))
            return BAD_REQUEST;
        host = close + 1;
    } else {
        host = reg_name_bytes(text, bytes);
        if (host == 0)
            return BAD_REQUEST;
    }
    return port_is_valid(text + host, bytes - host) ? 0 : BAD_REQUEST;
}
