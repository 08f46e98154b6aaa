/* `moongate doctor`: what this machine offers to a gateway. */
#pragma once
#include "proc/options.h"

/* Tries out the machine; lua/moongate/cli_doctor.lua judges what was found and prints it. Exit code. */
int doctor_run(const struct options *options);
