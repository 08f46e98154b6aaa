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

static bool plan_line(struct plan *plan, const char *key, const char *value, char *ret_problem)
{
    long number;
    if (strcmp(key, "listen") == 0)
        return plan_listen(plan, value, ret_problem);
    if (strcmp(key, "access_log") == 0)
        return plan_path(key, value, plan->access_log, ret_problem);
    if (strcmp(key, "error_log") == 0)
        return plan_path(key, value, plan->error_log, ret_problem);
    if (strcmp(key, "name") == 0) {
        snprintf(plan->name, sizeof plan->name, "%s", value);
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
    }
    return true;
}

bool plan_parse(char *text, struct plan *ret_plan, char *ret_problem)
{
    struct plan *plan = ret_plan;
    *plan = (struct plan){ .drain_ms = DRAIN_MS, .error_log = "-" };
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *value = line + strcspn(line, " ");
        if (*value)
            *value++ = 0;
        if (!plan_line(plan, line, value, ret_problem))
            return false;
    }
    if (plan->listen_count == 0)
        return problem(ret_problem, "listen", "", "no address to listen on");
    return true;
}

bool plan_is_whole(const char *text, uint32_t bytes)
{
    return bytes >= 4 && memcmp(text + bytes - 4, "end\n", 4) == 0 && (bytes == 4 || text[bytes - 5] == '\n');
}
