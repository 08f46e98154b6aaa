/* HTTP-date (RFC 9110 §5.6.7): Unix seconds to IMF-fixdate, and all three forms back. No clock, no locale,
 * no time zone. */
#include "http/render.h"

#include <string.h>

static const char weekdays[7][10] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};
static const uint8_t weekday_bytes[7] = { 6, 6, 7, 9, 8, 6, 8 };
static const char months[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};

enum { DAY_SECONDS = 86400, EPOCH_WEEKDAY = 4, EPOCH_FROM_MARCH_0 = 719468, ERA_DAYS = 146097 };
static const int64_t last_second = 253402300799; /* 9999-12-31 23:59:59: the year has four digits */

struct date {
    int year, month, day, hour, minute, second; /* month 0..11, day 1..31 */
    int weekday;                                /* 0 is Sunday */
};

/* Days. Years are counted from March, so that the leap day is the last of its year and the month lengths
 * run in a pattern of 153 days to five months. */

static void date_of_days(uint32_t days, struct date *ret)
{
    uint32_t shifted = days + EPOCH_FROM_MARCH_0;
    uint32_t era = shifted / ERA_DAYS, in_era = shifted % ERA_DAYS;
    uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
    uint32_t month = (5 * in_year + 2) / 153;
    ret->day = (int)(in_year - (153 * month + 2) / 5 + 1);
    ret->month = (int)(month < 10 ? month + 2 : month - 10);
    ret->year = (int)(year + era * 400 + (month >= 10));
    ret->weekday = (int)((days + EPOCH_WEEKDAY) % 7);
}

/* Days since 1970-01-01; year >= 1970. */
static int64_t days_of_date(const struct date *date)
{
    int march_year = date->year - (date->month < 2);
    int month = date->month < 2 ? date->month + 10 : date->month - 2;
    int in_year = (153 * month + 2) / 5 + date->day - 1;
    int leap_days = march_year / 4 - march_year / 100 + march_year / 400;
    return (int64_t)march_year * 365 + leap_days + in_year - EPOCH_FROM_MARCH_0;
}

static int month_days(int year, int month)
{
    static const uint8_t days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month] + (month == 1 && leap);
}

/* Formatting */

static char *put_pair(char *out, int value, char after)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
    out[2] = after;
    return out + 3;
}

void http_date_format(char out[29], int64_t unix_second)
{
    int64_t second = unix_second < 0 ? 0 : unix_second > last_second ? last_second : unix_second;
    uint32_t days = (uint32_t)(second / DAY_SECONDS);
    int of_day = (int)(second % DAY_SECONDS);
    struct date date;
    date_of_days(days, &date);
    memcpy(out, weekdays[date.weekday], 3);
    memcpy(out + 3, ", ", 2);
    char *at = put_pair(out + 5, date.day, ' ');
    memcpy(at, months[date.month], 3);
    at[3] = ' ';
    at = put_pair(at + 4, date.year / 100, '0') - 1;
    at = put_pair(at, date.year % 100, ' ');
    at = put_pair(at, of_day / 3600, ':');
    at = put_pair(at, of_day / 60 % 60, ':');
    at = put_pair(at, of_day % 60, ' ');
    memcpy(at, "GMT", 3);
}

/* Parsing. Each take_… reads at fixed places and returns 0 when something else stands there. */

static int take_pair(const char *text, int *ret)
{
    unsigned tens = (unsigned)text[0] - '0', ones = (unsigned)text[1] - '0';
    *ret = (int)(tens * 10 + ones);
    return tens <= 9 && ones <= 9;
}

static int take_month(const char *text, struct date *ret)
{
    for (ret->month = 0; ret->month < 12; ret->month++)
        if (memcmp(text, months[ret->month], 3) == 0)
            return 1;
    return 0;
}

/* `whole`: the long names of RFC 850. Returns the bytes of the name, 0: none. */
static uint32_t take_weekday(const char *text, uint32_t bytes, int whole, struct date *ret)
{
    for (ret->weekday = 0; ret->weekday < 7; ret->weekday++) {
        uint32_t count = whole ? weekday_bytes[ret->weekday] : 3;
        if (bytes >= count && memcmp(text, weekdays[ret->weekday], count) == 0)
            return count;
    }
    return 0;
}

/* HH:MM:SS; a leap second may be 60. */
static int take_time(const char *text, struct date *ret)
{
    return take_pair(text, &ret->hour) && text[2] == ':' && take_pair(text + 3, &ret->minute) &&
           text[5] == ':' && take_pair(text + 6, &ret->second) && ret->hour <= 23 &&
           ret->minute <= 59 && ret->second <= 60;
}

static int take_year(const char *text, struct date *ret)
{
    int high, low;
    if (!take_pair(text, &high) || !take_pair(text + 2, &low))
        return 0;
    ret->year = high * 100 + low;
    return 1;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static int take_fixdate(const char *text, struct date *ret)
{
    return take_weekday(text, 3, 0, ret) && memcmp(text + 3, ", ", 2) == 0 &&
           take_pair(text + 5, &ret->day) && text[7] == ' ' && take_month(text + 8, ret) &&
           text[11] == ' ' && take_year(text + 12, ret) && text[16] == ' ' &&
           take_time(text + 17, ret) && memcmp(text + 25, " GMT", 4) == 0;
}

/* Sun Nov  6 08:49:37 1994 */
static int take_asctime(const char *text, struct date *ret)
{
    char day[2] = { text[8] == ' ' ? '0' : text[8], text[9] };
    return take_weekday(text, 3, 0, ret) && text[3] == ' ' && take_month(text + 4, ret) &&
           text[7] == ' ' && take_pair(day, &ret->day) && text[10] == ' ' &&
           take_time(text + 11, ret) && text[19] == ' ' && take_year(text + 20, ret);
}

/* Sunday, 06-Nov-94 08:49:37 GMT. Without a clock the century is fixed: 70 to 99 are 19xx, the others 20xx,
 * which since 2019 is never more than the 50 years ahead that the RFC allows. */
static int take_rfc850(const char *text, uint32_t bytes, struct date *ret)
{
    uint32_t name = take_weekday(text, bytes, 1, ret);
    if (name == 0 || bytes - name != 24)
        return 0;
    text += name;
    if (memcmp(text, ", ", 2) != 0 || !take_pair(text + 2, &ret->day) || text[4] != '-' ||
        !take_month(text + 5, ret) || text[8] != '-' || !take_pair(text + 9, &ret->year) ||
        text[11] != ' ' || !take_time(text + 12, ret))
        return 0;
    ret->year += ret->year >= 70 ? 1900 : 2000;
    return memcmp(text + 20, " GMT", 4) == 0;
}

int64_t http_date_parse(const char *text, uint32_t bytes)
{
    struct date date;
    int taken = 0;
    if (bytes == 29 && text[3] == ',')
        taken = take_fixdate(text, &date);
    else if (bytes == 24)
        taken = take_asctime(text, &date);
    else
        taken = take_rfc850(text, bytes, &date);
    if (!taken || date.year < 1970 || date.day < 1 || date.day > month_days(date.year, date.month))
        return -1;
    int64_t days = days_of_date(&date);
    if ((days + EPOCH_WEEKDAY) % 7 != date.weekday)
        return -1;
    return days * DAY_SECONDS + date.hour * 3600 + date.minute * 60 + date.second;
}
