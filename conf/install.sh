#!/bin/sh
# Part of `meson install`: puts the default config and its site where they are not yet. install.sh SOURCE FOLDER
set -eu
from=$1
to=${DESTDIR:-}$2
if [ -e "$to/moongate.lua" ]; then
    echo "$to/moongate.lua is there already: left as it is"
    exit 0
fi
mkdir -p "$to"
cp "$from/moongate.lua" "$from/site.lua" "$to/"
cp -R "$from/www" "$to/"
