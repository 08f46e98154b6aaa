/* The part of the border that is about patterns (PCRE2). Part of moongate.h: the same rules hold. */
#pragma once
#include <stdint.h>

struct mg_regex;

enum mg_regex_option { MG_REGEX_CASELESS = 1, MG_REGEX_MULTILINE = 2, MG_REGEX_DOTALL = 4, MG_REGEX_EXTENDED = 8, MG_REGEX_UTF = 16, MG_REGEX_ANCHORED = 32 };
/* Of mg_regex_match(): an empty match does not count, and it must begin right where it is looked for. */
enum mg_regex_how { MG_REGEX_NOT_EMPTY_HERE = 1 };

/* Compiled, to machine code where that is possible. NULL: why in ret_message, and *ret_at is the byte of the pattern. */
struct mg_regex *mg_regex_new(const char *pattern, uint32_t bytes, uint32_t options, char *ret_message, uint32_t message_bytes, uint32_t *ret_at);
void mg_regex_free(struct mg_regex *regex);
/* How many groups it has, without the whole match. */
uint32_t mg_regex_groups(const struct mg_regex *regex);
/* The `index`-th name of a group and the group's number; NULL past the last. */
const char *mg_regex_name(const struct mg_regex *regex, uint32_t index, uint32_t *ret_group);
/* Looks from byte `from` on. How many pairs of mg_regex_pairs() are set, 0: it does not match; -E2BIG: more steps than are allowed; -EILSEQ: not
 * UTF-8; -EINVAL: another fault. */
int32_t mg_regex_match(struct mg_regex *regex, const char *subject, uint32_t bytes, uint32_t from, uint32_t how);
/* First byte and the byte behind the last of the whole match and of each group, 2^32 - 1: not part of the match. Of the last match. */
uint32_t mg_regex_from(const struct mg_regex *regex, uint32_t group);
uint32_t mg_regex_to(const struct mg_regex *regex, uint32_t group);
