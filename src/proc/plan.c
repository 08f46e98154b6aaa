/* Parses plans. */
#include "proc/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAIN_MS = 30000, DRAIN_MS_MAX = 24 * 3600 * 1000 };

static bool problem(char *ret_problem, const char *key, const char *value, const char *why)
{
    snprintf(ret_problem, PLAN_PROBLEM_BYTES, "%.40s %.100s: %.100s", key, value, why);
    return false;
}

static bool plan_number(const char *key, const char *value, long most, long *ret_number, char *ret_problem)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end || !(number >= 0 && number <= (double)most))
        return problem(ret_problem, key, value, "expected a number within its bounds");
    *ret_number = (long)number;
    return true;
}

static bool plan_path(const char *key, const char *value, char *ret_path, char *ret_problem)
{
    if (strlen(value) >= PLAN_PATH_BYTES)
        return problem(ret_problem, key, value, "the path is too long");
    strcpy(ret_path, strcmp(value, "off") == 0 ? "" : value);
    return true;
}

static bool plan_listen(struct plan *plan, const char *value, char *ret_problem)
{
    if (plan->listen_count == PLAN_LISTEN_MAX)
        return problem(ret_problem, "listen", value, "too many addresses");
    const char *why = address_parse(value, &plan->listen[plan->listen_count]);
    if (why)
        return problem(ret_problem, "listen", value, why);
    plan->listen_count++;
    return true;
}

/* Room for one more in an array that doubles at each power of two. NULL: no memory, the array is as it was. */
static void *one_more(void *array, uint32_t count, size_t bytes)
{
    if (count & (count - 1))
        return array;
    return realloc(array, (count ? 2 * (size_t)count : 1) * bytes);
}

static bool plan_file(struct plan *plan, const char *path)
{
    void *files = one_more(plan->files, plan->file_count, sizeof *plan->files);
    if (!files)
        return false;
    plan->files = files;
    plan->files[plan->file_count++] = path;
    return true;
}

/* "N FINGERPRINT NAME" */
static bool plan_route(struct plan *plan, char *value)
{
    void *routes = one_more(plan->routes, plan->route_count, sizeof *plan->routes);
    if (!routes)
        return false;
    plan->routes = routes;
    char *fingerprint = value + strcspn(value, " "), *name = fingerprint + strspn(fingerprint, " ");
    fingerprint = name;
    name += strcspn(name, " ");
    if (*name)
        *name++ = 0;
    plan->routes[plan->route_count++] = (struct plan_route){ name, fingerprint };
    return true;
}

/* "BYTES NAME" */
static bool plan_shared(struct plan *plan, const char *value, char *ret_problem)
{
    char *name;
    double bytes = strtod(value, &name);
    if (plan->shared_count == PLAN_SHARED_MAX || name == value || *name != ' ' || !(bytes >= 0))
        return problem(ret_problem, "shared", value, "expected bytes and a name, at most 64 times");
    plan->shared[plan->shared_count++] = (struct plan_shared){ name + 1, bytes };
    return true;
}

static bool plan_line(struct plan *plan, const char *key, char *value, char *ret_problem)
{
    long number;
    if (strcmp(key, "file") == 0)
        return plan_file(plan, value) || problem(ret_problem, key, value, "no memory");
    if (strcmp(key, "route") == 0)
        return plan_route(plan, value) || problem(ret_problem, key, value, "no memory");
    if (strcmp(key, "shared") == 0)
        return plan_shared(plan, value, ret_problem);
    if (strcmp(key, "listen") == 0)
        return plan_listen(plan, value, ret_problem);
    if (strcmp(key, "access_log") == 0)
        return plan_path(key, value, plan->access_log, ret_problem);
    if (strcmp(key, "error_log") == 0)
        return plan_path(key, value, plan->error_log, ret_problem);
    if (strcmp(key, "name") == 0) {
        snprintf(plan->name, sizeof plan->name, "%s", value);
    } else if (strcmp(key, "engine") == 0) {
        snprintf(plan->engine, sizeof plan->engine, "%s", value);
    } else if (strcmp(key, "workers") == 0 && strcmp(value, "auto") != 0) {
        if (!plan_number(key, value, PLAN_WORKERS_MAX, &number, ret_problem))
            return false;
        plan->workers = (uint32_t)number;
    } else if (strcmp(key, "drain_ms") == 0) {
        if (!plan_number(key, value, DRAIN_MS_MAX, &number, ret_problem))
            return false;
        plan->drain_ms = number;
    } else if (strcmp(key, "once") == 0) {
        plan->once = strcmp(value, "0") != 0;
    } else if (strcmp(key, "reload") == 0) {
        plan->watch = strcmp(value, "watch") == 0;
    }
    return true;
}

static int route_compare(const void *a, const void *b)
{
    const struct plan_route *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order ? order : strcmp(left->fingerprint, right->fingerprint);
}

/* Takes the next line off `rest`: its key is returned, "" at an empty line, NULL at the end. */
static char *next_line(char **rest, char **ret_value)
{
    char *key = *rest, *end = key + strcspn(key, "\n");
    if (*key == 0)
        return NULL;
    *rest = *end ? end + 1 : end;
    *end = 0;
    *ret_value = key + strcspn(key, " ");
    if (**ret_value)
        *(*ret_value)++ = 0;
    return key;
}

bool plan_parse(char *text, struct plan *ret_plan, char *ret_problem)
{
    struct plan *plan = ret_plan;
    *plan = (struct plan){ .drain_ms = DRAIN_MS, .error_log = "-", .text = text };
    char *rest = text, *value;
    for (char *key; (key = next_line(&rest, &value));)
        if (!plan_line(plan, key, value, ret_problem))
            return false;
    if (plan->route_count)
        qsort(plan->routes, plan->route_count, sizeof *plan->routes, route_compare);
    if (plan->listen_count == 0)
        return problem(ret_problem, "listen", "", "no address to listen on");
    return true;
}

void plan_parse_files(char *text, struct plan *ret_plan)
{
    *ret_plan = (struct plan){ .text = text };
    char *rest = text, *value;
    for (char *key; (key = next_line(&rest, &value));)
        if (strcmp(key, "file") == 0 && !plan_file(ret_plan, value))
            return; /* no memory: the rest is not watched */
}

/* One past the last route of the name at `from`. */
static uint32_t name_end(const struct plan *plan, uint32_t from)
{
    uint32_t at = from;
    while (at < plan->route_count && strcmp(plan->routes[at].name, plan->routes[from].name) == 0)
        at++;
    return at;
}

/* How many fingerprints two sorted runs of routes have in common. */
static uint32_t common(const struct plan_route *a, uint32_t a_count, const struct plan_route *b, uint32_t b_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0, j = 0; i < a_count && j < b_count;) {
        int order = strcmp(a[i].fingerprint, b[j].fingerprint);
        count += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return count;
}

uint32_t plan_routes_changed(const struct plan *before, const struct plan *next)
{
    uint32_t changed = 0, i = 0, j = 0;
    while (i < before->route_count || j < next->route_count) {
        int order = i == before->route_count ? 1
                  : j == next->route_count ? -1 : strcmp(before->routes[i].name, next->routes[j].name);
        uint32_t i_end = order <= 0 ? name_end(before, i) : i, j_end = order >= 0 ? name_end(next, j) : j;
        uint32_t most = i_end - i > j_end - j ? i_end - i : j_end - j;
        changed += most - common(before->routes + i, i_end - i, next->routes + j, j_end - j);
        i = i_end;
        j = j_end;
    }
    return changed;
}

void plan_fini(struct plan *plan)
{
    free(plan->files);
    free(plan->routes);
    free(plan->text);
    *plan = (struct plan){ 0 };
}

bool plan_is_whole(const char *text, uint32_t bytes)
{
    return bytes >= 4 && memcmp(text + bytes - 4, "end\n", 4) == 0 && (bytes == 4 || text[bytes - 5] == '\n');
}
