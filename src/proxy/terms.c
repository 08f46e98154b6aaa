/* Lines of text become terms; equal ones are found again, so that a reload finds its own. */
#include "proxy/terms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/head.h"
#include "proxy/inner.h"

enum { TERMS_BYTES_MAX = 16384 };

static int same(const char *text, const char *word)
{
    return strcmp(text, word) == 0;
}

/* A number that fills the text, and is not TERMS_UNSAID. */
static int read_number(const char *text, uint32_t *ret)
{
    char *end;
    if (*text < '0' || *text > '9')
        return 0;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || errno || value >= TERMS_UNSAID)
        return 0;
    *ret = (uint32_t)value;
    return 1;
}

static int read_flag(const char *text, uint8_t *ret)
{
    *ret = *text == '1';
    return same(text, "0") || same(text, "1");
}

static int add_status(struct terms *terms, const char *word)
{
    uint32_t status;
    if (!read_number(word, &status) || status < 400 || status > 599)
        return 0;
    for (uint32_t i = 0; i < TERMS_STATUSES_MAX; i++)
        if (terms->statuses[i] == 0) {
            terms->statuses[i] = (uint16_t)status;
            return 1;
        }
    return 0;
}

static int add_cause(struct terms *terms, const char *word)
{
    static const char *const names[] = { "connect", "reset", "timeout", "malformed" };
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(word, names[i])) {
            terms->retry_on |= 1u << i;
            return 1;
        }
    return add_status(terms, word);
}

static int add_method(struct terms *terms, const char *word)
{
    static const char *const names[] = {
#define X(id, text) text,
#include "http/methods.tbl.h"
#undef X
    };
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(word, names[i])) {
            terms->retry_methods |= 1u << i;
            return 1;
        }
    return 0;
}

static int each_word(struct terms *terms, char *words, int (*add)(struct terms *terms, const char *word))
{
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!add(terms, word))
            return 0;
    return 1;
}

static int read_host(struct terms *terms, const char *value)
{
    terms->host = HOST_NAME;
    if (same(value, "preserve"))
        terms->host = HOST_PRESERVE;
    else if (same(value, "upstream"))
        terms->host = HOST_UPSTREAM;
    else if (strncmp(value, "name ", 5) == 0)
        terms->host_name = (struct slice){ value + 5, (uint32_t)strlen(value + 5) };
    else
        return 0;
    return 1;
}

static int read_path(struct slice *ret, const char *value)
{
    *ret = (struct slice){ value, (uint32_t)strlen(value) };
    return *value == '/';
}

static uint32_t *number_of(struct terms *terms, const char *key)
{
    struct row {
        const char *key;
        uint32_t *at;
    } const rows[] = {
        { "connect", &terms->connect_ms },  { "send", &terms->send_ms },   { "head", &terms->head_ms },
        { "between", &terms->between_ms },  { "total", &terms->total_ms }, { "tunnel", &terms->tunnel_ms },
        { "hedge", &terms->hedge_ms },      { "attempts", &terms->attempts }, { "replay", &terms->replay_bytes },
    };
    for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (same(key, rows[i].key))
            return rows[i].at;
    return NULL;
}

static int read_line(struct terms *terms, const char *key, char *value)
{
    uint32_t *number = number_of(terms, key);
    uint32_t small;
    if (number)
        return read_number(value, number);
    if (same(key, "on"))
        return each_word(terms, value, add_cause);
    if (same(key, "methods"))
        return each_word(terms, value, add_method);
    if (same(key, "host"))
        return read_host(terms, value);
    if (same(key, "strip"))
        return read_path(&terms->strip, value);
    if (same(key, "prefix"))
        return read_path(&terms->prefix, value);
    if (same(key, "traces"))
        return read_flag(value, &terms->traces);
    if (same(key, "ids"))
        return read_flag(value, &terms->ids);
    if (same(key, "upgrades"))
        terms->upgrades = (struct slice){ value, (uint32_t)strlen(value) };
    else if (same(key, "forwarded") && read_number(value, &small) && small <= (FORWARDED_X | FORWARDED_STANDARD))
        terms->forwarded = (uint8_t)small;
    else if (same(key, "share") && read_number(value, &small) && small <= 1000)
        terms->share = (uint16_t)small;
    else
        return 0;
    return 1;
}

static int read_lines(struct terms *terms, char *line)
{
    static char no_value[] = "";
    for (char *end; *line; line = end) {
        end = strchrnul(line, '\n');
        if (*end)
            *end++ = '\0';
        char *value = strchr(line, ' ');
        if (value)
            *value++ = '\0';
        if (*line && !read_line(terms, line, value ? value : no_value))
            return 0;
    }
    return terms->attempts <= TERMS_ATTEMPTS_MAX && terms->attempts > 0;
}

/* The lines stand in it twice: as they came, to be found again, and taken apart. NULL with *ret_error. */
static struct terms *terms_new(struct slice lines, int *ret_error)
{
    struct terms *terms = lines.bytes <= TERMS_BYTES_MAX ? calloc(1, sizeof *terms + 2 * ((size_t)lines.bytes + 1)) : NULL;
    *ret_error = -ENOMEM;
    if (!terms)
        return NULL;
    terms->connect_ms = terms->send_ms = terms->head_ms = terms->between_ms = terms->total_ms = terms->tunnel_ms = TERMS_UNSAID;
    terms->replay_bytes = TERMS_UNSAID;
    terms->attempts = 3;
    terms->forwarded = FORWARDED_X;
    terms->ids = 1;
    terms->share = 200;
    terms->upgrades = (struct slice){ "websocket", 9 };
    memcpy(terms->text, lines.at, lines.bytes);
    memcpy(terms->text + lines.bytes + 1, lines.at, lines.bytes);
    *ret_error = -EINVAL;
    if (strlen(terms->text) == lines.bytes && read_lines(terms, terms->text + lines.bytes + 1)) {
        terms->same = terms->retry_on || terms->statuses[0];
        if (!terms->same)
            terms->retry_on = RETRY_CONNECT | RETRY_CLOSED;
        return terms;
    }
    free(terms);
    return NULL;
}

int proxy_terms_open(struct proxy *proxy, struct slice lines)
{
    int place = -ENOSPC, error = 0;
    for (int i = 0; i < PROXY_TERMS_MAX; i++) {
        struct terms *terms = proxy->terms[i];
        if (terms && strlen(terms->text) == lines.bytes && memcmp(terms->text, lines.at, lines.bytes) == 0) {
            terms->users++;
            return i;
        }
        if (!terms && place < 0)
            place = i;
    }
    if (place < 0)
        return place;
    struct terms *made = terms_new(lines, &error);
    if (!made)
        return error;
    made->users = 1;
    proxy->terms[place] = made;
    return place;
}

struct terms *terms_of(const struct proxy *proxy, int handle)
{
    return handle >= 0 && handle < PROXY_TERMS_MAX ? proxy->terms[handle] : NULL;
}

void terms_drop(struct proxy *proxy, struct terms *terms)
{
    if (--terms->users > 0)
        return;
    for (int i = 0; i < PROXY_TERMS_MAX; i++)
        if (proxy->terms[i] == terms)
            proxy->terms[i] = NULL;
    free(terms);
}

void proxy_terms_close(struct proxy *proxy, int handle)
{
    struct terms *terms = terms_of(proxy, handle);
    if (terms)
        terms_drop(proxy, terms);
}

void terms_fini(struct proxy *proxy)
{
    for (int i = 0; i < PROXY_TERMS_MAX; i++)
        free(proxy->terms[i]);
}
