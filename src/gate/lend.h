/* Answers whose lines are ready and whose content stays where it is: part of reply.c, for who has both (side_file.c). */
#pragma once
#include "gate/gate.h"

/* Lines stand in place of Content-Type and the framing's, each ending with CR LF; the request must have no fields of its own. A small
 * `body` is copied, a larger one is lent by `loan`; 304 and HEAD have none. Ends the answer. As reply_whole() otherwise. */
int reply_ready(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines, const char *body, uint32_t bytes, struct net_loan *loan);
/* A response before the answer (RFC 9110 §15.2); lines each end with CR LF. Nothing happens when it is too late, or cannot be sent. */
void reply_interim(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines);
/* The answer is 101, with these lines: from here on reply_write() sends bytes as they are. 0, -EPIPE, -ENOBUFS or -E2BIG: nothing was begun. */
int reply_switch(struct mg_worker *w, struct request *r, struct slice lines);
/* As reply_begin() with `length`, which the lines say, too. */
int reply_begin_ready(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines, double length);
/* The same with lines that say nothing of the length, and whether Date and Server are among them. */
int reply_begin_with(struct mg_worker *w, struct request *r, uint32_t status, struct slice lines, bool own_date, bool own_server, double length);
/* As reply_write(), but the bytes stay where they are. Not for chunked answers. */
int reply_lend(struct mg_worker *w, struct request *r, const char *bytes, uint32_t count, struct net_loan *loan);
