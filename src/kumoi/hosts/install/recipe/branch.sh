#!/bin/sh
# Two images from one tree: what is in the root file system $1 so far becomes the file KUMOI_SAVED, while the
# packages KUMOI_MORE are added for the other. Called by image.py.
set -eu
root=$1
copy="${root%/}.saved"
draft="${KUMOI_SAVED%/*}/new-${KUMOI_SAVED##*/}"

mkdir "$copy"
tar --create --one-file-system --directory "$root" --exclude='./dev/*' --exclude='./var/cache/apt/archives/*' . \
    | tar --extract --numeric-owner --directory "$copy"
# As mmdebstrap itself does at the end.
mv "$copy/usr/sbin/start-stop-daemon.REAL" "$copy/usr/sbin/start-stop-daemon"
rm -rf "$copy/usr/sbin/policy-rc.d" "$copy/etc/apt/apt.conf.d/00mmdebstrap" "$copy"/run/*
(
    "${0%/*}/finish.sh" "$copy"
    rm -f "$copy/var/lib/dbus/machine-id"
    tar --create --numeric-owner --sort=name --directory "$copy" . | zstd --quiet -T0 -o "$draft" --force
    mv "$draft" "$KUMOI_SAVED"
    rm -rf "$copy"
) &
saving=$!
# shellcheck disable=SC2086 - these are words
APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qy --no-install-recommends \
    -o "DPkg::Chroot-Directory=$root" install $KUMOI_MORE
wait "$saving"
