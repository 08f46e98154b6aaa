/* Patterns: PCRE2 with its compiler to machine code. A match has an end: after STEPS_MAX steps it is given up. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "abi/regex.h"

#include <errno.h>
#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

enum { STEPS_MAX = 1000000, DEPTH_MAX = 10000, HEAP_KIB_MAX = 8192, STACK_LEAST = 32768, STACK_MOST = 1 << 20 };

struct mg_regex {
    pcre2_code *code;
    pcre2_match_data *found;
    uint32_t groups, names, name_bytes;
    const uint8_t *name_table; /* each: two bytes of number, the name, a zero byte */
};

static pcre2_match_context *limits; /* of all matches of this process */

static bool limits_init(void)
{
    if (limits)
        return true;
    pcre2_jit_stack *stack = pcre2_jit_stack_create(STACK_LEAST, STACK_MOST, NULL);
    limits = pcre2_match_context_create(NULL);
    if (!limits)
        return false;
    pcre2_set_match_limit(limits, STEPS_MAX);
    pcre2_set_depth_limit(limits, DEPTH_MAX);
    pcre2_set_heap_limit(limits, HEAP_KIB_MAX);
    if (stack)
        pcre2_jit_stack_assign(limits, NULL, stack);
    return true;
}

static uint32_t options_of(uint32_t given)
{
    uint32_t options = PCRE2_NEVER_BACKSLASH_C;
    options |= given & MG_REGEX_CASELESS ? PCRE2_CASELESS : 0;
    options |= given & MG_REGEX_MULTILINE ? PCRE2_MULTILINE : 0;
    options |= given & MG_REGEX_DOTALL ? PCRE2_DOTALL : 0;
    options |= given & MG_REGEX_EXTENDED ? PCRE2_EXTENDED : 0;
    options |= given & MG_REGEX_UTF ? PCRE2_UTF | PCRE2_UCP : 0;
    return options | (given & MG_REGEX_ANCHORED ? PCRE2_ANCHORED : 0);
}

EXPORT struct mg_regex *mg_regex_new(const char *pattern, uint32_t bytes, uint32_t options, char *ret_message, uint32_t message_bytes, uint32_t *ret_at)
{
    int error = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE at = 0;
    struct mg_regex *regex = limits_init() ? calloc(1, sizeof *regex) : NULL;
    if (regex)
        regex->code = pcre2_compile((PCRE2_SPTR)pattern, bytes, options_of(options), &error, &at, NULL);
    if (regex && regex->code)
        regex->found = pcre2_match_data_create_from_pattern(regex->code, NULL);
    if (!regex || !regex->found) {
        pcre2_get_error_message(error, (PCRE2_UCHAR *)ret_message, message_bytes);
        *ret_at = (uint32_t)at;
        mg_regex_free(regex);
        return NULL;
    }
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* where the system forbids it, patterns are interpreted */
    pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &regex->names);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &regex->name_bytes);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &regex->name_table);
    return regex;
}

EXPORT void mg_regex_free(struct mg_regex *regex)
{
    if (!regex)
        return;
    pcre2_match_data_free(regex->found);
    pcre2_code_free(regex->code);
    free(regex);
}

EXPORT uint32_t mg_regex_groups(const struct mg_regex *regex)
{
    return regex->groups;
}

EXPORT const char *mg_regex_name(const struct mg_regex *regex, uint32_t index, uint32_t *ret_group)
{
    if (index >= regex->names)
        return NULL;
    const uint8_t *entry = regex->name_table + index * regex->name_bytes;
    *ret_group = (uint32_t)entry[0] << 8 | entry[1];
    return (const char *)entry + 2;
}

EXPORT int32_t mg_regex_match(struct mg_regex *regex, const char *subject, uint32_t bytes, uint32_t from, uint32_t how)
{
    uint32_t options = how & MG_REGEX_NOT_EMPTY_HERE ? PCRE2_NOTEMPTY_ATSTART | PCRE2_ANCHORED : 0;
    int count = pcre2_match(regex->code, (PCRE2_SPTR)subject, bytes, from, options, regex->found, limits);
    if (count > 0)
        return count;
    if (count == PCRE2_ERROR_NOMATCH)
        return 0;
    if (count == PCRE2_ERROR_MATCHLIMIT || count == PCRE2_ERROR_DEPTHLIMIT || count == PCRE2_ERROR_HEAPLIMIT || count == PCRE2_ERROR_JIT_STACKLIMIT)
        return -E2BIG;
    return count <= PCRE2_ERROR_UTF8_ERR1 && count >= PCRE2_ERROR_UTF8_ERR21 ? -EILSEQ : -EINVAL;
}

EXPORT uint32_t mg_regex_from(const struct mg_regex *regex, uint32_t group)
{
    return (uint32_t)pcre2_get_ovector_pointer(regex->found)[2 * group];
}

EXPORT uint32_t mg_regex_to(const struct mg_regex *regex, uint32_t group)
{
    return (uint32_t)pcre2_get_ovector_pointer(regex->found)[2 * group + 1];
}
