/* What happens to servers, in sentences, until somebody writes them to the log. */
#include <stdarg.h>
#include <stdio.h>

#include "proxy/inner.h"

void notice(struct proxy *proxy, const char *format, ...)
{
    struct notices *notices = &proxy->notices;
    if (notices->count == NOTICES_MAX) {
        notices->lost++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(notices->text[(notices->first + notices->count++) % NOTICES_MAX], NOTICE_BYTES, format, arguments);
    va_end(arguments);
}

const char *proxy_notice(struct proxy *proxy)
{
    struct notices *notices = &proxy->notices;
    if (notices->count == 0 && notices->lost > 0) {
        uint32_t lost = notices->lost;
        notices->lost = 0;
        notice(proxy, "and %u more such changes of upstreams", lost);
    }
    if (notices->count == 0)
        return NULL;
    const char *text = notices->text[notices->first];
    notices->first = (notices->first + 1) % NOTICES_MAX;
    notices->count--;
    return text;
}
