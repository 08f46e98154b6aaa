/* Changes of upstreams, made while the instance runs by a command or by a script: what stands of them is kept here, told to all workers, and
 * given to those that are born later. */
#pragma once
#include "proc/text.h"
#include "proxy/change.h"
#include "proxy/shared.h"

struct client;
struct master;
struct worker;

/* A command "upstream LINE". */
void changes_command(struct master *master, struct client *client, const char *line);
/* It was judged by a worker: it stands, and is told to all but `but` (NULL: to all). */
void changes_stand(struct master *master, const char *line, const struct worker *but);
/* To a file without a name, for the master that follows: a descriptor, -1: there is nothing to say, or no way to say it. */
int changes_write(const struct master *master);
/* What the master before has written; closes it. -1: nothing. */
void changes_read(struct master *master, int fd);
/* All that stands, as lines. */
void changes_text(const struct master *master, struct text *text);
