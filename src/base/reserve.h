/* Memory that can grow in place: address space is set aside for the most it may ever be, and made usable as it is asked for. What is
 * usable and untouched costs nothing; it begins all zero. Pointers into it stay good for its whole life. */
#pragma once
#include <stddef.h>

struct reserve {
    char *at;
    size_t usable, most; /* bytes */
};

/* 0 or -ENOMEM. Where address space itself is limited (RLIMIT_AS), `most` may come out as `usable`. */
int reserve_init(struct reserve *ret_reserve, size_t usable, size_t most);
/* At least `usable` bytes from now on; never less than before. 0, or -ENOMEM: it is as it was. */
int reserve_grow(struct reserve *reserve, size_t usable);
/* Accepts all zero. */
void reserve_fini(struct reserve *reserve);
