/* Why an exchange did not come to its end, kept as numbers and put into words when it is told. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum failure_cause {
    CAUSE_CONNECT,      /* error: of connect(2) */
    CAUSE_CONNECT_TIME,
    CAUSE_CONNECTIONS,  /* our own bound */
    CAUSE_MEMORY,
    CAUSE_CLOSED,       /* the server ended the connection; error 0, or of receiving or sending */
    CAUSE_TIME,         /* nothing came, or nothing was taken, in time */
    CAUSE_HEAD,         /* reason: what is wrong with the response head */
    CAUSE_CONTENT,      /* chunks that are none */
    CAUSE_INTERIM,      /* 101 without being asked, or too many 1xx */
    CAUSE_SERVERS,      /* none can be used */
    CAUSE_REQUESTS,     /* as many run as may */
    CAUSE_WAIT_FULL,    /* all connections are in use, and as many requests wait as may */
    CAUSE_WAIT_TIME,    /* no connection became free in time */
    CAUSE_SEND_TIME,    /* the server stopped taking the request */
    CAUSE_TOTAL_TIME,   /* all of it took too long */
    CAUSE_SILENCE,      /* neither side of a tunnel said anything */
    CAUSE_STATUS,       /* a status that is tried again, and there was no server for it */
};

struct failure {
    const char *reason; /* static; may be NULL */
    int32_t error;      /* errno, positive */
    uint32_t ms;        /* the limit that was passed */
    uint8_t cause;      /* enum failure_cause */
    uint8_t begun;      /* a response head had come */
    uint8_t attempt, attempts; /* of how many; 0 and 1: nothing is said of them */
    uint8_t unaffordable;      /* there would have been another one, but for the budget */
    uint16_t status;    /* for CAUSE_STATUS */
};

/* Does it say something of the server's state? */
int failure_is_of_server(const struct failure *failure);
/* 502, 503 or 504. */
uint16_t failure_status(const struct failure *failure);
/* One sentence: upstream "api": connect 10.0.0.7:80: connection refused. Returns its length. */
uint32_t failure_explain(const struct failure *failure, const char *upstream, const char *server, char *out, uint32_t room);
