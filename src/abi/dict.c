/* Dictionaries at the border: keys become slices, and the time is read. */
#include "abi/dict.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "abi/dict_use.h"

#define EXPORT __attribute__((visibility("default")))

static struct dict_area *area;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static struct dict_key key_of(const char *at, uint32_t bytes)
{
    return (struct dict_key){ at, bytes };
}

void dict_use(int fd)
{
    area = dict_area_open(fd);
}

static void make_own(void)
{
    int fd = dict_area_make();
    if (fd >= 0 && !(area = dict_area_open(fd)))
        close(fd);
}

EXPORT struct dict *mg_dict_open(const char *name, uint32_t bytes, double size, int32_t *ret_error)
{
    struct dict *found = NULL;
    if (!area)
        make_own();
    *ret_error = area ? dict_area_store(area, key_of(name, bytes), size, &found) : -ENOMEM;
    return found;
}

EXPORT int32_t mg_dict_get(struct dict *s, const char *key, uint32_t bytes, struct dict_value *ret, char *ret_bytes, uint32_t room)
{
    return dict_get(s, key_of(key, bytes), now_ms(), ret, ret_bytes, room);
}

EXPORT int32_t mg_dict_set(struct dict *s, const char *key, uint32_t bytes, const struct dict_value *value, const char *text, uint32_t when,
                             int32_t may_evict)
{
    return dict_set(s, key_of(key, bytes), now_ms(), value, text, (enum dict_when)when, may_evict);
}

EXPORT int32_t mg_dict_incr(struct dict *s, const char *key, uint32_t bytes, double by, int32_t has_initial, double initial, double ttl_ms,
                              double *ret_number)
{
    return dict_incr(s, key_of(key, bytes), now_ms(), by, has_initial, initial, ttl_ms, ret_number);
}

EXPORT int32_t mg_dict_expire(struct dict *s, const char *key, uint32_t bytes, double ttl_ms)
{
    return dict_expire(s, key_of(key, bytes), now_ms(), ttl_ms);
}

EXPORT int32_t mg_dict_delete(struct dict *s, const char *key, uint32_t bytes, double version)
{
    return dict_delete(s, key_of(key, bytes), now_ms(), version < 0 ? NULL : &version);
}

EXPORT int32_t mg_dict_push(struct dict *s, const char *key, uint32_t bytes, uint32_t end, const struct dict_value *value, const char *text)
{
    return dict_push(s, key_of(key, bytes), now_ms(), (enum dict_end)end, value, text);
}

EXPORT int32_t mg_dict_pop(struct dict *s, const char *key, uint32_t bytes, uint32_t end, struct dict_value *ret, char *ret_bytes, uint32_t room)
{
    return dict_pop(s, key_of(key, bytes), now_ms(), (enum dict_end)end, ret, ret_bytes, room);
}

EXPORT int32_t mg_dict_bucket(struct dict *s, const char *key, uint32_t bytes, double per_ms, double burst, double cost, struct dict_verdict *ret)
{
    return dict_bucket(s, key_of(key, bytes), now_ms(), per_ms, burst, cost, ret);
}

EXPORT int32_t mg_dict_window(struct dict *s, const char *key, uint32_t bytes, double window_ms, double most, double cost, struct dict_verdict *ret)
{
    return dict_window(s, key_of(key, bytes), now_ms(), window_ms, most, cost, ret);
}

EXPORT double mg_dict_scan(struct dict *s, double cursor, const char *prefix, uint32_t bytes, char *ret_keys, uint32_t room, uint32_t *ret_bytes)
{
    return dict_scan(s, cursor, key_of(prefix, bytes), now_ms(), ret_keys, room, ret_bytes);
}

EXPORT double mg_dict_flush(struct dict *s)
{
    return dict_flush(s);
}

EXPORT void mg_dict_count(struct dict *s, struct dict_counts *ret)
{
    dict_count(s, ret);
}
