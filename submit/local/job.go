package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/vfs"
	"fencepost/submit/internal/script"

	"golang.org/x/sys/unix"
)

// notStarted is the exit status of a job whose program couldn't be started, as
// in shells.
const notStarted = 127

// openTries is how often the job's files are tried to be made.
const openTries = 5

// runJob runs the job that this process has started, and fills in how it ended.
func runJob(fs vfs.FS, o order, job codec.Job, told <-chan os.Signal, s *Status) {
	id := o.Start.Job
	argv, err := prepare(fs, o, job)
	if err != nil {
		s.Reason = "never run: " + err.Error()
		return
	}
	stdout, err1 := openOutput(o.Root, StdoutPath(id))
	stderr, err2 := openOutput(o.Root, StderrPath(id))
	if err := errors.Join(err1, err2); err != nil {
		s.Reason = "never run: " + err.Error()
		return
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Dir = job.Workdir
	if cmd.Dir == "" {
		cmd.Dir = filepath.Join(o.Root, workPath(id))
	}
	cmd.Env = append(o.Env, "FENCEPOST_JOB_ID="+id, "FENCEPOST_CLUSTER_ID="+o.Start.ClusterID,
		"FENCEPOST_HOST="+o.Start.Host, "FENCEPOST_SPOOL_ID="+o.SpoolID)
	for k, v := range job.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	limit := time.Duration(job.Resources.TimeLimitSeconds) * time.Second
	supervise(cmd, limit, o.Grace, told, s)
	if err := errors.Join(stdout.Sync(), stderr.Sync(), stdout.Close(), stderr.Close()); err != nil {
		s.Reason = join(s.Reason, "output may be incomplete: "+err.Error())
	}
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// prepare makes the job's files and says what to run. The script is given to
// its interpreter, so that the share may be mounted noexec.
func prepare(fs vfs.FS, o order, job codec.Job) (argv []string, err error) {
	id := o.Start.Job
	for try := range openTries {
		time.Sleep(time.Duration(try) * 200 * time.Millisecond)
		if err = makeDir(fs, spool.LocalDir(id)); err != nil {
			continue
		}
		if err = makeDir(fs, workPath(id)); err != nil {
			continue
		}
		if job.Script == "" {
			return append(append(argv, job.Command...), job.Args...), nil
		}
		if err = writeScript(fs, id, job.Script); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if argv, err = script.Interpreter(job.Script); err != nil {
		return nil, err
	}
	return append(append(argv, filepath.Join(o.Root, scriptPath(id))), job.Args...), nil
}

func writeScript(fs vfs.FS, id, text string) error {
	_, err := fs.Create(scriptPath(id), []byte(text))
	if !errors.Is(err, syscall.EEXIST) {
		return err
	}
	// Mine from an earlier try, perhaps incomplete: nobody else gets here.
	got, _, rerr := fs.Read(scriptPath(id), int64(len(text)))
	if rerr == nil && bytes.Equal(got, []byte(text)) {
		return nil
	}
	return errors.Join(err, rerr, fs.Remove(scriptPath(id)))
}

func openOutput(root, name string) (f *os.File, err error) {
	for try := range openTries {
		time.Sleep(time.Duration(try) * 200 * time.Millisecond)
		if f, err = openOnce(root, name); err == nil {
			return f, nil
		}
	}
	return nil, err
}

// openOnce opens a file of the spool to append to it. As everywhere on the share,
// no symbolic link is followed on the way, and the descriptor is asked what it is:
// opening a pipe would wait for its reader.
func openOnce(root, name string) (*os.File, error) {
	const flags = unix.O_CREAT | unix.O_WRONLY | unix.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: flags, Mode: 0o640, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS})
	if err == unix.ENOSYS || err == unix.EPERM { // a kernel, or a filter, without it
		fd, err = unix.Openat(dir, name, flags, 0o640)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = unix.SetNonblock(fd, false) // the job gets it
	}
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// supervise runs the program to its end, or ends it: at the time limit, and
// when the wrapper itself is told to end. What is left of its process group
// when it has ended is killed, so that the slot is really free.
func supervise(cmd *exec.Cmd, limit, grace time.Duration, told <-chan os.Signal, s *Status) {
	select {
	case sig := <-told:
		s.Reason = "never run: the wrapper was told to end: " + sig.String()
		return
	default:
	}
	if err := cmd.Start(); err != nil {
		code := notStarted
		s.State, s.ExitCode, s.Reason = Done, &code, err.Error()
		return
	}
	pid := cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		// Without reaping it: its process group can't be another's as long as
		// it is a zombie.
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		close(ended)
	}()
	var timeUp <-chan time.Time
	if limit > 0 {
		timeUp = time.After(limit)
	}
	s.State = Done
	select {
	case <-ended:
	case <-timeUp:
		s.Reason = fmt.Sprintf("time limit of %v", limit)
		end(pid, grace, ended)
	case sig := <-told:
		s.State, s.Reason = Interrupted, "the wrapper was told to end: "+sig.String()
		end(pid, grace, ended)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	_ = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		s.Signal = unix.SignalName(ws.Signal())
	} else {
		code := cmd.ProcessState.ExitCode()
		s.ExitCode = &code
	}
}

// end asks the group to end, and kills it after a while.
func end(pid int, grace time.Duration, ended <-chan struct{}) {
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(grace):
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-ended
	}
}
