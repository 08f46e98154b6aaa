/* The part of the border that is about dictionaries shared by all workers (dict/dict.h says what each call does). Part of moongate.h: the same
 * rules hold. Times to live are in ms, 0: for ever. */
#pragma once
#include "dict/dict.h"

/* The dictionary of that name, made with `size` bytes when there is none. NULL: -errno in *ret_error. It is there as long as the process. */
struct dict *mg_dict_open(const char *name, uint32_t bytes, double size, int32_t *ret_error);
int32_t mg_dict_get(struct dict *s, const char *key, uint32_t bytes, struct dict_value *ret, char *ret_bytes, uint32_t room);
int32_t mg_dict_set(struct dict *s, const char *key, uint32_t bytes, const struct dict_value *value, const char *text, uint32_t when,
                      int32_t may_evict);
int32_t mg_dict_incr(struct dict *s, const char *key, uint32_t bytes, double by, int32_t has_initial, double initial, double ttl_ms,
                       double *ret_number);
int32_t mg_dict_expire(struct dict *s, const char *key, uint32_t bytes, double ttl_ms);
/* `version` < 0: any. */
int32_t mg_dict_delete(struct dict *s, const char *key, uint32_t bytes, double version);
int32_t mg_dict_push(struct dict *s, const char *key, uint32_t bytes, uint32_t end, const struct dict_value *value, const char *text);
int32_t mg_dict_pop(struct dict *s, const char *key, uint32_t bytes, uint32_t end, struct dict_value *ret, char *ret_bytes, uint32_t room);
int32_t mg_dict_bucket(struct dict *s, const char *key, uint32_t bytes, double per_ms, double burst, double cost, struct dict_verdict *ret);
int32_t mg_dict_window(struct dict *s, const char *key, uint32_t bytes, double window_ms, double most, double cost, struct dict_verdict *ret);
double mg_dict_scan(struct dict *s, double cursor, const char *prefix, uint32_t bytes, char *ret_keys, uint32_t room, uint32_t *ret_bytes);
double mg_dict_flush(struct dict *s);
void mg_dict_count(struct dict *s, struct dict_counts *ret);
