/* What ps shows for the processes. */
#pragma once

/* Makes room for titles in the memory where the kernel put argv and the environment; both are copied first. Returns the argv to use
 * from now on. Call it once, at the beginning. */
char **title_init(int argc, char **argv);
/* "moongate: worker 1 site"; what does not fit is cut. Does nothing where there was no room. */
void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));
