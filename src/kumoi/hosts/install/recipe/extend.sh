#!/bin/sh
# Starts an image from another one instead of from nothing: KUMOI_BASE is its file, $1 the new root.
# Called by image.py.
set -eu
zstd --decompress --stdout "$KUMOI_BASE" | tar --extract --numeric-owner --directory "$1"
