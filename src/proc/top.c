/* Asks the master and the workers once a second; two samples and what lies between them become one screen. The terminal is put back as it
 * was, however this ends. */
#include "proc/top.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "proc/client.h"
#include "proc/clock.h"
#include "proc/signals.h"
#include "proc/text.h"

enum { PERIOD_MS = 1000, ROWS = 24, COLUMNS = 80, COLUMNS_PLAIN = 400, ROWS_PLAIN = 400 };

struct sample {
    struct text status, workers;
    int64_t at_ms;
};

struct top {
    const struct options *options;
    int signals;
    bool screen;       /* standard output is a terminal that is drawn on */
    bool has_keys;     /* standard input is one, too */
    struct termios before;
    struct sample last;
};

static void sample_fini(struct sample *sample)
{
    text_fini(&sample->status);
    text_fini(&sample->workers);
    *sample = (struct sample){ 0 };
}

static int sample_take(const struct options *options, struct sample *ret_sample)
{
    *ret_sample = (struct sample){ .at_ms = clock_ms() };
    int code = client_fetch(options, "status json\n", 0, &ret_sample->status);
    if (code == EXIT_OK)
        code = client_fetch(options, "ask status\n", 0, &ret_sample->workers);
    if (code == EXIT_TIMEOUT)
        fprintf(stderr, "moongate: top: the instance does not answer\n");
    return code;
}

/* An empty screen, and keys come one by one. The last screen stays when this ends, with what there is to say below it. */
static void screen_begin(struct top *top)
{
    if (!top->screen)
        return;
    if (top->has_keys) {
        struct termios raw = top->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    printf("\033[2J\033[?25l");
    fflush(stdout);
}

static void screen_end(const struct top *top)
{
    if (!top->screen)
        return;
    printf("\033[?25h");
    fflush(stdout);
    if (top->has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &top->before);
}

static void put_size(const struct top *top, struct text *text)
{
    struct winsize size = { 0 };
    bool is_terminal = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    int rows = size.ws_row ? size.ws_row : ROWS, columns = size.ws_col ? size.ws_col : COLUMNS;
    text_put(text, "\"screen\":%s,\"rows\":%d,\"columns\":%d", top->screen ? "true" : "false", is_terminal ? rows : ROWS_PLAIN,
             is_terminal ? columns : COLUMNS_PLAIN);
}

/* Draws what is between the last sample and this one. */
static int draw(const struct top *top, const struct sample *now)
{
    struct text text = { 0 };
    text_put(&text, "{");
    put_size(top, &text);
    if (top->last.at_ms)
        text_put(&text, ",\"ms\":%lld,\"before\":%s,\"workers_before\":%s", (long long)(now->at_ms - top->last.at_ms), top->last.status.at,
                 top->last.workers.at);
    text_put(&text, ",\"status\":%s,\"workers\":%s}", now->status.at, now->workers.at);
    int code = EXIT_SYSTEM;
    if (text.lost) {
        fprintf(stderr, "moongate: top: the answers are too long\n");
    } else {
        struct vm_options vm = top->options->vm;
        vm.answer = text.at;
        code = vm_command(&vm);
    }
    text_fini(&text);
    return code;
}

/* Until the next sample is due. False: it is to end. */
static bool rest(struct top *top, int64_t until_ms)
{
    for (;;) {
        int64_t left = until_ms - clock_ms();
        struct pollfd heard[] = { { top->signals, POLLIN, 0 }, { top->has_keys ? STDIN_FILENO : -1, POLLIN, 0 }, { STDOUT_FILENO, 0, 0 } };
        if (left <= 0)
            return true;
        poll(heard, 3, (int)left);
        if (heard[0].revents & POLLIN && signals_next(top->signals))
            return false;
        if (heard[2].revents & (POLLERR | POLLHUP | POLLNVAL))
            return false; /* whoever read this has gone */
        char key = 0;
        if (heard[1].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3))
            return false;
    }
}

/* Samples and draws until it is to end. */
static int watch(struct top *top)
{
    const bool once = top->options->once;
    for (;;) {
        struct sample now;
        int code = sample_take(top->options, &now);
        bool is_first = top->last.at_ms == 0;
        if (code == EXIT_OK && !(is_first && (once || !top->screen))) /* without a screen, the first line has rates */
            code = draw(top, &now);
        sample_fini(&top->last);
        top->last = now;
        if (code != EXIT_OK || (once && !is_first))
            return code;
        if (!rest(top, now.at_ms + PERIOD_MS))
            return EXIT_OK;
    }
}

int top_run(const struct options *options)
{
    struct top top = { .options = options };
    top.signals = signals_open();
    if (top.signals < 0) {
        fprintf(stderr, "moongate: top: %s\n", strerror(-top.signals));
        return EXIT_SYSTEM;
    }
    top.screen = isatty(STDOUT_FILENO) && !options->once && !options->vm.json;
    top.has_keys = top.screen && isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &top.before) == 0;
    screen_begin(&top);
    int code = watch(&top);
    screen_end(&top);
    sample_fini(&top.last);
    close(top.signals);
    return code;
}
