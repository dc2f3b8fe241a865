#!/bin/sh
# deb: remove, or upgrade to the next; rpm: 0 at the last removal. An upgrade stops nothing.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now 'fencepost.service' 'fencepost.socket' 'fencepost-ingest.service' 'fencepost-ingest.socket' \
			'fencepost-translate.service' 'fencepost-submit.service' || true
	fi
	;;
esac
