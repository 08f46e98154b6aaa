/* A request that is answered with a file: what the two files about that share, side_file.c (which file) and file_send.c (its bytes). */
#pragma once
#include "gate/side.h"

/* A stretch of a file, and the bytes that stand before it. */
struct part {
    struct slice head;
    struct file_range range;
};

/* What a request that waits for a file, or is sent one in pieces, has to remember. In its arena. */
struct file_job {
    struct file_wait wait;
    struct file_entry *main, *content; /* held: what was found at the path; whose bytes are sent */
    int folder, waits;
    uint16_t status;                   /* 0: as conditions and ranges say */
    char order;                        /* of a listing */
    bool strayed;                      /* it is the fallback, or the page that goes with 404 */
    bool is_folder;                    /* a route of a folder; else one named file */
    struct slice path, type;
    struct part *parts;                /* still to be read and sent */
    uint32_t part_count, part_at;
    struct slice tail;
    double lent_end[2];                /* r->bytes_out behind the last two pieces that were lent, the older first */
};

/* What a job held, once the job is over: an answer that ends may end its request, and the job's memory with it. */
struct held {
    struct file_entry *entry[3];
};
struct held job_end(struct mg_worker *w, struct request *r);
void held_release(struct mg_worker *w, const struct held *held);
void job_drop(struct mg_worker *w, struct request *r); /* both; or there is none */

/* The whole of it; `own`: it is not the resource itself, so it has no validators. 0, or -errno: nothing was begun. */
int send_whole(struct mg_worker *w, struct request *r, const struct file_form *form, uint16_t status, bool own);
/* As the request's conditions and ranges say. */
int send_judged(struct mg_worker *w, struct request *r, const struct file_form *form);
