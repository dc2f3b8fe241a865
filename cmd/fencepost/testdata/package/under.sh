#!/bin/bash
# What the service manager makes of the units. Prints "== STEP" before each step.
step() { echo "== $*"; }
of() { systemctl show "${2:-fencepost}" -p "$1" --value; }
await() { # PROPERTY VALUE [UNIT]: for three minutes
    for _ in $(seq 1800); do
        [ "$(of "$1" "${3-}")" != "$2" ] || return 0
        sleep 0.1
    done
    echo "$1 of ${3:-fencepost} is $(of "$1" "${3-}"), not $2"
    systemctl status "${3:-fencepost}" --no-pager || true
    exit 1
}

ip link set lo up
hostname h
install -d -o fencepost -g fencepost -m 2770 /srv/spool
{ echo 'spool = "/srv/spool/jobs"'; cat /etc/fencepost/fencepost.toml; } >/tmp/toml
cat /tmp/toml >/etc/fencepost/fencepost.toml

step "not enrolled: exit 7, and no restart"
setpriv --reuid fencepost --regid fencepost --clear-groups fencepost init --no-enroll
systemctl start fencepost || true
await ActiveState failed
[ "$(of ExecMainStatus)/$(of NRestarts)" = 7/0 ]

step "enrolled: started when it is ready"
setpriv --reuid fencepost --regid fencepost --clear-groups fencepost enroll h
systemctl start fencepost
[ "$(of ActiveState)" = active ]
of StatusText | grep '^epoch 1, '
printf '%s\n' '{"name": "x", "script": "#!/bin/sh\necho hello\n"}' | fencepost send --wait -
until grep -q hello /srv/spool/jobs/local/*/stdout 2>/dev/null; do sleep 0.1; done

step "reloaded: refused, and goes on"
sed -i '1i poll = "1s"' /etc/fencepost/fencepost.toml
systemctl reload fencepost
await StatusText "reload refused: poll can't change while the daemon runs: put it back, or restart; only log.level, limits, tls, token_file, token_skew, clients and types can"
[ "$(of ActiveState)" = active ]
sed -i 1d /etc/fencepost/fencepost.toml

step "killed: restarted"
kill -KILL "$(of MainPID)"
await NRestarts 1
await ActiveState active

step "hangs: the watchdog ends it, and it is restarted"
mkdir -p /run/systemd/system/fencepost.service.d
printf '[Service]\nWatchdogSec=15s\n' >/run/systemd/system/fencepost.service.d/test.conf
systemctl daemon-reload
systemctl restart fencepost
sleep 20 # it is fed
[ "$(of NRestarts)/$(of ActiveState)" = 0/active ]
kill -STOP "$(of MainPID)"
await NRestarts 1
await ActiveState active

step "fenced by a person: exit 7, and no restart"
before=$(of NRestarts)
fencepost fence h --reason test
await ActiveState failed
[ "$(of ExecMainStatus)/$(of NRestarts)" = "7/$before" ]
fencepost resume h

step "by its socket: started when somebody comes"
systemctl reset-failed fencepost
systemctl start fencepost.socket
[ "$(of ActiveState)" = inactive ]
printf '%s\n' '{"name": "y", "script": "#!/bin/sh\ntrue\n"}' | fencepost send --timeout 60s -
[ "$(of ActiveState)" = active ]
systemctl stop fencepost.socket fencepost
[ "$(of ActiveState)/$(of Result)" = inactive/success ]

step "three users"
rm -r /srv/spool/jobs
sed -i '1i spool_users = ["fencepost-ingest", "fencepost-translate", "fencepost-submit"]' /etc/fencepost/fencepost.toml
install -d -o fencepost-ingest -g fencepost -m 2770 /srv/spool/jobs
chmod 755 /srv/spool
setpriv --reuid fencepost-ingest --regid fencepost --clear-groups fencepost init --no-enroll
for stage in ingest translate submit; do
    setpriv --reuid fencepost-ingest --regid fencepost --clear-groups fencepost enroll "h-$stage" --stages "$stage"
done
systemctl start fencepost-ingest fencepost-translate fencepost-submit
printf '%s\n' '{"name": "z", "script": "#!/bin/sh\ntrue\n"}' | fencepost send --wait -
fencepost audit --wait 1s | grep -E '^(done|difference)'
systemctl stop fencepost-ingest fencepost-translate fencepost-submit
step ok
