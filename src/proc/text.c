/* Growing text, JSON strings, durations for people. */
#include "proc/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool text_reserve(struct text *text, uint32_t bytes)
{
    if (text->lost || text->bytes + (uint64_t)bytes > TEXT_BYTES_MAX) {
        text->lost = true;
        return false;
    }
    if (text->bytes + bytes <= text->capacity)
        return true;
    uint32_t capacity = text->capacity ? text->capacity : 1024;
    while (capacity < text->bytes + bytes)
        capacity *= 2;
    char *at = realloc(text->at, capacity);
    if (!at) {
        text->lost = true;
        return false;
    }
    text->at = at;
    text->capacity = capacity;
    return true;
}

void text_add(struct text *text, const char *bytes, uint32_t count)
{
    if (!text_reserve(text, count + 1))
        return;
    memcpy(text->at + text->bytes, bytes, count);
    text->bytes += count;
    text->at[text->bytes] = 0;
}

void text_put(struct text *text, const char *format, ...)
{
    char small[1024];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int bytes = vsnprintf(small, sizeof small, format, arguments);
    if (bytes < (int)sizeof small) {
        text_add(text, small, (uint32_t)bytes);
    } else if (text_reserve(text, (uint32_t)bytes + 1)) {
        vsnprintf(text->at + text->bytes, (size_t)bytes + 1, format, again);
        text->bytes += (uint32_t)bytes;
    }
    va_end(again);
    va_end(arguments);
}

/* Length of the UTF-8 sequence that begins here, 0: none does (RFC 3629 §4). */
static uint32_t utf8_bytes(const unsigned char *at)
{
    uint32_t count = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
    for (uint32_t i = 1; i < count; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool beyond = (at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf4 && at[1] >= 0x90);
    return overlong || beyond ? 0 : count;
}

void text_json(struct text *text, const char *string)
{
    const unsigned char *at = (const unsigned char *)string;
    text_add(text, "\"", 1);
    while (*at) {
        uint32_t count = utf8_bytes(at);
        if (*at == '"' || *at == '\\')
            text_put(text, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            text_put(text, "\\u%04x", *at);
        else if (count == 0)
            text_add(text, "\\ufffd", 6);
        else
            text_add(text, (const char *)at, count);
        at += count ? count : 1;
    }
    text_add(text, "\"", 1);
}

void text_fini(struct text *text)
{
    free(text->at);
    *text = (struct text){ 0 };
}

const char *text_duration(int64_t ms)
{
    static char ring[4][32];
    static uint32_t next;
    char *buffer = ring[next++ % 4];
    long long s = ms / 1000;
    if (ms < 1000)
        snprintf(buffer, 32, "%lldms", (long long)ms);
    else if (s < 10 && ms % 1000 >= 100)
        snprintf(buffer, 32, "%lld.%llds", s, (long long)(ms % 1000 / 100));
    else if (s < 60)
        snprintf(buffer, 32, "%llds", s);
    else if (s < 3600)
        snprintf(buffer, 32, "%lldm %llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buffer, 32, "%lldh %lldm", s / 3600, s / 60 % 60);
    else
        snprintf(buffer, 32, "%lldd %lldh", s / 86400, s / 3600 % 24);
    return buffer;
}
