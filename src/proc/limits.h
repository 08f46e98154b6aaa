/* How long the processes wait for each other: every wait of the master has its limit here. */
#pragma once
#include <stdint.h>

struct proc_limits {
    int64_t load_ms;        /* a candidate may load */
    int64_t start_ms;       /* a worker may take until it serves */
    int64_t grace_ms;       /* beyond the drain limit, and after "stop now", until the next harder step */
    int64_t kill_ms;        /* after SIGKILL until a worker is given up */
    int64_t prepare_ms;     /* workers may build a generation, its start hooks included */
    int64_t commit_ms;      /* a worker may take to put it in service */
    int64_t release_ms;     /* an address that we gave up may stay in use by a worker that has not heard of it */
    int64_t look_ms;        /* after a death, until those who accept on the same sockets look what waits there */
    int64_t ask_ms;         /* a worker may take to answer a question */
    int64_t command_ms;     /* a control client may take to say its command, and to take the answer */
    int64_t rest_first_ms;  /* pause before the second replacement of a worker; doubles */
    int64_t rest_most_ms;
    int64_t blame_deaths;   /* workers that a route may cost */
    int64_t blame_ms;       /* within this */
    int64_t healthy_ms;     /* a worker that served so long has no past */
    int64_t watches_max;    /* names that are watched; more: they are looked at instead */
    int64_t port_retry_ms;  /* between attempts with --wait-for-port */
};

/* Defaults; a program may set others before it starts a master. */
extern struct proc_limits proc_limits;
