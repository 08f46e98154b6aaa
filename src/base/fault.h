/* Fault points: places where a build with -Dfaults=true can be told to fail. The environment says which, and how often:
 *
 *   MG_FAULTS="short-send:3,no-block:5"     each third and each fifth time that the point is passed
 *
 * In every other build a point is the constant 0. */
#pragma once

#ifdef MG_FAULTS
/* 1 when the point is to fail this time. `point` without comma and colon. Not for several threads. */
int fault_hit(const char *point);
#else
#define fault_hit(point) 0
#endif
