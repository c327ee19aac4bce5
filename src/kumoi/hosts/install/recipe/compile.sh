#!/bin/sh
# Compiles what Python there is in a root file system, on all processors; $1 is its root. What begin.sh put
# in the place of Debian's own program for it goes. Called by image.py.
set -eu
root=$1
chroot "$root" python3 -m compileall -q -j 0 /usr/lib/python3/dist-packages || true
if [ -e "$root/usr/bin/py3compile.distrib" ]; then
    mv "$root/usr/bin/py3compile.distrib" "$root/usr/bin/py3compile"
    : > "$root/var/lib/dpkg/diversions"
    rm -f "$root/var/lib/dpkg/diversions-old"
fi
