package slurm

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/internal/script"
	"fencepost/submit/internal/word"
)

// Exit statuses of the wrapper itself.
const (
	exitRefused = 113 // by the guard
	exitBroken  = 126 // the node can't run the job: no room for its script
)

// sbatch is the argv of a submission. Every value stands behind "=", so that
// none can be taken for an option.
func (c *Cluster) sbatch(r submit.Request) ([]string, error) {
	if !word.Plain(r.Name) || len(r.Name) > 200 {
		return nil, fmt.Errorf("job name %q is not fit for Slurm", r.Name)
	}
	if strings.ContainsAny(r.Token, " \t\r\n|\x1e\x1f") || r.Token == "" {
		return nil, errors.New("token is not one word")
	}
	job := r.Record.Job
	argv := []string{"sbatch", "--parsable", "--hold", "--no-requeue", "--export=NONE",
		"--job-name=" + r.Name, "--comment=" + r.Token, "--chdir=" + c.workdir(job)}
	if c.cfg.Output != "" {
		argv = append(argv, "--output="+c.cfg.Output)
	}
	if job.Queue != "" {
		argv = append(argv, "--partition="+job.Queue)
	}
	if n := job.Resources.CPUs; n > 0 {
		argv = append(argv, "--cpus-per-task="+strconv.Itoa(n))
	}
	if n := job.Resources.MemoryMB; n > 0 {
		argv = append(argv, "--mem="+strconv.FormatInt(n, 10)+"M")
	}
	if n := job.Resources.TimeLimitSeconds; n > 0 {
		argv = append(argv, fmt.Sprintf("--time=%d-%02d:%02d:%02d", n/86400, n/3600%24, n/60%60, n%60))
	}
	return append(argv, c.cfg.Args...), nil
}

func (c *Cluster) workdir(job codec.Job) string {
	if job.Workdir != "" {
		return job.Workdir
	}
	return c.cfg.Workdir
}

// wrapper makes the batch script. sbatch looks for #SBATCH lines up to the
// first command, and refuses a script with a carriage return before a newline
// anywhere: so the first command comes at once, and carriage returns are put
// together on the node.
func (c *Cluster) wrapper(r submit.Request) (string, error) {
	job := r.Record.Job
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\nfp_path=${PATH-/usr/bin:/bin} PATH=/usr/bin:/bin fp_cr=$(printf '\\r')\n")
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
	c.guard(&b, r)
	fmt.Fprintf(&b, "PATH=$fp_path\nexec /usr/bin/env FENCEPOST_JOB_ID=%s FENCEPOST_TOKEN=%s FENCEPOST_SPOOL_ID=%s \\\n"+
		"\tFENCEPOST_CLUSTER_ID=\"$SLURM_JOB_ID\"", quote(r.Key), quote(r.Token), quote(r.SpoolID))
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

// quote quotes for sh, and hides carriage returns from sbatch.
func quote(s string) string {
	return strings.ReplaceAll(script.Quote(s), "\r", `'"$fp_cr"'`)
}

// guard lets one start of a job pass: the one whose own file is linked to
// started/BUCKET/ID. It is decided by the identity of the two names, never by
// the answer of ln, whose reply may be lost. The canary needs none: it never
// runs, and its key isn't a job's.
func (c *Cluster) guard(b *strings.Builder, r submit.Request) {
	if id, err := codec.CanonicalID(r.Key); c.cfg.Guard == GuardOff || err != nil || id != r.Key {
		return
	}
	name := path.Join(c.cfg.SpoolRoot, spool.StartedPath(r.Key))
	lenient := "false"
	if c.cfg.Guard == GuardLenient {
		lenient = `[ "$(sed -n 's/^cluster_id=//p' "$fp_link")" = "$SLURM_JOB_ID" ]`
	}
	fmt.Fprintf(b, guardPart, quote(name), quote(path.Dir(name)), quote(r.Key), quote(r.Token), lenient, exitRefused)
}

// guardPart has the words link, directory, key, token, condition of the lenient
// guard, exit status. ls makes an NFS client look afresh.
const guardPart = `fp_link=%[1]s fp_dir=%[2]s
fp_who="$SLURM_JOB_ID.$(hostname).$$"
fp_own="$fp_dir/."%[3]s"~$fp_who"
fp_starts() {
	fp_try=0
	while [ $fp_try -lt 5 ]; do
		[ -d "$fp_dir" ] || mkdir "$fp_dir" 2>/dev/null
		[ -e "$fp_own" ] || printf 'job=%%s\ntoken=%%s\ncluster_id=%%s\nstart=%%s\n' %[3]s %[4]s "$SLURM_JOB_ID" "$fp_who" >"$fp_own"
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
