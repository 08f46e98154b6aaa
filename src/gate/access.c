/* The access log: one line per answer, combined or JSON, with what a client sent escaped. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gate/gate.h"

/* Room for five values at their longest, each byte escaped to six: no line is ever cut, so that each has its end. */
enum { VALUE_MAX = 1024, LINE_BYTES = 5 * 6 * VALUE_MAX + 2048 };

struct line {
    uint32_t used;
    char bytes[LINE_BYTES];
};

static void put(struct line *line, const char *bytes, uint32_t count)
{
    if (line->used + count > LINE_BYTES - 8)
        count = LINE_BYTES - 8 - line->used;
    memcpy(line->bytes + line->used, bytes, count);
    line->used += count;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, (uint32_t)strlen(text));
}

/* Quotes, backslashes, controls and bytes beyond ASCII are escaped: \xHH, or \u00HH for JSON. */
static void put_escaped(struct line *line, struct slice value, bool json)
{
    uint32_t count = value.bytes < VALUE_MAX ? value.bytes : VALUE_MAX;
    for (uint32_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)value.at[i];
        char text[8];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
            put(line, value.at + i, 1);
        else
            put(line, text, (uint32_t)snprintf(text, sizeof text, json ? "\\u%04x" : "\\x%02X", c));
    }
}

static struct slice head_slice(const struct request *r, struct http_span span)
{
    return (struct slice){ r->pub.bytes + span.at, span.bytes };
}

static struct slice head_field(const struct request *r, enum http_field id)
{
    int index = http_head_find(&r->pub.head, id, 0);
    return index < 0 ? (struct slice){ "-", 1 } : head_slice(r, r->pub.head.fields[index].value);
}

int request_remote(const struct mg_worker *w, const struct request *r, bool port, char *ret, uint32_t bytes)
{
    struct peer client;
    const struct peer *peer = request_peer(w, r);
    if (w->trust.count == 0 || r->pub.head.bytes == 0 || !trust_client(&w->trust, peer, &r->pub.head, r->pub.bytes, &client))
        return peer_text(peer, port, ret, bytes);
    return peer_text(&client, port, ret, bytes); /* of its port nothing is known: 0 */
}

static void put_address(const struct mg_worker *w, struct line *line, const struct request *r)
{
    char text[64];
    put(line, text, (uint32_t)request_remote(w, r, false, text, sizeof text));
}

/* What the line says of an answer that never began: the client closed before it (as the logs of other gateways say it). */
enum { STATUS_CLIENT_CLOSED = 499 };

static uint32_t status_of(const struct request *r)
{
    return r->pub.status ? r->pub.status : STATUS_CLIENT_CLOSED;
}

static double content_bytes(const struct request *r)
{
    return r->bytes_out - r->head_bytes_out;
}

static void combined(struct mg_worker *w, struct line *line, const struct request *r)
{
    char text[64];
    time_t now = (time_t)net_unix_time(w->net);
    struct tm parts;
    localtime_r(&now, &parts);
    put_address(w, line, r);
    put(line, text, (uint32_t)strftime(text, sizeof text, " - - [%d/%b/%Y:%H:%M:%S %z] \"", &parts));
    if (r->pub.head.method_text.bytes > 0) {
        put_escaped(line, head_slice(r, r->pub.head.method_text), false);
        put_text(line, " ");
        put_escaped(line, head_slice(r, r->pub.head.target), false);
        put_text(line, r->pub.head.minor ? " HTTP/1.1" : " HTTP/1.0");
    } else {
        put_text(line, "-");
    }
    put(line, text, (uint32_t)snprintf(text, sizeof text, "\" %u %.0f \"", status_of(r), content_bytes(r)));
    put_escaped(line, head_field(r, FIELD_REFERER), false);
    put_text(line, "\" \"");
    put_escaped(line, head_field(r, FIELD_USER_AGENT), false);
    put_text(line, "\"\n");
}

static void put_member(struct line *line, const char *name, struct slice value)
{
    put_text(line, ",\"");
    put_text(line, name);
    put_text(line, "\":\"");
    put_escaped(line, value, true);
    put_text(line, "\"");
}

static void json(struct mg_worker *w, struct line *line, const struct request *r)
{
    char text[128];
    put(line, text, (uint32_t)snprintf(text, sizeof text, "{\"time\":%.3f,\"remote\":\"", net_unix_time(w->net)));
    put_address(w, line, r);
    put_text(line, "\"");
    put_member(line, "method", head_slice(r, r->pub.head.method_text));
    put_member(line, "target", head_slice(r, r->pub.head.target));
    put_member(line, "host", head_slice(r, r->pub.head.authority));
    put(line, text, (uint32_t)snprintf(text, sizeof text, ",\"status\":%u,\"bytes\":%.0f,\"ms\":%.3f,\"route\":%d", status_of(r), content_bytes(r),
                                       net_now_ms(w->net) - r->pub.started_ms, r->pub.match.route));
    put_member(line, "referer", head_field(r, FIELD_REFERER));
    put_member(line, "agent", head_field(r, FIELD_USER_AGENT));
    put_text(line, "}\n");
}

void access_line(struct mg_worker *w, const struct request *r)
{
    if (w->access.fd < 0)
        return;
    struct line line;
    line.used = 0;
    if (w->access_json)
        json(w, &line, r);
    else
        combined(w, &line, r);
    sink_append(w, &w->access, line.bytes, line.used);
}
