package batch

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/internal/script"
)

// Exit statuses of the script itself.
const (
	exitRefused = 113 // by the guard
	exitBroken  = 126 // the node can't run the job: no room for its script
)

// Guard says what a job does that finds that it has been started before.
type Guard string

// The guards. See the design, section 8, point 7.
const (
	Off     Guard = "off"
	Lenient Guard = "lenient" // the same cluster id may start again: requeued after a node's failure
	Strict  Guard = "strict"  // one start, whatever happens
)

// Check refuses other words, and a guard without the spool's absolute path.
func (g Guard) Check(spoolRoot string) error {
	switch {
	case !slices.Contains([]Guard{Off, Lenient, Strict}, g):
		return fmt.Errorf("guard is strict, lenient or off, not %q", string(g))
	case g != Off && !path.IsAbs(spoolRoot):
		return errors.New("the guard needs the spool's path on the compute nodes")
	}
	return nil
}

// Maker makes scripts for one scheduler.
type Maker struct {
	IDVar     string // the variable in which the scheduler gives a job its id
	Guard     Guard
	SpoolRoot string // the spool's path on compute nodes; for the guard
}

// Make makes the script of a job. sbatch looks for #SBATCH lines up to the first
// command, and refuses a script with a carriage return before a newline
// anywhere: so the first command comes at once, and carriage returns are put
// together on the node.
func (m Maker) Make(r submit.Request) (string, error) {
	job := r.Record.Job
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\nfp_path=${PATH-/usr/bin:/bin} PATH=/usr/bin:/bin fp_cr=$(printf '\\r') fp_id=$%s\n", m.IDVar)
	b.WriteString("fp_die() { printf 'fencepost: %s\\n' \"$2\" >&2; exit \"$1\"; }\n")
	argv := slices.Concat(job.Command, job.Args)
	if job.Script != "" {
		interpreter, err := script.Interpreter(job.Script)
		if err != nil {
			return "", err
		}
		argv = slices.Concat(interpreter, []string{"/dev/fd/9"}, job.Args)
		fmt.Fprintf(&b, scriptPart, quote(job.Script), exitBroken)
	}
	if len(argv) == 0 {
		return "", errors.New("job has neither script nor command")
	}
	m.guard(&b, r)
	fmt.Fprintf(&b, "PATH=$fp_path\nexec /usr/bin/env FENCEPOST_JOB_ID=%s FENCEPOST_TOKEN=%s FENCEPOST_SPOOL_ID=%s \\\n"+
		"\tFENCEPOST_CLUSTER_ID=\"$fp_id\"", quote(r.Key), quote(r.Token), quote(r.SpoolID))
	for _, k := range slices.Sorted(maps.Keys(job.Env)) {
		fmt.Fprintf(&b, " \\\n\t%s", quote(k+"="+job.Env[k]))
	}
	// A program with "=" in its name would be a variable to env.
	if strings.Contains(argv[0], "=") {
		b.WriteString(" \\\n\t/bin/sh -c 'exec \"$0\" \"$@\"'")
	}
	for _, a := range argv {
		fmt.Fprintf(&b, " \\\n\t%s", quote(a))
	}
	b.WriteString("\n")
	return b.String(), nil
}

// scriptPart gives the job's script to its interpreter as a file that has no
// name any more: nothing has to be removed later, and the wrapper can become
// the job, so that signals reach it as if it were the batch script itself.
const scriptPart = `fp_tmp=$(mktemp "${TMPDIR:-/tmp}/fencepost.XXXXXXXXXX") &&
printf %%s %s >"$fp_tmp" &&
exec 9<"$fp_tmp" &&
rm -f "$fp_tmp" || fp_die %d "no room for the job's script"
`

// quote quotes for sh, and hides carriage returns.
func quote(s string) string {
	return strings.ReplaceAll(script.Quote(s), "\r", `'"$fp_cr"'`)
}

// guard lets one start of a job pass: the one whose own file is linked to
// started/BUCKET/ID. It is decided by the identity of the two names, never by
// the answer of ln, whose reply may be lost. The canary needs none: it never
// runs, and its key isn't a job's.
func (m Maker) guard(b *strings.Builder, r submit.Request) {
	if id, err := codec.CanonicalID(r.Key); m.Guard == Off || err != nil || id != r.Key {
		return
	}
	name := path.Join(m.SpoolRoot, spool.StartedPath(r.Key))
	lenient := "false"
	if m.Guard == Lenient {
		lenient = `[ "$(sed -n 's/^cluster_id=//p' "$fp_link")" = "$fp_id" ]`
	}
	fmt.Fprintf(b, guardPart, quote(name), quote(path.Dir(name)), quote(r.Key), quote(r.Token), lenient, exitRefused)
}

// guardPart has the words link, directory, key, token, condition of the lenient
// guard, exit status. ls makes an NFS client look afresh.
const guardPart = `fp_link=%[1]s fp_dir=%[2]s
fp_who="$fp_id.$(hostname).$$"
fp_own="$fp_dir/."%[3]s"~$fp_who"
fp_starts() {
	fp_try=0
	while [ $fp_try -lt 5 ]; do
		[ -d "$fp_dir" ] || mkdir "$fp_dir" 2>/dev/null
		[ -e "$fp_own" ] || printf 'job=%%s\ntoken=%%s\ncluster_id=%%s\nstart=%%s\n' %[3]s %[4]s "$fp_id" "$fp_who" >"$fp_own"
		ln "$fp_own" "$fp_link" 2>/dev/null
		ls "$fp_dir" >/dev/null 2>&1
		if [ "$fp_own" -ef "$fp_link" ]; then
			sync "$fp_dir" 2>/dev/null
			rm -f "$fp_own"
			return 0
		fi
		if [ -e "$fp_link" ]; then
			rm -f "$fp_own"
			%[5]s && return 0
			cp "$fp_link" "$fp_link.refused.$fp_who" 2>/dev/null || : >"$fp_link.refused.$fp_who"
			fp_die %[6]d "refused: this job has been started before, see $fp_link"
		fi
		fp_try=$((fp_try + 1))
		sleep $fp_try
	done
	fp_die %[6]d "refused: the guard's directory $fp_dir is out of reach"
}
fp_starts
`
