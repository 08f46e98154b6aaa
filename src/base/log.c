/* Formats log lines: time, level, text with its control characters made visible. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"

enum { ESCAPE_BYTES = 4, CUT_BYTES = 4 /* "..." and the newline */ };

/* Year, month and day of a count of days since 1970: years are counted from March, so that the leap day comes last. */
static void date_of_day(int64_t day, int *ret_year, int *ret_month, int *ret_day)
{
    const int64_t days_400 = 146097, days_100 = 36524, days_4 = 1461;
    int64_t rest = day + 719468; /* since 0000-03-01 */
    int64_t year = rest / days_400 * 400;
    rest %= days_400;
    int64_t century = rest / days_100 - rest / (days_400 - 1);
    rest -= century * days_100;
    int64_t four = rest / days_4;
    rest -= four * days_4;
    int64_t single = rest / 365 - rest / (days_4 - 1);
    rest -= single * 365;
    int64_t month = (5 * rest + 2) / 153; /* from March; months of 31, 30, 31, 30, 31 days recur */
    *ret_day = (int)(rest - (153 * month + 2) / 5 + 1);
    *ret_month = (int)(month < 10 ? month + 3 : month - 9);
    *ret_year = (int)(year + century * 100 + four * 4 + single + (month >= 10));
}

void log_time(char *buffer, double unix_seconds)
{
    double latest = 253402300799.999; /* the end of 9999 */
    double seconds = unix_seconds > 0 ? unix_seconds : 0;
    int64_t ms = (int64_t)((seconds < latest ? seconds : latest) * 1000 + 0.5e-3);
    int year, month, day;
    date_of_day(ms / 86400000, &year, &month, &day);
    unsigned of_day = (unsigned)(ms % 86400000);
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02u:%02u:%02u.%03uZ", year, month, day, of_day / 3600000,
             of_day / 60000 % 60, of_day / 1000 % 60, of_day % 1000);
    memcpy(buffer, text, LOG_TIME_BYTES);
}

static uint32_t escape(char *to, unsigned char ch)
{
    if (ch == '\n' || ch == '\t' || ch == '\r') {
        to[0] = '\\';
        to[1] = ch == '\n' ? 'n' : ch == '\t' ? 't' : 'r';
        return 2;
    }
    if (ch >= 0x20 && ch != 0x7f) {
        to[0] = (char)ch;
        return 1;
    }
    to[0] = '\\';
    to[1] = 'x';
    to[2] = "0123456789abcdef"[ch >> 4];
    to[3] = "0123456789abcdef"[ch & 15];
    return ESCAPE_BYTES;
}

uint32_t log_line(char *buffer, uint32_t bytes, enum log_level level, double unix_seconds, const char *text, uint32_t text_bytes)
{
    static const char names[][8] = { " error ", " warn ", " info ", " debug " };
    must(bytes >= LOG_LINE_LEAST);
    must(level <= LOG_LEVEL_DEBUG);
    log_time(buffer, unix_seconds);
    uint32_t at = LOG_TIME_BYTES, name_bytes = (uint32_t)strlen(names[level]);
    memcpy(buffer + at, names[level], name_bytes);
    at += name_bytes;
    uint32_t i = 0;
    while (i < text_bytes && at + ESCAPE_BYTES + CUT_BYTES <= bytes)
        at += escape(buffer + at, (unsigned char)text[i++]);
    if (i < text_bytes) {
        memcpy(buffer + at, "...", 3);
        at += 3;
    }
    buffer[at++] = '\n';
    return at;
}

uint32_t log_format(char *buffer, uint32_t bytes, enum log_level level, double unix_seconds, const char *format, ...)
{
    char text[LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    must(length >= 0);
    uint32_t text_bytes = length < (int)sizeof text ? (uint32_t)length : (uint32_t)sizeof text - 1;
    return log_line(buffer, bytes, level, unix_seconds, text, text_bytes);
}
