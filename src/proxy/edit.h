/* Fields of a request that a script sets or takes away before it is forwarded. Comes in: lines "Name: value", or "Name" for one that is not
 * sent on, each ended by LF. Goes out: which names they speak of, and lines of a head. Pure. */
#pragma once
#include "base/slice.h"

/* 0, or -EINVAL: a line that is none, bytes that must not be in it, or a field that the gateway writes itself. */
int edits_check(struct slice edits);
/* Do they speak of the field with that name? */
int edits_name(struct slice edits, struct slice name);
/* Takes the next line that is to be sent off the front: 1 and its parts, 0 at the end. */
int edits_next(struct slice *edits, struct slice *ret_name, struct slice *ret_value);
