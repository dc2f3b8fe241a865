package slurm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/internal/word"
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
	// The site's options first: the last one counts, so that a job's queue
	// replaces a default one, and nothing replaces the hold.
	argv := append([]string{"sbatch"}, c.cfg.Args...)
	argv = append(argv, "--parsable", "--hold", "--no-requeue", "--export=NONE",
		"--job-name="+r.Name, "--comment="+r.Token, "--chdir="+c.workdir(job))
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
	return argv, nil
}

func (c *Cluster) workdir(job codec.Job) string {
	if job.Workdir != "" {
		return job.Workdir
	}
	return c.cfg.Workdir
}
