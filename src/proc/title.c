/* Process titles are written over argv, whose memory the kernel reads for /proc/PID/cmdline. */
#include "proc/title.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *title_at;
static size_t title_bytes;
static char **title_words __attribute__((used)); /* the copy of argv, kept for the whole run: leak checkers see it here */

/* Copies a list of strings; NULL when memory is refused. */
static char **copy_list(char **list)
{
    size_t count = 0;
    while (list[count])
        count++;
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = strdup(list[i])))
            return NULL;
    return copy;
}

char **title_init(int argc, char **argv)
{
    char *end = argc ? argv[0] : NULL;
    for (int i = 0; i < argc; i++)
        if (argv[i] == end)
            end += strlen(argv[i]) + 1;
    for (char **variable = environ; variable && *variable; variable++)
        if (*variable == end)
            end += strlen(*variable) + 1;
    char **words = copy_list(argv), **variables = environ ? copy_list(environ) : NULL;
    if (!words || !variables || argc == 0)
        return argv;
    environ = variables;
    title_words = words;
    title_at = argv[0];
    title_bytes = (size_t)(end - argv[0]);
    return words;
}

void title_set(const char *format, ...)
{
    char title[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(title, sizeof title, format, arguments);
    va_end(arguments);
    if (!title_at || title_bytes < 2 || length < 0)
        return;
    size_t bytes = strlen(title);
    if (bytes > title_bytes - 1)
        bytes = title_bytes - 1;
    memset(title_at, 0, title_bytes);
    memcpy(title_at, title, bytes);
}
