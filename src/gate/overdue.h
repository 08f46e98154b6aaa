/* Handlers that wait for something that never comes: looked for from time to time while any handler waits. */
#pragma once

struct mg_worker;

/* A handler waits. */
void overdue_watch(struct mg_worker *w);
/* Its timer has fired: tells Lua (MG_CONTROL_OVERDUE) of each that has taken more than limits.request_time to begin its answer. */
void overdue_look(struct mg_worker *w);
