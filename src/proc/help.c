/* Help, made from the tables of the command line, and "did you mean" for words that are not in them. */
#include <stdio.h>
#include <string.h>

#include "proc/options.h"

enum { COLUMN = 26, WIDTH = 100, WORD_MAX = 32 };

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

enum { OPTION_COUNT = sizeof options / sizeof *options };

/* Prints prose in the right column, broken between words. */
static void print_prose(int at, const char *prose)
{
    if (at >= COLUMN) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", COLUMN - at, "");
    int column = COLUMN;
    for (const char *word = prose; *word;) {
        int bytes = (int)strcspn(word, " ");
        if (column > COLUMN && column + bytes > WIDTH) {
            printf("\n%*s", COLUMN, "");
            column = COLUMN;
        }
        column += printf("%s%.*s", column > COLUMN ? " " : "", bytes, word);
        word += bytes;
        word += strspn(word, " ");
    }
    putchar('\n');
}

static void print_options(enum command command)
{
    for (uint32_t i = 0; i < OPTION_COUNT; i++) {
        if (!(options[i].commands & 1u << command))
            continue;
        const char *argument = options[i].argument ? options[i].argument : "";
        int at = options[i].letter ? printf("  -%c, ", options[i].letter) : printf("      ");
        at += printf("--%s%s%s", options[i].name, *argument && *argument != '[' ? " " : "", argument);
        print_prose(at, options[i].prose);
    }
}

void help_overview(void)
{
    printf("moongate: an HTTP gateway scripted in Lua\n\nusage: moongate COMMAND [OPTION]...\n\n");
    for (uint32_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].summary)
            print_prose(printf("  %s %s", commands[i].name, commands[i].words), commands[i].summary);
    printf("\nEach command explains its options: moongate run --help\n"
           "Logs and the line that says \"ready\" go to standard error, answers to standard output.\n");
}

void help_command(enum command command)
{
    const char *words = commands[command].words;
    printf("usage: moongate %s%s%s [OPTION]...\n\n", commands[command].name, *words ? " " : "", words);
    if (commands[command].summary)
        printf("%s\n\n", commands[command].summary);
    print_options(command);
    if (command == COMMAND_RUN || command == COMMAND_SERVE || command == COMMAND_PROXY)
        printf("\nRuns in the foreground until SIGTERM, SIGINT or `moongate stop`: requests in flight are finished within the\n"
               "drain limit; a second signal ends it at once. SIGHUP does what `moongate reload` does; SIGUSR1 opens the log\n"
               "files anew. When all workers accept, one line on standard error names every address:\n"
               "moongate: NAME serves http://127.0.0.1:8080 with 2 workers\n");
    if (command != COMMAND_HELP && command != COMMAND_VERSION)
        printf("\nExit codes: moongate help exit-codes. The control socket is in $MOONGATE_RUNTIME_DIR, or else in /run/moongate\n"
               "(root), $XDG_RUNTIME_DIR/moongate or /tmp/moongate-UID.\n");
}

void help_exit_codes(void)
{
#define EXIT(id, code, prose) print_prose(printf("  %d", code), prose);
#include "proc/options.tbl.h"
#undef EXIT
}

enum command command_find(const char *name)
{
    for (uint32_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return (enum command)i;
    return COMMAND_COUNT;
}

const char *command_name(enum command command)
{
    return commands[command].name;
}

static uint32_t least(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/* How many letters must be put in, left out or changed to make one word of the other. */
static uint32_t distance(const char *from, const char *to)
{
    uint32_t row[WORD_MAX + 1], to_bytes = (uint32_t)strlen(to);
    if (strlen(from) > WORD_MAX || to_bytes > WORD_MAX)
        return UINT32_MAX;
    for (uint32_t j = 0; j <= to_bytes; j++)
        row[j] = j;
    for (uint32_t i = 0; from[i]; i++) {
        uint32_t diagonal = row[0];
        row[0] = i + 1;
        for (uint32_t j = 0; j < to_bytes; j++) {
            uint32_t changed = diagonal + (from[i] != to[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(row[j + 1] + 1, row[j] + 1, changed);
        }
    }
    return row[to_bytes];
}

struct suggestion {
    const char *word;
    uint32_t distance;
};

static void consider(struct suggestion *best, const char *typed, const char *word)
{
    uint32_t near = distance(typed, word);
    if (strlen(typed) >= 2 && strncmp(typed, word, strlen(typed)) == 0)
        near = 1;
    if (near < best->distance && near < strlen(word))
        *best = (struct suggestion){ word, near };
}

const char *suggest_command(const char *typed)
{
    struct suggestion best = { NULL, 3 };
    for (uint32_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].summary)
            consider(&best, typed, commands[i].name);
    return best.word;
}

const char *suggest_option(const char *typed, enum command command)
{
    struct suggestion best = { NULL, 4 };
    for (uint32_t i = 0; i < OPTION_COUNT; i++)
        if (options[i].commands & 1u << command)
            consider(&best, typed, options[i].name);
    return best.word;
}
