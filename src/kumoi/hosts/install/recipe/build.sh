#!/bin/sh
# Builds an image with the words after $1, with $1 for what is only needed meanwhile. Called by
# image.py in a mount namespace of its own.
set -eu
work=$1
shift

# In memory where there is plenty: it is quicker, and is given back however this ends.
available_mib=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
if [ "$available_mib" -ge 6144 ]; then
    mount -t tmpfs -o size=3g,mode=0755 none "$work"
fi
TMPDIR=$work exec "$@"
