#!/bin/sh
# Makes a root filesystem that mmdebstrap just built into the image of a server; $1 is its root.
# Called by image.py. What this says is part of the image's content key.
set -eu
root=$1

# The user that Debian's own cloud images have: no password, all of sudo.
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash --groups sudo,adm debian
install -d -m 0700 -o 1000 -g 1000 "$root/home/debian/.ssh"
printf 'debian ALL=(ALL:ALL) NOPASSWD: ALL\n' > "$root/etc/sudoers.d/90-debian"
chmod 0440 "$root/etc/sudoers.d/90-debian"

# Each server makes its own host key before its sshd first starts. One kind, the quickest.
rm -f "$root"/etc/ssh/ssh_host_*
cat > "$root/etc/ssh/sshd_config.d/10-kumoi.conf" <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
END
mkdir -p "$root/etc/systemd/system/ssh.service.d"
cat > "$root/etc/systemd/system/ssh.service.d/10-kumoi.conf" <<'END'
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'test -s /etc/ssh/ssh_host_ed25519_key || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
END

# cloud-init runs only where the host left it something to do; its generator, which would search
# every boot for a data source, does not run at all.
install -d "$root/etc/systemd/system-generators"
ln -s /dev/null "$root/etc/systemd/system-generators/cloud-init-generator"
for unit in cloud-init-local cloud-init cloud-config cloud-final; do
    install -d "$root/etc/systemd/system/$unit.service.d"
    printf '[Unit]\nConditionPathExists=/var/lib/cloud/seed/nocloud/user-data\n' \
        > "$root/etc/systemd/system/$unit.service.d/10-kumoi.conf"
done
install -d "$root/etc/systemd/system/multi-user.target.wants"
ln -sf /lib/systemd/system/cloud-init.target "$root/etc/systemd/system/multi-user.target.wants/"
for unit in cloud-init-hotplugd.socket cloud-init-hotplugd.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
cat > "$root/etc/cloud/cloud.cfg.d/90_kumoi.cfg" <<'END'
datasource_list: [NoCloud]
network: {config: disabled}
ssh_deletekeys: false
ssh_genkeytypes: [ed25519]
locale: C.UTF-8
apt: {preserve_sources_list: true}
END

# What makes no sense in a container, or only keeps it busy.
for unit in console-getty.service container-getty@.service getty.target getty-static.service \
    systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
    systemd-udev-trigger.service systemd-journald-audit.socket systemd-modules-load.service \
    systemd-remount-fs.service systemd-firstboot.service systemd-binfmt.service \
    systemd-machine-id-commit.service systemd-networkd.socket systemd-pcrphase.service \
    systemd-pcrphase-sysinit.service systemd-timesyncd.service systemd-sysctl.service \
    systemd-random-seed.service systemd-update-utmp-runlevel.service \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount proc-sys-fs-binfmt_misc.automount \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    e2scrub_reap.service modprobe@.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
install -d "$root/etc/systemd/journald.conf.d"
cat > "$root/etc/systemd/journald.conf.d/10-kumoi.conf" <<'END'
[Journal]
Storage=volatile
RuntimeMaxUse=8M
ForwardToConsole=yes
MaxLevelConsole=info
END
