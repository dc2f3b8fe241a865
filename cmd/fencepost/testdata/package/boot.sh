#!/bin/bash
# Boots a service manager of its own, in a throw-away root with the package installed, and has it run under.sh: see install.sh.
# Of this machine's units none is there; the kernel's settings can only be read.
# usage: unshare --mount --pid --fork --cgroup --uts --ipc --net --kill-child bash -eu boot.sh DIR PACKAGE OUT
dir=$1 deb=$2 out=$3
# What a machine, or a container, doesn't let us do is no fault of the package.
trap 'exit 77' ERR
mount -t tmpfs -o mode=755 none "$dir"
mkdir "$dir/up" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/up,workdir=$dir/work" "$dir/root"
root=$dir/root
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx "$root/dev/"
mkdir "$root/dev/shm" "$root/dev/pts"
ln -s /proc/self/fd "$root/dev/fd"
for at in dev/shm:1777 run:755 tmp:1777; do
	mount -t tmpfs -o "mode=${at#*:}" tmpfs "$root/${at%:*}"
done
mount --bind "$out" "$root/mnt"
trap - ERR
cp "$deb" "$root/tmp/fencepost.deb"
cp "$(dirname "$0")/under.sh" "$root/tmp/"
chroot "$root" dpkg -i /tmp/fencepost.deb >/dev/null

# Only our units, and what they name, empty.
mkdir "$root/tmp/units"
cp "$root"/lib/systemd/system/fencepost* "$root/tmp/units/"
for d in {/lib,/etc,/usr/local/lib}/systemd/system{,-generators}; do
	[ ! -d "$root$d" ] || mount -t tmpfs tmpfs "$root$d"
done
units=$root/lib/systemd/system
cp "$root"/tmp/units/* "$units/"
for t in default sysinit basic network-online network remote-fs local-fs sockets shutdown umount multi-user; do
	printf '[Unit]\nDefaultDependencies=no\n' >"$units/$t.target"
done
cat >"$units/driver.service" <<'U'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash -eu /tmp/under.sh
ExecStopPost=/bin/sh -c 'echo "exit ${EXIT_STATUS}" >>/mnt/out'
StandardOutput=append:/mnt/out
StandardError=append:/mnt/out
U
mkdir "$units/default.target.wants"
ln -s ../driver.service "$units/default.target.wants/"
exec env -i container=docker PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 chroot "$root" \
	/lib/systemd/systemd --system --unit=default.target --log-target=null --show-status=no
