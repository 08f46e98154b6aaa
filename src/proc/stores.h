/* The dictionaries of an instance (dict/dict.h): the master makes their memory before the first worker, so that it outlives each of them,
 * hands it to a successor at an upgrade, and shows how full they are. */
#pragma once
#include "proc/logs.h"
#include "proc/plan.h"
#include "proc/text.h"

struct dict_area;

struct stores {
    int fd; /* -1: none */
    struct dict_area *area;
};

/* `inherited`: memory of the master before, which becomes ours, or -1. What it holds is kept when it can be read. 0 or -errno. */
int stores_open(struct stores *ret_stores, int inherited);
void stores_close(struct stores *stores);
/* Makes those of a plan that are not there yet; says which there is no memory for, and which have another size since they were made. */
void stores_make(struct stores *stores, const struct plan *plan, struct logs *logs);
void stores_text(const struct stores *stores, struct text *text);
void stores_json(const struct stores *stores, struct text *text);
