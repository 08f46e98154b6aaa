/* Request content: decoded as it is asked for, and dropped when nobody does. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct client;
struct mg_worker;
struct request;

int32_t content_read(struct mg_worker *w, struct request *r, double token);
int32_t content_limit(struct request *r, double bytes);
void content_arrived(struct mg_worker *w, uint32_t conn);
void content_turn(struct mg_worker *w, struct request *r); /* its answer is next: 100 (Continue) may go out */
bool content_fits_unread(const struct mg_worker *w, const struct request *r);
void content_leave(struct mg_worker *w, struct request *r);
void content_drop(struct mg_worker *w, uint32_t conn); /* UNREAD: discard what has come */
void content_forget(struct mg_worker *w, struct client *client);
void content_give_up(struct mg_worker *w, struct client *client);
struct request *content_owner(struct mg_worker *w, uint32_t conn);
