/* Changes are read, and merged by server: the last word about each matter stands. */
#include "proxy/change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verbs[] = { "add", "remove", "drain", "down", "up", "weight" };

static int refuse(char *ret_message, uint32_t room, const char *why)
{
    snprintf(ret_message, room, "%s", why);
    return -EINVAL;
}

static int verb_of(struct slice word)
{
    for (int i = 0; i < (int)(sizeof verbs / sizeof *verbs); i++)
        if (strlen(verbs[i]) == word.bytes && memcmp(verbs[i], word.at, word.bytes) == 0)
            return i;
    return -1;
}

static int is_plain(struct slice word)
{
    for (uint32_t i = 0; i < word.bytes; i++)
        if ((unsigned char)word.at[i] <= ' ' || word.at[i] == 0x7f)
            return 0;
    return word.bytes > 0;
}

int change_read(struct change *ret_change, struct slice line, char *ret_message, uint32_t message_bytes)
{
    struct change change = { 0 };
    int verb = verb_of(spec_word(&line));
    struct slice name = spec_word(&line), rest = line, server = spec_word(&rest);
    if (verb < 0)
        return refuse(ret_message, message_bytes, "expected list, config, add, remove, drain, down, up or weight");
    if (!is_plain(name) || name.bytes > CHANGE_NAME_BYTES)
        return refuse(ret_message, message_bytes, "which upstream?");
    if (!is_plain(server))
        return refuse(ret_message, message_bytes, "which server?");
    memcpy(change.upstream, name.at, name.bytes);
    change.verb = (uint8_t)verb;
    if (verb == CHANGE_ADD) {
        int error = spec_read_server(&change.server, line, ret_message, message_bytes);
        if (error)
            return error;
    } else {
        if (server.bytes >= sizeof change.server.text)
            return refuse(ret_message, message_bytes, "the server is too long");
        memcpy(change.server.text, server.at, server.bytes);
    }
    if (verb == CHANGE_WEIGHT) {
        int64_t weight = spec_number(spec_word(&rest), 1, BALANCE_WEIGHT_MAX);
        if (weight < 0)
            return refuse(ret_message, message_bytes, "a weight is a number from 1 to 1000");
        change.server.weight = (uint16_t)weight;
    }
    if (verb != CHANGE_ADD && spec_word(&rest).bytes)
        return refuse(ret_message, message_bytes, "there are more words than it takes");
    *ret_change = change;
    return 0;
}

static struct standing *find(const struct standings *standings, const struct change *change)
{
    for (uint32_t i = 0; i < standings->count; i++) {
        struct standing *one = &standings->list[i];
        if (strcmp(one->upstream, change->upstream) == 0 && strcmp(one->server.text, change->server.text) == 0)
            return one;
    }
    return NULL;
}

static struct standing *find_or_add(struct standings *standings, const struct change *change, int *ret_error)
{
    struct standing *one = find(standings, change);
    if (one)
        return one;
    *ret_error = -ENOSPC;
    if (standings->count == CHANGES_MAX)
        return NULL;
    if (standings->count == standings->room) {
        uint32_t room = standings->room ? standings->room * 2 : 8;
        struct standing *list = realloc(standings->list, room * sizeof *list);
        *ret_error = -ENOMEM;
        if (!list)
            return NULL;
        standings->list = list;
        standings->room = room;
    }
    one = &standings->list[standings->count++];
    *one = (struct standing){ .server = { .weight = 1 } };
    memcpy(one->upstream, change->upstream, sizeof one->upstream);
    memcpy(one->server.text, change->server.text, sizeof one->server.text);
    return one;
}

int standings_merge(struct standings *standings, const struct change *change)
{
    int error = 0;
    struct standing *one = find_or_add(standings, change, &error);
    if (!one)
        return error;
    switch ((enum change_verb)change->verb) {
    case CHANGE_ADD:
        one->server = change->server;
        one->added = 1;
        one->removed = one->order = ORDER_NONE;
        one->weight = 0;
        break;
    case CHANGE_REMOVE:
        one->removed = 1;
        one->added = one->order = ORDER_NONE;
        one->weight = 0;
        break;
    case CHANGE_DRAIN:
        one->order = ORDER_DRAIN;
        break;
    case CHANGE_DOWN:
        one->order = ORDER_DOWN;
        break;
    case CHANGE_UP:
        one->order = ORDER_NONE;
        break;
    case CHANGE_WEIGHT:
        one->weight = change->server.weight;
        break;
    }
    if (!one->added && !one->removed && !one->order && !one->weight)
        *one = standings->list[--standings->count];
    return 0;
}

uint32_t standing_lines(const struct standing *standing, char *out, uint32_t room)
{
    const struct spec_server *server = &standing->server;
    uint32_t used = 0;
#define PUT(...) (used += (uint32_t)snprintf(out + used, room - used, __VA_ARGS__))
    if (standing->removed)
        PUT("remove %s %s\n", standing->upstream, server->text);
    if (standing->added) {
        PUT("add %s %s weight=%u max=%u", standing->upstream, server->text, server->weight, server->connections_max);
        PUT("%s%s\n", server->backup ? " backup" : "", server->service ? " srv" : "");
    }
    if (standing->weight)
        PUT("weight %s %s %u\n", standing->upstream, server->text, standing->weight);
    if (standing->order)
        PUT("%s %s %s\n", standing->order == ORDER_DOWN ? "down" : "drain", standing->upstream, server->text);
#undef PUT
    return used;
}

void standings_fini(struct standings *standings)
{
    free(standings->list);
    *standings = (struct standings){ 0 };
}
