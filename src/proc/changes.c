/* The master's list of changes. */
#include "proc/changes.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proc/instance.h"

static struct slice slice_of(const char *text)
{
    return (struct slice){ text, (uint32_t)strlen(text) };
}

void changes_command(struct master *master, struct client *client, const char *line)
{
    struct change change;
    char why[384];
    if (change_read(&change, slice_of(line), why, sizeof why) == 0) {
        ask_to_change(master, client, line);
        return;
    }
    text_put(&client->answer, "error: upstream: %s\n", why);
    control_finish(client, master->now_ms);
}

void changes_stand(struct master *master, const char *line, const struct worker *but)
{
    struct change change;
    char why[384];
    if (change_read(&change, slice_of(line), why, sizeof why) < 0)
        return;
    if (standings_merge(&master->changes, &change) < 0)
        logs_say(&master->logs, LOG_LEVEL_WARN, "upstream: %s: there is no room to keep this change: it is lost with the workers of today", line);
    for (uint32_t i = 0; i < master->worker_count; i++)
        if (&master->workers[i] != but && master->workers[i].state != WORKER_NONE)
            worker_tell(&master->workers[i], CONTROL_CHANGE, 0, line, -1);
    logs_say(&master->logs, LOG_LEVEL_INFO, "upstream: %s", line);
}

int changes_write(const struct master *master)
{
    struct text text = { 0 };
    changes_text(master, &text);
    int fd = text.bytes ? memfd_create("moongate-changes", 0) : -1;
    bool whole = fd >= 0 && write(fd, text.at, text.bytes) == (ssize_t)text.bytes;
    text_fini(&text);
    if (fd >= 0 && !whole)
        close(fd);
    return whole ? fd : -1;
}

void changes_read(struct master *master, int fd)
{
    char line[CHANGE_LINE_BYTES], why[384];
    FILE *lines = fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 ? fdopen(fd, "r") : NULL;
    while (lines && fgets(line, sizeof line, lines)) {
        struct change change;
        line[strcspn(line, "\n")] = 0;
        if (change_read(&change, slice_of(line), why, sizeof why) == 0)
            standings_merge(&master->changes, &change);
    }
    if (lines)
        fclose(lines);
}

void changes_text(const struct master *master, struct text *text)
{
    char lines[4 * CHANGE_LINE_BYTES];
    for (uint32_t i = 0; i < master->changes.count; i++)
        text_add(text, lines, standing_lines(&master->changes.list[i], lines, sizeof lines));
}
