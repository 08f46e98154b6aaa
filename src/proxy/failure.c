/* Failures in words and as statuses. */
#include "proxy/failure.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int failure_is_of_server(const struct failure *failure)
{
    switch ((enum failure_cause)failure->cause) {
    case CAUSE_CLOSED:
    case CAUSE_TIME:
    case CAUSE_SEND_TIME:
    case CAUSE_HEAD:
    case CAUSE_CONTENT:
    case CAUSE_INTERIM:
        return 1;
    default:
        return 0; /* of connecting it is known already; the others are bounds of our own */
    }
}

uint16_t failure_status(const struct failure *failure)
{
    switch ((enum failure_cause)failure->cause) {
    case CAUSE_CONNECTIONS:
    case CAUSE_MEMORY:
    case CAUSE_SERVERS:
    case CAUSE_REQUESTS:
    case CAUSE_WAIT_FULL:
    case CAUSE_WAIT_TIME:
        return 503;
    case CAUSE_CONNECT_TIME:
    case CAUSE_TIME:
    case CAUSE_SEND_TIME:
    case CAUSE_TOTAL_TIME:
    case CAUSE_SILENCE:
        return 504;
    case CAUSE_CONNECT:
    case CAUSE_CLOSED:
        return failure->error == ETIMEDOUT ? 504 : 502;
    case CAUSE_HEAD:
    case CAUSE_CONTENT:
    case CAUSE_INTERIM:
    case CAUSE_STATUS:
        break;
    }
    return 502;
}

/* As in the middle of a sentence. */
static const char *error_text(int error, char *out, size_t room)
{
    const char *text = strerrordesc_np(error);
    snprintf(out, room, "%s", text ? text : "unknown error");
    if (out[0] && !isupper((unsigned char)out[1]))
        out[0] = (char)tolower((unsigned char)out[0]);
    return out;
}

static void duration(uint32_t ms, char *out, size_t room)
{
    if (ms % 1000 == 0)
        snprintf(out, room, "%us", ms / 1000);
    else
        snprintf(out, room, "%ums", ms);
}

static void explain_cause(const struct failure *failure, const char *server, char *out, size_t room)
{
    char limit[32], error[96];
    const char *where = failure->begun ? "in the middle of the response" : "before a response head";
    duration(failure->ms, limit, sizeof limit);
    error_text(failure->error, error, sizeof error);
    switch ((enum failure_cause)failure->cause) {
    case CAUSE_CONNECT:
        snprintf(out, room, "connect %s: %s", server, error);
        break;
    case CAUSE_CONNECT_TIME:
        snprintf(out, room, "connect %s: no connection within %s", server, limit);
        break;
    case CAUSE_CONNECTIONS:
        snprintf(out, room, "connect %s: no connection is free here, all are in use", server);
        break;
    case CAUSE_MEMORY:
        snprintf(out, room, "%s: the memory for buffers is used up", server);
        break;
    case CAUSE_CLOSED:
        snprintf(out, room, "%s: connection ended %s%s%s", server, where, failure->error ? ": " : "", failure->error ? error : "");
        break;
    case CAUSE_TIME:
        snprintf(out, room, "%s: %s within %s", server, failure->begun ? "no further content" : "no response head", limit);
        break;
    case CAUSE_HEAD:
        snprintf(out, room, "%s: malformed response head: %s", server, failure->reason ? failure->reason : "unreadable");
        break;
    case CAUSE_CONTENT:
        snprintf(out, room, "%s: malformed chunks in the response", server);
        break;
    case CAUSE_INTERIM:
        snprintf(out, room, "%s: %s", server, failure->reason);
        break;
    case CAUSE_SERVERS:
        snprintf(out, room, "no server can be used: %s", failure->reason ? failure->reason : "all are out of service");
        break;
    case CAUSE_REQUESTS:
        snprintf(out, room, "as many requests run as may (max_requests)");
        break;
    case CAUSE_WAIT_FULL:
        snprintf(out, room, "all connections are in use (max_connections), and as many requests wait for one as may (queue)");
        break;
    case CAUSE_WAIT_TIME:
        if (failure->reason)
            snprintf(out, room, "%s within %s (queue_time)", failure->reason, limit);
        else
            snprintf(out, room, "all connections are in use (max_connections), and none became free within %s (queue_time)", limit);
        break;
    case CAUSE_SEND_TIME:
        snprintf(out, room, "%s: took nothing of the request for %s", server, limit);
        break;
    case CAUSE_TOTAL_TIME:
        snprintf(out, room, "%s: the response was not complete within %s", server, limit);
        break;
    case CAUSE_SILENCE:
        snprintf(out, room, "%s: neither side of the tunnel said anything for %s", server, limit);
        break;
    case CAUSE_STATUS:
        snprintf(out, room, "%s: answered %u", server, failure->status);
        break;
    }
}

/* Which attempt it was, when there could be several. */
static void explain_attempts(const struct failure *failure, char *out, size_t room)
{
    out[0] = '\0';
    if (failure->attempt > 1)
        snprintf(out, room, " (attempt %u of %u%s)", failure->attempt, failure->attempts, failure->unaffordable ? "; the retry budget is used up" : "");
    else if (failure->unaffordable)
        snprintf(out, room, " (not tried again: the retry budget is used up)");
}

uint32_t failure_explain(const struct failure *failure, const char *upstream, const char *server, char *out, uint32_t room)
{
    char cause[384], attempts[64];
    explain_cause(failure, server, cause, sizeof cause);
    explain_attempts(failure, attempts, sizeof attempts);
    int bytes = snprintf(out, room, "upstream \"%s\": %s%s", upstream, cause, attempts);
    return (uint32_t)bytes < room ? (uint32_t)bytes : room - 1;
}
