/* Build tool: the manual page and the completions of shells, out of the tables that the command line and its --help are made from.
 *   manual man|bash|zsh */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
#define COMMAND(id, name, words, least, most, summary) COMMAND_##id,
#include "proc/options.tbl.h"
#undef COMMAND
    COMMAND_COUNT,
};

#define FOR(id) (1u << COMMAND_##id)

static const struct {
    const char *name, *words, *summary;
} commands[] = {
#define COMMAND(id, name, words, least, most, summary) { name, words, summary },
#include "proc/options.tbl.h"
#undef COMMAND
};

static const struct {
    const char *name, *argument, *prose;
    uint32_t commands;
    char letter;
} options[] = {
#define OPTION(id, name, letter, argument, commands, prose) { name, argument, prose, commands, letter },
#include "proc/options.tbl.h"
#undef OPTION
};

static const struct {
    int code;
    const char *prose;
} codes[] = {
#define EXIT(id, code, prose) { code, prose },
#include "proc/options.tbl.h"
#undef EXIT
};

enum { OPTION_COUNT = sizeof options / sizeof *options, CODE_COUNT = sizeof codes / sizeof *codes };

static int has_option(uint32_t command, uint32_t option)
{
    return (options[option].commands >> command & 1) != 0;
}

/* ---- the manual ---- */

/* Text for troff: a dash is one that can be typed, and no line begins with a dot. */
static void put_roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++)
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '`')
            putchar('\'');
        else
            putchar(*text);
}

static void put_option(uint32_t at)
{
    const char *argument = options[at].argument;
    fputs(".TP\n.B ", stdout);
    if (options[at].letter)
        printf("\\-%c, ", options[at].letter);
    fputs("\\-\\-", stdout);
    put_roff(options[at].name);
    if (argument) {
        fputs(*argument == '[' ? "" : " ", stdout);
        fputs("\\fI", stdout);
        put_roff(argument);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_roff(options[at].prose);
    fputs(".\n", stdout);
}

static void put_commands(void)
{
    fputs(".SH COMMANDS\n", stdout);
    for (uint32_t command = 0; command < COMMAND_COUNT; command++) {
        if (!commands[command].summary)
            continue;
        printf(".SS \"%s", commands[command].name);
        fputs(*commands[command].words ? " " : "", stdout);
        put_roff(commands[command].words);
        fputs("\"\n", stdout);
        put_roff(commands[command].summary);
        fputs(".\n", stdout);
        for (uint32_t at = 0; at < OPTION_COUNT; at++)
            if (has_option(command, at) && options[at].commands != ~0u)
                put_option(at);
    }
}

static void put_codes(void)
{
    fputs(".SH EXIT STATUS\n", stdout);
    for (uint32_t at = 0; at < CODE_COUNT; at++) {
        printf(".TP\n.B %d\n", codes[at].code);
        put_roff(codes[at].prose);
        fputs(".\n", stdout);
    }
}

static void put_manual(void)
{
    printf(".TH MOONGATE 1 \"\" \"moongate %s\" \"User Commands\"\n", MG_VERSION);
    fputs(".SH NAME\nmoongate \\- an HTTP gateway scripted in Lua\n"
          ".SH SYNOPSIS\n.B moongate\n.I COMMAND\n.RI [ OPTION ]...\n"
          ".SH DESCRIPTION\n"
          "Serves HTTP: what to do with a request is said in Lua, what moves its bytes is written in C. A config names listeners, limits\n"
          "and the site; every setting stands, explained, in the default one. Changed files are put in service without closing a\n"
          "connection. Logs and the line that says \"ready\" go to standard error, answers to standard output; each command explains its\n"
          "options with\n.BR \\-\\-help .\n",
          stdout);
    put_commands();
    fputs(".SH SIGNALS\nSIGTERM and SIGINT finish the requests in flight, and end; a second one ends at once. SIGHUP reloads, SIGUSR1 opens the\n"
          "log files anew, SIGUSR2 upgrades.\n"
          ".SH ENVIRONMENT\n.TP\n.B MOONGATE_RUNTIME_DIR\nthe folder of control sockets; otherwise /run/moongate (root), $XDG_RUNTIME_DIR/moongate\n"
          "or /tmp/moongate\\-UID.\n.TP\n.B MOONGATE_ENGINE\nio_uring or epoll, where neither config nor command line say which.\n"
          ".SH FILES\n.TP\n.I " MG_CONF "\nserved by\n.B moongate run\nwhere there is no conf/moongate.lua.\n",
          stdout);
    put_codes();
}

/* ---- completions ---- */

/* What an argument is, for shells. */
static const char *values_of(const char *option)
{
    if (strcmp(option, "engine") == 0)
        return "auto io_uring epoll";
    return strcmp(option, "workers") == 0 ? "auto 1 2 4 8" : NULL;
}

static void put_bash(void)
{
    fputs("# Completion of moongate for bash.\n_moongate() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '",
          stdout);
    for (uint32_t command = 0; command < COMMAND_COUNT; command++)
        if (commands[command].summary)
            printf("%s%s", command ? " " : "", commands[command].name);
    fputs("' -- \"$cur\"))\n        return\n    fi\n    case $prev in\n", stdout);
    for (uint32_t at = 0; at < OPTION_COUNT; at++)
        if (values_of(options[at].name))
            printf("    --%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", options[at].name, values_of(options[at].name));
    fputs("    esac\n    case $cur in\n    -*) ;;\n    *) COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames 2>/dev/null; return ;;\n    esac\n"
          "    case ${COMP_WORDS[1]} in\n",
          stdout);
    for (uint32_t command = 0; command < COMMAND_COUNT; command++) {
        if (!commands[command].summary)
            continue;
        printf("    %s) COMPREPLY=($(compgen -W '", commands[command].name);
        for (uint32_t at = 0; at < OPTION_COUNT; at++)
            if (has_option(command, at))
                printf("--%s ", options[at].name);
        fputs("' -- \"$cur\")) ;;\n", stdout);
    }
    fputs("    esac\n}\ncomplete -F _moongate moongate\n", stdout);
}

/* Inside '…[…]': what ends these is written otherwise. */
static void put_zsh_text(const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
}

static void put_zsh_option(uint32_t at)
{
    const char *argument = options[at].argument, *values = values_of(options[at].name);
    printf(" \\\n        '--%s%s[", options[at].name, argument && *argument != '[' ? "=" : "");
    put_zsh_text(options[at].prose);
    putchar(']');
    if (argument && *argument != '[') {
        putchar(':');
        for (const char *c = argument; *c; c++)
            putchar(isalnum((unsigned char)*c) ? tolower((unsigned char)*c) : ' ');
        printf(":%s%s%s", values ? "(" : "", values ? values : "_files", values ? ")" : "");
    }
    putchar('\'');
}

static void put_zsh(void)
{
    fputs("#compdef moongate\n# Completion of moongate for zsh.\nlocal -a commands\ncommands=(\n", stdout);
    for (uint32_t command = 0; command < COMMAND_COUNT; command++) {
        if (!commands[command].summary)
            continue;
        printf("    '%s:", commands[command].name);
        put_zsh_text(commands[command].summary);
        fputs("'\n", stdout);
    }
    fputs(")\nif (( CURRENT == 2 )); then\n    _describe command commands\n    return\nfi\ncase $words[2] in\n", stdout);
    for (uint32_t command = 0; command < COMMAND_COUNT; command++) {
        if (!commands[command].summary)
            continue;
        printf("%s)\n    shift words\n    (( CURRENT-- ))\n    _arguments", commands[command].name);
        for (uint32_t at = 0; at < OPTION_COUNT; at++)
            if (has_option(command, at))
                put_zsh_option(at);
        fputs(" \\\n        '*:file:_files'\n    ;;\n", stdout);
    }
    fputs("esac\n", stdout);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*put)(void);
    } kinds[] = { { "man", put_manual }, { "bash", put_bash }, { "zsh", put_zsh } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (argc == 2 && strcmp(argv[1], kinds[i].name) == 0) {
            kinds[i].put();
            return fflush(stdout) ? 1 : 0;
        }
    fprintf(stderr, "usage: manual man|bash|zsh\n");
    return 2;
}
