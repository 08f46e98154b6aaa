/* The limits of a worker as one struct, expanded from settings.tbl.h. Filled by the config, read by the gate. */
#pragma once

struct mg_settings {
#define X(field, key, kind, initial, least, most, prose) double field;
#include "gate/settings.tbl.h"
#undef X
};

enum mg_setting_kind { MG_SETTING_BYTES, MG_SETTING_MS, MG_SETTING_COUNT };

struct mg_setting_info {
    const char *field, *key, *prose;
    int kind; /* enum mg_setting_kind */
    double initial, least, most;
};
