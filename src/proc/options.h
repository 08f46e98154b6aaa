/* The command line: words come in, a command with its options goes out, or an explanation on standard error.
 * Made from options.tbl.h; starts nothing, opens nothing. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "abi/vm.h"

enum command {
#define COMMAND(id, name, words, least, most, summary) COMMAND_##id,
#include "proc/options.tbl.h"
#undef COMMAND
    COMMAND_COUNT,
};

enum exit_code {
#define EXIT(id, code, prose) EXIT_##id = code,
#include "proc/options.tbl.h"
#undef EXIT
};

enum { OPTIONS_LISTEN_MAX = 32, OPTIONS_WORDS_MAX = 64, OPTIONS_FIELDS_MAX = 64, OPTIONS_WORKERS_MAX = 256, WAIT_FOR_PORT_MS = 30000 };

struct options {
    enum command command;
    struct vm_options vm;         /* points into this struct and into argv */
    uint32_t workers;             /* --workers as a number; 0: "auto" or not given */
    int64_t wait_for_port_ms;     /* -1: do not wait */
    bool once;                    /* top: one screen */
    const char *words[OPTIONS_WORDS_MAX + 1];
    const char *listen[OPTIONS_LISTEN_MAX];
    const char *fields[OPTIONS_FIELDS_MAX];
    const char *host, *port, *root; /* serve's --addr, --port, --docs-root */
    char composed[300];           /* the address made of host and port */
};

/* Reads the command line into `ret_options`, which must stay where it is. -1: go on; otherwise the exit code, everything said. */
int options_parse(int argc, char **argv, struct options *ret_options);

/* ---- help.c ---- */
/* Prints the overview, the help of one command, or the exit codes to standard output. */
void help_overview(void);
void help_command(enum command command);
void help_exit_codes(void);
/* The command of that name; COMMAND_COUNT: none. */
enum command command_find(const char *name);
const char *command_name(enum command command);
/* The known word nearest to what was typed, NULL when nothing is near. Options come without their dashes. */
const char *suggest_command(const char *typed);
const char *suggest_option(const char *typed, enum command command);
