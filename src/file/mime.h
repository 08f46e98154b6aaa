/* The content type of a file by its name. In: a name or path; out: a type that lives as long as the program. */
#pragma once
#include "base/slice.h"

/* By the part after the last '.' of the last segment, in any case; "application/octet-stream" when there is none or it is
 * not known. Text carries "; charset=utf-8". The table is mime.tbl.h. */
struct slice mime_type(const char *name, uint32_t bytes);
/* Does content of this type become much smaller by coding it? */
int mime_is_compressible(struct slice type);
