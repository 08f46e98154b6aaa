/* Instances have names: the runtime folder holds a control socket and a lock for each that runs. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { NAMES_FOLDER_BYTES = 64, NAME_BYTES = 65, NAMES_PROBLEM_BYTES = 256, NAMES_LISTED_MAX = 64 };

/* Finds or makes the runtime folder: $MOONGATE_RUNTIME_DIR, /run/moongate (root), $XDG_RUNTIME_DIR/moongate, or /tmp/moongate-UID,
 * which must be private. False: ret_problem says why there is none. */
bool names_folder(char ret_folder[NAMES_FOLDER_BYTES], char ret_problem[NAMES_PROBLEM_BYTES]);
/* Makes a name of a path: its last part without ".lua", other characters than letters, digits, ".", "_", "-" replaced. */
void name_of_path(const char *path, char ret_name[NAME_BYTES]);
/* The same for a name that a config gives. */
void name_clean(const char *text, char ret_name[NAME_BYTES]);

/* A name that this process owns, with the control socket that listens under it. */
struct claim {
    char name[NAME_BYTES];
    char socket_path[108], lock_path[140];
    int lock, listener; /* -1: none */
};
/* Takes the name; what a dead instance left is removed. 0; -EEXIST: an instance of that name runs; or another -errno. */
int claim_take(struct claim *ret_claim, const char *folder, const char *name, char ret_problem[NAMES_PROBLEM_BYTES]);
/* Takes over a name with the lock and the listening socket of its owner, who lets them go; claim_sign() makes it ours for everybody to
 * see. 0 or -errno. */
int claim_adopt(struct claim *ret_claim, const char *folder, const char *name, int lock, int listener, char ret_problem[NAMES_PROBLEM_BYTES]);
void claim_sign(const struct claim *claim);
void claim_release(struct claim *claim);
/* Gives the name away: what stands in the runtime folder stays. */
void claim_let_go(struct claim *claim);

/* Connects to the instance of that name: a descriptor (does not block), or -errno; -ENOENT, -ECONNREFUSED: it does not run. */
int instance_connect(const char *folder, const char *name);
/* Writes the names of instances that run to ret_names; how many (≤ NAMES_LISTED_MAX). */
uint32_t instances_list(const char *folder, char (*ret_names)[NAME_BYTES]);
