#!/bin/bash
# What somebody does who installs the package, and what must be so then. Prints "== STEP" before each step.
cd /
export DEBIAN_FRONTEND=noninteractive
step() { echo "== $*"; }
as() { # USER COMMAND...
    user=$1; shift
    setpriv --reuid "$user" --regid fencepost --clear-groups "$@"
}

step install
dpkg -i /tmp/fencepost.deb
for user in fencepost fencepost-ingest fencepost-translate fencepost-submit; do
    [ "$(id -gn "$user")" = fencepost ]
done
[ "$(stat -c %U:%G:%a /var/lib/fencepost)" = fencepost:fencepost:750 ]
[ "$(stat -c %G:%a /etc/fencepost/fencepost.toml)" = fencepost:640 ]

step again
dpkg -i /tmp/fencepost.deb

step "version, manual, completion, configuration"
fencepost version | grep '^fencepost 0\.9\.0 '
zcat /usr/share/man/man1/fencepost-serve.1.gz | grep -q '^\.TH FENCEPOST-SERVE 1'
as nobody cat /usr/share/man/man1/fencepost.1.gz >/dev/null
bash -c '. /usr/share/bash-completion/completions/fencepost && declare -F __start_fencepost'
as fencepost fencepost config check
echo 'spool = "/srv/spool/jobs"' >>/tmp/line
cat /etc/fencepost/fencepost.toml >>/tmp/line
cat /tmp/line >/etc/fencepost/fencepost.toml

step "units"
for unit in /lib/systemd/system/fencepost*.service /lib/systemd/system/fencepost*.socket; do
    echo "verify $unit"
    out=$(systemd-analyze verify "$unit" 2>&1) || { echo "$out"; exit 1; }
    # Other units of this machine are no business of ours.
    if grep -i fencepost <<<"$out"; then exit 1; fi
done
for unit in fencepost fencepost-ingest fencepost-translate fencepost-submit; do
    systemd-analyze security --offline=true --no-pager "/lib/systemd/system/$unit.service" | tail -n 1
done
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers --dry-run /usr/lib/sysusers.d/fencepost.conf
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/fencepost.conf
fi
if command -v logrotate >/dev/null; then logrotate -d /etc/logrotate.d/fencepost; fi

step run
install -d -o fencepost -g fencepost -m 2770 /srv/spool /run/fencepost
as fencepost fencepost init --host h
setpriv --reuid fencepost --regid fencepost --clear-groups env XDG_RUNTIME_DIR=/run/fencepost fencepost serve --host h >/tmp/ready 2>/tmp/log &
until grep -q '^ready' /tmp/ready; do
    kill -0 $! || { cat /tmp/log; exit 1; }
    sleep 0.1
done
echo '{"name": "packaged", "script": "#!/bin/sh\necho hello\n"}' | as fencepost fencepost send --wait -
as fencepost fencepost audit --wait 1s | grep -E '^(done|difference)'
kill $!
wait $!

step remove
dpkg -r fencepost
[ ! -e /usr/bin/fencepost ] && [ -e /etc/fencepost/fencepost.toml ] && [ -e /srv/spool/jobs/fencepost.toml ]
dpkg -P fencepost
[ ! -e /etc/fencepost ] && [ ! -e /var/log/fencepost ] && [ -e /srv/spool/jobs/fencepost.toml ]
if dpkg -L fencepost 2>/dev/null; then exit 1; fi
step ok
