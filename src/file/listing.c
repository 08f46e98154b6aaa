/* A folder as a page: its names with sizes and times, in the order asked for, with links to the other orders. Needs no script and nothing
 * from elsewhere. Reading a folder has no way that does not wait, and large ones take long: a thread does it, for at most NAMES_MAX names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "file/load.h"

enum { NAMES_MAX = 100000 };

struct row {
    char *name;
    bool is_folder;
    uint64_t size;
    int64_t modified_s;
};

struct rows {
    struct row *row;
    uint32_t count, room;
    bool cut;
};

/* ---- reading ---- */

/* What a link leads to, as far as that may be reached. */
static bool link_follow(const struct file_load *load, const char *name, struct stat *ret_st)
{
    const struct file_entry *entry = load->entry;
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = file_open_resolve((enum file_links)entry->folder->options.links) };
    char path[FILE_PATH_BYTES_MAX];
    if (snprintf(path, sizeof path, "%s%s", entry->name, name) >= FILE_PATH_BYTES_MAX)
        return false;
    int fd = (int)syscall(SYS_openat2, load->root->fd, path, &how, sizeof how);
    bool found = fd >= 0 && fstat(fd, ret_st) == 0;
    if (fd >= 0)
        close(fd);
    return found;
}

static bool row_add(struct rows *rows, const struct file_load *load, int fd, const char *name)
{
    struct stat st;
    bool found = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (!S_ISLNK(st.st_mode) || link_follow(load, name, &st));
    if (!found || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return true; /* gone, or nothing that would be sent */
    if (rows->count == rows->room) {
        uint32_t room = rows->room ? rows->room * 2 : 64;
        struct row *more = realloc(rows->row, room * sizeof *more);
        if (!more)
            return false;
        rows->row = more;
        rows->room = room;
    }
    char *copy = strdup(name);
    rows->row[rows->count++] = (struct row){ copy, S_ISDIR(st.st_mode), (uint64_t)st.st_size, st.st_mtim.tv_sec };
    return copy != NULL;
}

static int rows_read(struct rows *rows, const struct file_load *load, int fd, bool hidden)
{
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return -ENOMEM;
    }
    int error = 0;
    for (struct dirent *each; !error && (each = readdir(folder));) {
        if (strcmp(each->d_name, ".") == 0 || strcmp(each->d_name, "..") == 0 || (each->d_name[0] == '.' && !hidden))
            continue;
        rows->cut = rows->count == NAMES_MAX;
        if (rows->cut || file_task_is_vain(&load->task))
            break;
        error = row_add(rows, load, dirfd(folder), each->d_name) ? 0 : -ENOMEM;
    }
    closedir(folder);
    return error;
}

static void rows_free(struct rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++)
        free(rows->row[i].name);
    free(rows->row);
}

/* ---- order: folders first, then by what was asked for, then by name ---- */

static int compare(const void *a_, const void *b_, void *order_)
{
    const struct row *a = a_, *b = b_;
    char order = *(const char *)order_;
    int sign = order >= 'a' ? 1 : -1, found = 0;
    if (a->is_folder != b->is_folder)
        return b->is_folder - a->is_folder;
    if ((order | 0x20) == 's')
        found = (a->size > b->size) - (a->size < b->size);
    else if ((order | 0x20) == 't')
        found = (a->modified_s > b->modified_s) - (a->modified_s < b->modified_s);
    if (found == 0)
        found = strcasecmp(a->name, b->name);
    return found ? sign * found : sign * strcmp(a->name, b->name);
}

/* ---- the page ---- */

static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc((uint8_t)*text < 32 ? '?' : *text, out);
        }
    }
}

static void put_link(FILE *out, const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    fputs("./", out); /* or "a:b" would be taken for a scheme */
    for (; *name; name++)
        fprintf(out, strchr(plain, *name) ? "%c" : "%%%02X", (uint8_t)*name);
}

static void put_size(FILE *out, uint64_t bytes)
{
    static const char units[] = "kMGTP";
    double amount = (double)bytes;
    int unit = -1;
    for (; amount >= 1000 && unit < 4; unit++)
        amount /= 1024;
    if (unit < 0)
        fprintf(out, "%llu", (unsigned long long)bytes);
    else
        fprintf(out, amount < 10 ? "%.1f %c" : "%.0f %c", amount, units[unit]);
}

static void put_heading(FILE *out, const char *label, char order, char now)
{
    bool is_now = (now | 0x20) == order;
    char next = now == order ? (char)(order & ~0x20) : order;
    fprintf(out, "<th%s><a href=\"?sort=%c\">%s%s</a>", is_now ? " class=now" : "", next, label, !is_now ? "" : now == order ? " &uarr;" : " &darr;");
}

static void put_row(FILE *out, const struct row *row)
{
    char when[32] = "";
    struct tm tm;
    time_t second = (time_t)row->modified_s;
    if (gmtime_r(&second, &tm))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    fputs("<tr><td><a href=\"", out);
    put_link(out, row->name);
    fputs(row->is_folder ? "/\">" : "\">", out);
    put_escaped(out, row->name);
    fputs(row->is_folder ? "/</a><td>" : "</a><td>", out);
    if (!row->is_folder)
        put_size(out, row->size);
    fprintf(out, "<td>%s\n", when);
}

static const char style[] =
    "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:56rem;padding:0 1rem}"
    "h1{font-size:1.25rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;text-align:left;"
    "border-bottom:1px solid #8884}td:nth-child(n+2),th:nth-child(n+2){text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
    "td:first-child{overflow-wrap:anywhere}a{text-decoration:none}a:hover{text-decoration:underline}tr:hover td{background:#8882}</style>\n";

static void put_page(FILE *out, const struct file_entry *entry, const struct rows *rows, char order)
{
    fputs("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\n<title>/", out);
    put_escaped(out, entry->name);
    fprintf(out, "</title>\n%s<h1>/", style);
    put_escaped(out, entry->name);
    fputs("</h1>\n<table><thead><tr>", out);
    put_heading(out, "Name", 'n', order);
    put_heading(out, "Size", 's', order);
    put_heading(out, "Changed (UTC)", 't', order);
    fputs("<tbody>\n", out);
    if (entry->path_bytes > 0)
        fputs("<tr><td><a href=\"../\">../</a><td><td>\n", out);
    for (uint32_t i = 0; i < rows->count; i++)
        put_row(out, &rows->row[i]);
    fprintf(out, "</table>\n<p>%u %s%s\n</html>\n", rows->count, rows->count == 1 ? "entry" : "entries", rows->cut ? ", the first of more" : "");
}

/* Of the folder behind the load's descriptor. */
void listing_run(struct file_task *task)
{
    struct file_load *load = load_of(task);
    const struct file_entry *entry = load->entry;
    struct rows rows = { 0 };
    char order = entry->name[entry->path_bytes + 1], *text = NULL;
    size_t bytes = 0;
    int fd = fcntl(load->fd, F_DUPFD_CLOEXEC, 0);
    int error = fd < 0 ? -errno : rows_read(&rows, load, fd, entry->folder->options.hidden);
    FILE *out = error ? NULL : open_memstream(&text, &bytes);
    if (out) {
        if (rows.count)
            qsort_r(rows.row, rows.count, sizeof *rows.row, compare, &order);
        put_page(out, entry, &rows, order);
        error = fclose(out) == 0 ? 0 : -ENOMEM;
    } else if (!error) {
        error = -ENOMEM;
    }
    rows_free(&rows);
    if (error)
        free(text);
    load->made = (struct file_made){ error ? NULL : text, bytes, error };
}
