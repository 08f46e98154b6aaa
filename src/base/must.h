/* must(claim): what the program relies on, checked in every build. Never on anything a client or a user can cause. */
#pragma once

__attribute__((noreturn, cold)) void must_fail(const char *claim, const char *file, int line);

#define must(claim) (__builtin_expect(!!(claim), 1) ? (void)0 : must_fail(#claim, __FILE__, __LINE__))
#define never(why) must_fail(why, __FILE__, __LINE__)
