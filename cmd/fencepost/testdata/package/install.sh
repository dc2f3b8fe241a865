#!/bin/bash
# Installs a package into a throw-away root: this machine's own, under an overlay in memory, in namespaces of its own. Nothing
# of it stays. usage: unshare --mount --pid --fork bash -eu install.sh DIR PACKAGE
dir=$1 deb=$2
# What a machine, or a container, doesn't let us do is no fault of the package.
trap 'exit 77' ERR
mount -t tmpfs -o mode=755 none "$dir"
mkdir "$dir/up" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/up,workdir=$dir/work" "$dir/root"
root=$dir/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
trap - ERR
cp "$deb" "$root/tmp/fencepost.deb"
cp "$(dirname "$0")/inside.sh" "$root/tmp/"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TMPDIR=/tmp HOME=/tmp chroot "$root" bash -eu /tmp/inside.sh
