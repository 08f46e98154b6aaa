/* Fields about the client and the way. A client may claim to be another one: what it says of itself is passed on only from a peer that is
 * trusted to say it, as another gateway is. */
#include "proxy/gateway.h"

#include "http/head.h"
#include "http/render.h"
#include "proxy/edit.h"
#include "proxy/put.inl.h"

enum { NAME_MOST = 32, ID_MOST = 128, TRACE_BYTES = 55, TRACE_ID_AT = 3, SPAN_AT = 36, FLAGS_AT = 53 };

/* ---- what is not copied ---- */

static int is_about_client(enum http_field id, struct slice name)
{
    static const char prefix[] = "x-forwarded-";
    if (id == FIELD_FORWARDED || id == FIELD_X_REAL_IP)
        return 1;
    return name.bytes >= sizeof prefix - 1 && strncasecmp(name.at, prefix, sizeof prefix - 1) == 0;
}

/* "X_Forwarded_For" is the same as "X-Forwarded-For" to an application behind a CGI-like border: names with '_' that come to mean one that
 * matters here are taken away. "Proxy" would become HTTP_PROXY there (CVE-2016-5385). */
static int is_disguised(struct slice name)
{
    char plain[NAME_MOST];
    if (same_name(name, "proxy", 5))
        return 1;
    if (name.bytes > NAME_MOST || !memchr(name.at, '_', name.bytes))
        return 0;
    for (uint32_t i = 0; i < name.bytes; i++)
        plain[i] = name.at[i] == '_' ? '-' : name.at[i];
    enum http_field id = http_field_number(plain, name.bytes);
    struct slice text = { plain, name.bytes };
    return forward_is_hop_by_hop(id) || id == FIELD_CONTENT_LENGTH || id == FIELD_X_REQUEST_ID || is_about_client(id, text);
}

int gateway_replaces(const struct proxy_request *request, const struct terms *terms, const struct http_field_line *field)
{
    struct slice name = text_of(request->base, field->name);
    switch (field->id) {
    case FIELD_HOST:
    case FIELD_CONTENT_LENGTH:
    case FIELD_EXPECT:
        return 1;
    case FIELD_X_REQUEST_ID:
        return terms->ids && !request->own;
    case FIELD_TRACEPARENT:
        return terms->traces && !request->own;
    case FIELD_FORWARDED:
        return !request->own && (!request->trusted || !terms->forwarded || terms->forwarded & FORWARDED_STANDARD);
    case FIELD_X_FORWARDED_FOR:
        return !request->own;
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_FORWARDED_HOST:
        return !request->own && (!request->trusted || !(terms->forwarded & FORWARDED_X));
    case FIELD_X_REAL_IP:
        return !request->own && !request->trusted;
    case FIELD_OTHER:
        return is_disguised(name) || (!request->own && !request->trusted && is_about_client(FIELD_OTHER, name));
    default:
        return 0;
    }
}

/* ---- who asked for it ---- */

static struct slice field_of(const struct proxy_request *request, enum http_field id)
{
    int at = http_head_find(request->head, id, 0);
    return at < 0 ? (struct slice){ NULL, 0 } : text_of(request->base, request->head->fields[at].value);
}

/* The values that came in such fields, as one list; 1: there were some. */
static int put_list(struct out *out, const struct proxy_request *request, enum http_field id)
{
    const struct http_head *head = request->head;
    int any = 0;
    for (int i = request->trusted ? http_head_find(head, id, 0) : -1; i >= 0; i = http_head_find(head, id, i + 1)) {
        if (head->fields[i].value.bytes == 0)
            continue;
        if (any++)
            PUT(out, ", ");
        put_slice(out, text_of(request->base, head->fields[i].value));
    }
    return any;
}

static void put_forwarded_for(struct out *out, const struct proxy_request *request)
{
    char *from = out->at;
    PUT(out, "X-Forwarded-For: ");
    int any = put_list(out, request, FIELD_X_FORWARDED_FOR);
    if (any && request->client.bytes)
        PUT(out, ", ");
    put_slice(out, request->client);
    if (any || request->client.bytes)
        PUT(out, "\r\n");
    else if (!out->full)
        out->at = from;
}

static void put_x(struct out *out, const struct proxy_request *request)
{
    const struct http_head *head = request->head;
    put_forwarded_for(out, request);
    if (request->scheme.bytes && !(request->trusted && field_of(request, FIELD_X_FORWARDED_PROTO).bytes)) {
        PUT(out, "X-Forwarded-Proto: ");
        put_slice(out, request->scheme);
        PUT(out, "\r\n");
    }
    if (head->authority.bytes && !(request->trusted && field_of(request, FIELD_X_FORWARDED_HOST).bytes)) {
        PUT(out, "X-Forwarded-Host: ");
        put_slice(out, text_of(request->base, head->authority));
        PUT(out, "\r\n");
    }
}

/* One element for the hop that ends here (RFC 7239 §4, §6): what has a colon is quoted. */
static void put_standard(struct out *out, const struct proxy_request *request)
{
    const struct http_head *head = request->head;
    PUT(out, "Forwarded: ");
    if (put_list(out, request, FIELD_FORWARDED))
        PUT(out, ", ");
    PUT(out, "for=");
    if (request->client.bytes == 0 || strncmp(request->client.at, "unix", 4) == 0) {
        PUT(out, "unknown");
    } else if (memchr(request->client.at, ':', request->client.bytes)) {
        PUT(out, "\"[");
        put_slice(out, request->client);
        PUT(out, "]\"");
    } else {
        put_slice(out, request->client);
    }
    if (head->authority.bytes) {
        PUT(out, ";host=\"");
        put_slice(out, text_of(request->base, head->authority)); /* a valid host has no quotes */
        PUT(out, "\"");
    }
    if (request->scheme.bytes) {
        PUT(out, ";proto=");
        put_slice(out, request->scheme);
    }
    PUT(out, "\r\n");
}

/* ---- what it is known by ---- */

static void put_hex(struct out *out, uint64_t value)
{
    char text[16];
    for (int i = 16; i-- > 0; value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
    put(out, text, sizeof text);
}

static int is_id(struct slice id)
{
    for (uint32_t i = 0; i < id.bytes; i++)
        if (id.at[i] <= ' ' || id.at[i] > '~')
            return 0;
    return id.bytes > 0 && id.bytes <= ID_MOST;
}

static void put_id(struct out *out, const struct proxy_request *request, const uint64_t chance[2])
{
    struct slice came = field_of(request, FIELD_X_REQUEST_ID);
    PUT(out, "X-Request-Id: ");
    if (is_id(came)) {
        put_slice(out, came);
    } else if (request->id.bytes) {
        put_slice(out, request->id);
    } else {
        put_hex(out, chance[0]);
        put_hex(out, chance[1]);
    }
    PUT(out, "\r\n");
}

/* `count` lower-case hexadecimal digits, not all 0. */
static int is_hex(const char *text, uint32_t count)
{
    int any = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return 0;
        any |= text[i] != '0';
    }
    return any;
}

/* version "-" trace-id "-" parent-id "-" trace-flags; a later version may be longer (Trace Context, 4.3). */
static int is_trace(struct slice trace)
{
    if (trace.bytes < TRACE_BYTES || (trace.bytes > TRACE_BYTES && (memcmp(trace.at, "00", 2) == 0 || trace.at[TRACE_BYTES] != '-')))
        return 0;
    if (trace.at[2] != '-' || trace.at[SPAN_AT - 1] != '-' || trace.at[FLAGS_AT - 1] != '-' || memcmp(trace.at, "ff", 2) == 0)
        return 0;
    return (memcmp(trace.at, "00", 2) == 0 || is_hex(trace.at, 2)) && is_hex(trace.at + TRACE_ID_AT, 32) && is_hex(trace.at + SPAN_AT, 16)
           && (memcmp(trace.at + FLAGS_AT, "00", 2) == 0 || is_hex(trace.at + FLAGS_AT, 2));
}

/* The trace goes on with a span of our own; without one that can be read a new one begins. */
static void put_trace(struct out *out, const struct proxy_request *request, const uint64_t chance[3])
{
    struct slice came = field_of(request, FIELD_TRACEPARENT);
    int first = http_head_find(request->head, FIELD_TRACEPARENT, 0);
    int carried = first >= 0 && http_head_find(request->head, FIELD_TRACEPARENT, first + 1) < 0 && is_trace(came);
    PUT(out, "traceparent: 00-");
    if (carried) {
        put(out, came.at + TRACE_ID_AT, 32);
    } else {
        put_hex(out, chance[0]);
        put_hex(out, chance[1]);
    }
    PUT(out, "-");
    put_hex(out, chance[2] | 1);
    if (carried) {
        PUT(out, "-");
        put(out, came.at + FLAGS_AT, 2);
        PUT(out, "\r\n");
    } else {
        PUT(out, "-01\r\n");
    }
}

/* A script has said what this field shall be. */
static int is_edited(const struct proxy_request *request, const char *name)
{
    return request->edits.bytes && edits_name(request->edits, (struct slice){ name, (uint32_t)strlen(name) });
}

void gateway_put(struct out *out, const struct proxy_request *request, const struct forward_way *way)
{
    const struct terms *terms = way->terms;
    if (request->head->minor)
        PUT(out, "Via: 1.1 moongate\r\n"); /* as received, RFC 9110 §7.6.3 */
    else
        PUT(out, "Via: 1.0 moongate\r\n");
    if (terms->forwarded & FORWARDED_X)
        put_x(out, request);
    if (terms->forwarded & FORWARDED_STANDARD)
        put_standard(out, request);
    if (terms->ids && !is_edited(request, "x-request-id"))
        put_id(out, request, way->chance);
    if (terms->traces && !is_edited(request, "traceparent"))
        put_trace(out, request, way->chance + 2);
}
