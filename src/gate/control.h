/* What master and worker say to each other over the control socket: one datagram each, fixed size. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

enum control_kind {
    /* worker to master */
    CONTROL_READY = 1, /* serving; argument = generation */
    CONTROL_FAILED,    /* could not start; text = why (file:line …) */
    CONTROL_ENDED,     /* drained and stopped */
    /* master to worker */
    CONTROL_DRAIN,     /* argument = ms allowed */
    CONTROL_STOP,      /* now */
    CONTROL_RELOAD,    /* argument = generation to build */
    CONTROL_REOPEN,    /* new log descriptors follow: text "access" or "error", descriptor by SCM_RIGHTS */
};

struct control_message {
    uint32_t kind; /* enum control_kind */
    uint32_t text_bytes;
    double argument;
    char text[4080];
};
