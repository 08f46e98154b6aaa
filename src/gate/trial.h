/* Requests that nobody sent, for those who ask what would become of one. */
#pragma once
#include <stdint.h>

struct mg_worker;

/* Parses a whole request head (it ends with an empty line), judges its target and routes it. Its slot, running and without a connection, until
 * trial_end(); or a negated status, with the reason in border.text, when the gate itself would refuse it. */
int32_t trial_begin(struct mg_worker *w, const char *head, uint32_t bytes);
void trial_end(struct mg_worker *w, uint32_t slot);
