#!/bin/sh
# The last step of every image: what belongs to one server, or to the building of it, goes; $1 is its
# root. Called by image.py.
set -eu
root=$1

# Names and ids are the server's own; the host writes them before the first boot.
: > "$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
: > "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > "$root/etc/hosts"
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" \
    "$root/etc/dpkg/dpkg.cfg.d/90-kumoi-build"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/log/*.log \
    "$root"/var/log/apt "$root"/var/cache/ldconfig/* "$root"/var/lib/cloud "$root"/tmp/*

# What was unpacked before dpkg could be told to leave it out.
rm -rf "$root"/usr/share/man/* "$root"/usr/share/locale/*
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
