#!/bin/sh
# Users, directories, units. Running it again changes nothing.
set -e

getent group fencepost >/dev/null || groupadd --system fencepost
for user in fencepost fencepost-ingest fencepost-translate fencepost-submit; do
	getent passwd "$user" >/dev/null || useradd --system --gid fencepost --no-create-home \
		--home-dir /var/lib/fencepost --shell /usr/sbin/nologin --comment "$user" "$user"
done
install -d -o fencepost -g fencepost -m 0750 /var/lib/fencepost
install -d -o fencepost -g fencepost -m 2770 /var/log/fencepost
chgrp fencepost /etc/fencepost /etc/fencepost/fencepost.toml
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# What runs goes on with the old program until it is restarted: on one host after the other.
fi
