/* Telling the service manager how we are: the protocol of sd_notify(3), a datagram to the socket that NOTIFY_SOCKET names. Without one
 * nothing happens. Never waits, never fails. */
#pragma once
#include <stdint.h>

/* Reads the environment once and takes what it has read out of it, so that no child speaks in our name. */
void notify_init(void);
/* The instance serves; `status` is a line for people. Also ends a reload. */
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);
/* Another process is the master from now on. */
void notify_main(long pid);
/* Milliseconds between two signs of life that the manager wants, halved as it advises; 0: it wants none. */
int64_t notify_alive_ms(void);
void notify_alive(void);
/* Puts back into the environment what notify_init() took out, for a successor that is about to be started. */
void notify_hand_down(void);
