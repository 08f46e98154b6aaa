/* What master and worker say to each other over the control socket: one datagram each, fixed size. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum control_kind {
    /* worker to master */
    CONTROL_READY = 1, /* serving; argument = generation */
    CONTROL_FAILED,    /* could not start, or not prepare the generation of the argument; text = why (file:line …) */
    CONTROL_ENDED,     /* drained and stopped */
    CONTROL_PREPARED,  /* argument = generation: built beside the one that serves, its start hooks have run */
    CONTROL_ANSWER,    /* argument = ticket, text = a part of the answer */
    CONTROL_ANSWERED,  /* argument = ticket: that was all of it */
    CONTROL_CHANGED,   /* text = a change of an upstream (proxy/change.h) that a script has made here */
    /* master to worker; "+ fd": a descriptor comes along by SCM_RIGHTS */
    CONTROL_DRAIN,     /* argument = ms allowed; text "patient": idle connections may ask once more first */
    CONTROL_STOP,      /* now */
    CONTROL_LISTEN,    /* + fd: a listening socket, argument = its number; used when a COMMIT names it */
    CONTROL_PREPARE,   /* + fd: the sources; argument = generation to build */
    CONTROL_COMMIT,    /* argument = generation to serve; text = numbers of the sockets to accept on from now on, "0 1 5" */
    CONTROL_ABANDON,   /* argument = generation to forget */
    CONTROL_ASK,       /* argument = ticket, text = question */
    CONTROL_CLOSE,     /* argument = number of a route that is answered 503 from now on; text = its generation */
    CONTROL_LOOK,      /* somebody has died who accepted on the same sockets: take what waits there */
    CONTROL_CHANGE,    /* text = a change of an upstream to make here as well */
    CONTROL_REOPEN,    /* + fd: new log; text = "access" or "error" */
};

struct control_message {
    uint32_t kind; /* enum control_kind */
    uint32_t text_bytes;
    double argument;
    char text[4080];
};
