/* Representations: the lines of a head that do not vary, and entity tags. A tag is made of the content where the content is here, so that
 * it is the same on every machine that serves the same file; of times and numbers where it is not. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/must.h"
#include "file/inner.h"
#include "file/mime.h"
#include "http/render.h"

enum { LINES_BYTES = 4096, NAME_ROOM = 3 * 255 + 1 };

static const char *const coding_names[FILE_CODINGS] = { [FILE_ZSTD] = "zstd", [FILE_BROTLI] = "br", [FILE_GZIP] = "gzip" };
static const char *const coding_suffixes[FILE_CODINGS] = { [FILE_ZSTD] = ".zst", [FILE_BROTLI] = ".br", [FILE_GZIP] = ".gz" };

/* Not against an enemy: against two contents of one name. */
static uint64_t content_hash(const char *bytes, uint64_t count)
{
    uint64_t a = 0x9e3779b97f4a7c15u ^ count, b = 0xc2b2ae3d27d4eb4fu, word;
    uint64_t at = 0;
    for (; at + 16 <= count; at += 16) {
        memcpy(&word, bytes + at, 8);
        a = (a ^ word) * 0x9fb21c651e98df25u;
        a ^= a >> 29;
        memcpy(&word, bytes + at + 8, 8);
        b = (b ^ word) * 0xd6e8feb86659fd93u;
        b ^= b >> 32;
    }
    for (; at < count; at++)
        a = (a ^ (uint8_t)bytes[at]) * 0x100000001b3u;
    a = (a ^ (b * 0x9fb21c651e98df25u)) * 0xd6e8feb86659fd93u;
    return a ^ a >> 32;
}

static void version_make(struct file_version *version, const struct file_entry *entry, const struct file_entry *content)
{
    const struct file_stamp *stamp = &content->stamp;
    int64_t now = (int64_t)time(NULL), modified = entry->stamp.modified.tv_sec;
    version->size = stamp->size;
    version->modified_s = modified < 0 ? -1 : modified > now ? now : modified; /* RFC 9110 §8.8.2.1 */
    int bytes;
    if (content->kind == FILE_OPENED)
        bytes = snprintf(version->etag, FILE_ETAG_BYTES, "\"%llx-%llx%08lx-%llx\"", (unsigned long long)stamp->size,
                         (unsigned long long)stamp->modified.tv_sec, stamp->modified.tv_nsec, (unsigned long long)stamp->inode);
    else
        bytes = snprintf(version->etag, FILE_ETAG_BYTES, "\"%llx-%016llx\"", (unsigned long long)stamp->size,
                         (unsigned long long)content_hash(content->bytes, stamp->size));
    must(bytes > 0 && bytes < FILE_ETAG_BYTES);
    version->etag_bytes = (uint32_t)bytes;
}

bool entry_path(const struct file_entry *entry, char ret[FILE_PATH_BYTES_MAX])
{
    bool is_folder = entry->path_bytes == 0 || entry->name[entry->path_bytes - 1] == '/';
    const char *index = is_folder && entry->folder ? entry->folder->options.index[entry->index] : "";
    return snprintf(ret, FILE_PATH_BYTES_MAX, "%s%s", entry->name, index) < FILE_PATH_BYTES_MAX;
}

/* ---- lines ---- */

struct lines {
    char text[LINES_BYTES];
    uint32_t used;
    bool full;
};

static void put(struct lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct lines *lines, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(lines->text + lines->used, LINES_BYTES - lines->used, format, arguments);
    va_end(arguments);
    lines->full |= bytes < 0 || lines->used + (uint32_t)bytes >= LINES_BYTES;
    lines->used += lines->full ? 0 : (uint32_t)bytes;
}

/* RFC 8187: every byte that is not plain, by its number. */
static void put_download(struct lines *lines, const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char simple[NAME_ROOM], coded[NAME_ROOM];
    uint32_t at = 0, out = 0;
    for (; name[at] && at < 255; at++) {
        bool is_plain = strchr(plain, name[at]) != NULL;
        simple[at] = is_plain || name[at] == ' ' ? name[at] : '_';
        out += (uint32_t)sprintf(coded + out, is_plain ? "%c" : "%%%02X", (uint8_t)name[at]);
    }
    simple[at] = coded[out] = '\0';
    if (strcmp(simple, coded) == 0)
        put(lines, "Content-Disposition: attachment; filename=\"%s\"\r\n", simple);
    else
        put(lines, "Content-Disposition: attachment; filename=\"%s\"; filename*=UTF-8''%s\r\n", simple, coded);
}

static void put_type(struct lines *lines, const struct file_entry *entry, const char *path, const char *coding)
{
    put(lines, "Content-Type: %.*s\r\n", (int)entry->type.bytes, entry->type.at);
    if (coding)
        put(lines, "Content-Encoding: %s\r\n", coding);
    if (entry->folder && file_rule_find(entry->folder->options.download, path).bytes)
        put_download(lines, path);
}

static void put_others(struct lines *lines, const struct file_entry *entry, const char *path, const struct file_version *version)
{
    char date[29];
    struct slice cache = { 0 };
    put(lines, "ETag: %.*s\r\n", (int)version->etag_bytes, version->etag);
    if (version->modified_s >= 0) {
        http_date_format(date, version->modified_s);
        put(lines, "Last-Modified: %.29s\r\n", date);
    }
    put(lines, "Accept-Ranges: bytes\r\n");
    if (file_entry_varies(entry))
        put(lines, "Vary: Accept-Encoding\r\n");
    if (entry->folder)
        cache = file_rule_find(entry->folder->options.cache_control, path);
    if (cache.bytes)
        put(lines, "Cache-Control: %.*s\r\n", (int)cache.bytes, cache.at);
}

/* The representation of `entry` that has the bytes of `content`. -E2BIG, -ENOMEM. */
int form_make(struct file_form *form, const struct file_entry *entry, struct file_entry *content, const char *coding)
{
    struct lines lines = { .used = 0 };
    char path[FILE_PATH_BYTES_MAX] = "";
    entry_path(entry, path);
    version_make(&form->version, entry, content);
    put_type(&lines, entry, path, coding);
    form->type_bytes = lines.used;
    put(&lines, "Content-Length: %llu\r\n", (unsigned long long)form->version.size);
    form->length_bytes = lines.used - form->type_bytes;
    put_others(&lines, entry, path, &form->version);
    form->other_bytes = lines.used - form->length_bytes - form->type_bytes;
    char *text = lines.full ? NULL : malloc(lines.used);
    if (!text)
        return lines.full ? -E2BIG : -ENOMEM;
    form->lines = memcpy(text, lines.text, lines.used);
    form->content = content;
    form->loan = content->kind == FILE_MEMORY ? &content->loan : NULL;
    form->bytes = content->bytes;
    form->fd = content->fd;
    return 0;
}

void form_free(struct file_form *form)
{
    free((char *)form->lines);
    form->lines = NULL;
    form->content = NULL;
}

/* ---- what an entry tells ---- */

enum file_kind file_entry_kind(const struct file_entry *entry)
{
    return (enum file_kind)entry->kind;
}

int file_entry_error(const struct file_entry *entry)
{
    return entry->error;
}

int file_entry_fd(const struct file_entry *entry)
{
    return entry->fd;
}

const struct file_form *file_entry_form(const struct file_entry *entry)
{
    return &entry->form;
}

/* ---- other representations ---- */

int file_entry_varies(const struct file_entry *entry)
{
    return entry->varies;
}

void coded_free(struct file_cache *cache, struct file_coded *coded)
{
    if (!coded)
        return;
    form_free(&coded->form);
    if (coded->sibling)
        file_entry_unref(cache, coded->sibling);
    if (coded->packed)
        file_entry_unref(cache, coded->packed);
    free(coded);
}

static bool is_older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* A sibling that was not made anew since the file was changed says something else. */
static bool sibling_fits(const struct file_entry *entry, const struct file_entry *sibling)
{
    bool is_file = sibling->kind == FILE_MEMORY || sibling->kind == FILE_OPENED;
    return is_file && !is_older(&sibling->stamp.modified, &entry->stamp.modified);
}

/* The sibling: 1, 0: waits, or -ENOENT. */
static int sibling_find(struct file_cache *cache, struct file_entry *entry, enum file_coding coding, struct file_wait *wait, struct file_entry **ret)
{
    char path[FILE_PATH_BYTES_MAX];
    if (entry->name[entry->path_bytes + 1] != 0 || !entry_path(entry, path))
        return -ENOENT;
    size_t bytes = strlen(path), more = strlen(coding_suffixes[coding]);
    if (bytes + more >= sizeof path)
        return -ENOENT;
    memcpy(path + bytes, coding_suffixes[coding], more);
    int found = cache_find(cache, entry->folder, (struct slice){ path, (uint32_t)(bytes + more) }, 0, wait, ret);
    if (found == 1)
        entry_beside(cache, *ret);
    return found < 0 ? -ENOENT : found;
}

/* A sibling that is there wins over what was packed here; that is kept, for it may go again. */
static void coded_look(const struct file_entry *entry, struct file_coded *coded, struct file_entry *sibling, enum file_coding coding)
{
    coded->looked = true;
    coded->sibling = sibling;
    if (!sibling)
        return;
    file_entry_ref(sibling);
    if (!sibling_fits(entry, sibling))
        return;
    form_free(&coded->form);
    form_make(&coded->form, entry, sibling, coding_names[coding]);
}

/* Is what was found of a sibling not true any more? */
static bool sibling_is_stale(const struct file_cache *cache, const struct file_coded *coded)
{
    return coded->sibling && (!coded->sibling->live || entry_age(cache, coded->sibling) != ENTRY_CURRENT);
}

static void sibling_forget(struct file_cache *cache, struct file_coded *coded)
{
    if (coded->form.content == coded->sibling)
        form_free(&coded->form);
    file_entry_unref(cache, coded->sibling);
    coded->sibling = NULL;
    coded->looked = false;
}

static bool may_pack(const struct file_entry *entry)
{
    return entry->kind == FILE_MEMORY && entry->stamp.size >= PACK_LEAST;
}

static void packed_done(struct file_cache *cache, struct file_entry *entry, struct file_coded *coded, enum file_coding coding)
{
    if (coded->packed->kind != FILE_MEMORY || form_make(&coded->form, entry, coded->packed, coding_names[coding]) < 0)
        return;
    if (!coded->weighed)
        entry_weigh(cache, entry, coded->packed->stamp.size);
    coded->weighed = true;
}

static int pack(struct file_cache *cache, struct file_entry *entry, struct file_coded *coded, enum file_coding coding, struct file_wait *wait)
{
    if (!coded->packed) {
        coded->packed = entry_new(cache, NULL, (struct slice){ "", 0 }, 0);
        if (!coded->packed)
            return -ENOENT;
        file_entry_ref(coded->packed);
        load_pack(cache, coded->packed, entry, coding);
        if (coded->packed->kind == FILE_FAILED) { /* nobody has the time now */
            file_entry_unref(cache, coded->packed);
            coded->packed = NULL;
            return -ENOENT;
        }
    }
    if (coded->packed->kind != FILE_LOADING) {
        packed_done(cache, entry, coded, coding);
        return coded->form.lines ? 1 : -ENOENT;
    }
    file_cache_leave(cache, wait);
    entry_wait(coded->packed, wait);
    return 0;
}

int file_cache_coded(struct file_cache *cache, struct file_entry *entry, enum file_coding coding, int make, struct file_wait *wait,
                     const struct file_form **ret_form)
{
    struct file_coded *coded = entry->coded[coding];
    if (coded && sibling_is_stale(cache, coded))
        sibling_forget(cache, coded);
    if (!coded || !coded->looked) {
        struct file_entry *sibling = NULL;
        int found = sibling_find(cache, entry, coding, wait, &sibling);
        if (found == 0)
            return 0;
        if (!coded)
            coded = entry->coded[coding] = calloc(1, sizeof *coded);
        if (!coded)
            return -ENOENT;
        coded_look(entry, coded, sibling, coding);
    }
    if (coded->sibling)
        coded->sibling->visited = true;
    if (!make && coded->form.content != coded->sibling)
        return -ENOENT;
    if (!coded->form.lines && may_pack(entry) && !(coded->packed && coded->packed->kind == FILE_FAILED)) {
        int packed = pack(cache, entry, coded, coding, wait);
        if (packed <= 0)
            return packed;
    }
    *ret_form = &coded->form;
    return coded->form.lines ? 1 : -ENOENT;
}
