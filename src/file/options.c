/* What was said of a folder: lines of text taken apart, in memory that they share. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "file/root.h"

enum { RULES_MAX = 64, INDEX_BYTES_MAX = 128 };

struct file_options_text {
    uint32_t rule_count;
    struct file_rule rules[RULES_MAX];
    char bytes[];
};

static struct slice slice_of(const char *text)
{
    return (struct slice){ text, (uint32_t)strlen(text) };
}

static int rule_add(struct file_options_text *text, struct file_rule **rules, const char *pattern, const char *value)
{
    if (text->rule_count == RULES_MAX)
        return 0;
    struct file_rule *rule = &text->rules[text->rule_count++];
    *rule = (struct file_rule){ NULL, pattern, slice_of(value) };
    while (*rules)
        rules = &(*rules)->next;
    *rules = rule;
    return 1;
}

static int links_read(const char *value, uint8_t *ret)
{
    static const char *const names[] = { [FILE_LINKS_INSIDE] = "inside", [FILE_LINKS_NEVER] = "never", [FILE_LINKS_ANYWHERE] = "anywhere" };
    for (uint8_t i = 0; i < 3; i++)
        if (strcmp(value, names[i]) == 0) {
            *ret = i;
            return 1;
        }
    return 0;
}

static int index_read(struct file_options *options, const char *value)
{
    if (options->index_count == FILE_INDEX_MAX || strlen(value) >= INDEX_BYTES_MAX || strchr(value, '/'))
        return 0;
    options->index[options->index_count++] = value;
    return 1;
}

static int cache_read(struct file_options_text *text, struct file_options *options, char *value)
{
    char *tab = strchr(value, '\t');
    if (!tab)
        return 0;
    *tab = '\0';
    return rule_add(text, &options->cache_control, value, tab + 1);
}

static int line_read(struct file_options_text *text, struct file_options *options, const char *key, char *value)
{
    if (strcmp(key, "links") == 0)
        return links_read(value, &options->links);
    if (strcmp(key, "index") == 0)
        return index_read(options, value);
    if (strcmp(key, "cache") == 0)
        return cache_read(text, options, value);
    if (strcmp(key, "download") == 0)
        return rule_add(text, &options->download, value, "attachment");
    if (strcmp(key, "fallback") == 0)
        options->fallback = slice_of(value);
    else if (strcmp(key, "missing") == 0)
        options->missing = slice_of(value);
    else if (strcmp(key, "check") == 0)
        options->check_ms = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(key, "hidden") == 0)
        options->hidden = 1;
    else if (strcmp(key, "list") == 0)
        options->list = 1;
    else if (strcmp(key, "plain") == 0)
        options->plain = 1;
    else if (strcmp(key, "growing") == 0)
        options->growing = 1;
    else
        return 0;
    return 1;
}

struct file_options_text *file_options_read(struct slice lines, struct file_options *ret_options)
{
    static char no_value[] = "";
    struct file_options_text *text = malloc(sizeof *text + lines.bytes + 1);
    struct file_options options = { 0 };
    if (!text)
        return NULL;
    text->rule_count = 0;
    memcpy(text->bytes, lines.at, lines.bytes);
    text->bytes[lines.bytes] = '\0';
    for (char *line = text->bytes, *end; *line; line = end) {
        end = strchrnul(line, '\n');
        if (*end)
            *end++ = '\0';
        char *value = strchr(line, ' ');
        if (value)
            *value++ = '\0';
        if (*line && !line_read(text, &options, line, value ? value : no_value)) {
            free(text);
            return NULL;
        }
    }
    if (options.index_count == 0)
        options.index[options.index_count++] = "index.html";
    *ret_options = options;
    return text;
}

void file_options_free(struct file_options_text *text)
{
    free(text);
}

struct slice file_rule_find(const struct file_rule *rules, const char *path)
{
    const char *slash = strrchr(path, '/');
    for (const struct file_rule *rule = rules; rule; rule = rule->next)
        if (fnmatch(rule->pattern, strchr(rule->pattern, '/') || !slash ? path : slash + 1, 0) == 0)
            return rule->value;
    return (struct slice){ NULL, 0 };
}
