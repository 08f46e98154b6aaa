/* See mime.h. A binary search over mime.tbl.h. */
#include "file/mime.h"

#include <string.h>

enum { EXTENSION_BYTES_MAX = 12 };

struct mime_row {
    const char *extension;
    const char *type;
    uint32_t type_bytes;
};

static const struct mime_row rows[] = {
#define X(extension, type) { extension, type, sizeof(type) - 1 },
#include "file/mime.tbl.h"
#undef X
};

/* The extension in lower case, NUL-terminated; an empty one when there is none, it is longer than any known, or holds a NUL. */
static void extension_of(const char *name, uint32_t bytes, char ret[EXTENSION_BYTES_MAX + 1])
{
    uint32_t from = bytes;
    while (from > 0 && name[from - 1] != '.' && name[from - 1] != '/')
        from--;
    ret[0] = '\0';
    uint32_t length = bytes - from;
    if (from == 0 || name[from - 1] != '.' || length > EXTENSION_BYTES_MAX || memchr(name + from, '\0', length))
        return;
    for (uint32_t i = 0; i < length; i++) {
        char c = name[from + i];
        ret[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    ret[length] = '\0';
}

struct slice mime_type(const char *name, uint32_t bytes)
{
    static const char unknown[] = "application/octet-stream";
    char extension[EXTENSION_BYTES_MAX + 1];
    extension_of(name, bytes, extension);
    uint32_t low = 0, high = sizeof rows / sizeof rows[0];
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = strcmp(extension, rows[middle].extension);
        if (order == 0)
            return (struct slice){ rows[middle].type, rows[middle].type_bytes };
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return (struct slice){ unknown, sizeof unknown - 1 };
}

static int begins(struct slice type, const char *text)
{
    size_t bytes = strlen(text);
    return type.bytes >= bytes && memcmp(type.at, text, bytes) == 0;
}

static int has(struct slice type, const char *text)
{
    return memmem(type.at, type.bytes, text, strlen(text)) != NULL;
}

int mime_is_compressible(struct slice type)
{
    static const char *const prefixes[] = {
        "text/", "application/wasm", "application/yaml", "application/sql", "application/rtf", "font/ttf", "font/otf", "application/vnd.ms-fontobject",
        "image/x-icon", "image/bmp", "application/vnd.apple.mpegurl", "model/gltf",
    };
    for (uint32_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (begins(type, prefixes[i]))
            return 1;
    return has(type, "/json") || has(type, "+json") || has(type, "ndjson") || has(type, "/xml") || has(type, "+xml");
}
