/* Which memory the dictionaries of this process are in. */
#pragma once

/* That which the master made, by its descriptor; called before any Lua runs. Without it (a check of a config, a command) the process has
 * memory of its own, made when it is first needed. */
void dict_use(int fd);
