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
/* The copies of argv and of the environment, kept for the whole run. What unsetenv() takes out of a list is still seen here by leak checkers. */
static char **title_words __attribute__((used)), **title_variables __attribute__((used));

/* Copies a list of strings into one piece of memory; NULL when it is refused. */
static char **copy_list(char **list)
{
    size_t count = 0, bytes = 0;
    for (; list[count]; count++)
        bytes += strlen(list[count]) + 1;
    char **copy = malloc((count + 1) * sizeof *copy + bytes);
    if (!copy)
        return NULL;
    char *at = (char *)(copy + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(list[i]) + 1;
        copy[i] = memcpy(at, list[i], length);
        at += length;
    }
    copy[count] = NULL;
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
    if (!words || !variables || argc == 0) {
        free(words);
        free(variables);
        return argv;
    }
    environ = title_variables = variables;
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
