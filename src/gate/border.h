/* What crosses the border to Lua as memory rather than as a call: plain data, declared once, read by C and by the FFI. */
#pragma once
#include "http/message.h"
#include "route/route.h"

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
    uint32_t conn;        /* number of the connection; UINT32_MAX: it is gone */
    uint16_t flags;       /* enum mg_request_flag */
    uint16_t status;      /* of the answer, once begun */
    uint32_t program;     /* number of the routes that it was matched with */
    double started_ms;    /* monotonic */
    const char *bytes;    /* what the offsets in `head` count from */
    const char *path;     /* normalised; what `captures` count from */
    uint32_t path_bytes;
    struct route_match match; /* route: MG_ROUTE_… or the user's; allow: methods that the path has, for MG_ROUTE_METHOD; captures */
    struct http_head head;
};

enum mg_event_kind {
    MG_EVENT_WAKE = 1, /* token, result: a wait has ended */
    MG_EVENT_FAIL,     /* slot, result: this request must be answered with that HTTP status (reason: text) */
    MG_EVENT_CONTROL,  /* result: enum mg_control; argument */
};

/* What the argument, the text and the slot of such an event are. */
enum mg_control {
    MG_CONTROL_DRAIN = 1, /* ms */
    MG_CONTROL_STOP,      /* 1: all connections have ended; 0: the time is over */
    MG_CONTROL_PREPARE,   /* generation; slot: descriptor of its sources, UINT32_MAX: none */
    MG_CONTROL_COMMIT,    /* generation; text: numbers of the sockets to accept on */
    MG_CONTROL_ABANDON,   /* generation */
    MG_CONTROL_ASK,       /* ticket; text: the question */
    MG_CONTROL_OVERDUE,   /* generation of the request in this slot: it has taken more than limits.request_time */
    MG_CONTROL_RETIRED,   /* number of routes that serve no more: the last of their requests has ended */
};

/* One per worker: results of the last call, read by Lua without another call. */
struct mg_border {
    int32_t route;        /* of the request that mg_next() gave */
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
    uint32_t overrun;     /* 1: the error on its way was raised because code ran for too long. The next stretch puts it back to 0 */
    uint32_t bounded;     /* 1: code of scripts runs, whose memory has a limit. Lua writes it */
    uint32_t starved;     /* 1: that limit was reached. Lua puts it back to 0 */
    uint32_t hurried;     /* Lua has more to do: mg_next() looks what there is, and does not sleep. Lua writes it */
};

enum mg_content { MG_CONTENT_NONE, MG_CONTENT_TEXT, MG_CONTENT_HTML, MG_CONTENT_JSON, MG_CONTENT_BYTES, MG_CONTENT_EVENTS };

/* DROP: removed, and an upstream's field of that name is not sent on. */
enum mg_field_mode { MG_FIELD_SET, MG_FIELD_ADD, MG_FIELD_REMOVE, MG_FIELD_DROP };

enum mg_log_level { MG_LOG_DEBUG, MG_LOG_INFO, MG_LOG_WARN, MG_LOG_ERROR };
