package slurm_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"fencepost/submit"
	"fencepost/submit/slurm"
)

const key = "0196e9f4-2222-7000-8000-000000000001"

// rec makes a record as squeue 22.05 prints it.
func rec(fields ...string) string {
	return strings.Join(fields, slurm.UnitSep) + slurm.RecordEnd + "\n"
}

func TestParseSubmitted(t *testing.T) {
	for out, want := range map[string]string{
		"17\n": "17", "17;fencetest\n": "17", "12345678": "12345678",
		"": "", "\n": "", "17;\n": "", "0\n": "", "017\n": "", "-1\n": "", "17\n18\n": "", "17_3\n": "",
		"Submitted batch job 17\n": "", "sbatch: noise\n17\n": "", "123456789012345678901\n": "",
	} {
		got, err := slurm.ParseSubmitted([]byte(out))
		if (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %q, %v, want %q", out, got, err, want)
		}
	}
}

func TestParseListing(t *testing.T) {
	ours := func(state submit.State, started bool, detail string) submit.Job {
		return submit.Job{ID: "17", Name: "fp-" + key, Key: key, Token: "s/h/3/4/0", State: state, Started: started, Detail: detail}
	}
	line := func(state, reason, nodes string) string {
		return rec("17", state, reason, nodes, "fp-"+key, "s/h/3/4/0")
	}
	tests := []struct {
		name, out string
		want      []submit.Job
	}{
		{"none", "", nil},
		{"held", line("PENDING", "JobHeldUser", ""), []submit.Job{ours(submit.Held, false, "PENDING JobHeldUser")}},
		{"admin", line("PENDING", "JobHeldAdmin", ""), []submit.Job{ours(submit.HeldOther, false, "PENDING JobHeldAdmin")}},
		{"launch failed", line("PENDING", "launch failed requeued held", ""), []submit.Job{ours(submit.HeldOther, false, "PENDING launch failed requeued held")}},
		{"max requeue", line("PENDING", "JobHoldMaxRequeue", ""), []submit.Job{ours(submit.HeldOther, false, "PENDING JobHoldMaxRequeue")}},
		{"special exit", line("SPECIAL_EXIT", "None", "vm"), []submit.Job{ours(submit.HeldOther, true, "SPECIAL_EXIT None")}},
		{"released", line("PENDING", "None", ""), []submit.Job{ours(submit.Pending, false, "PENDING None")}},
		{"waits", line("PENDING", "Resources", "(null)"), []submit.Job{ours(submit.Pending, false, "PENDING Resources")}},
		{"running", line("RUNNING", "None", "vm"), []submit.Job{ours(submit.Running, true, "RUNNING None")}},
		{"completing", line("COMPLETING", "None", "vm"), []submit.Job{ours(submit.Running, true, "COMPLETING None")}},
		{"completed", line("COMPLETED", "None", "vm"), []submit.Job{ours(submit.Done, true, "COMPLETED None")}},
		{"failed", line("FAILED", "NonZeroExitCode", "vm"), []submit.Job{ours(submit.Failed, true, "FAILED NonZeroExitCode")}},
		{"cancelled while held", line("CANCELLED", "JobHeldUser", ""), []submit.Job{ours(submit.Cancelled, false, "CANCELLED JobHeldUser")}},
		{"cancelled while running", line("CANCELLED", "None", "vm"), []submit.Job{ours(submit.Cancelled, true, "CANCELLED None")}},
		{"state of the future", line("TELEPORTED", "None", "vm"), []submit.Job{ours(submit.HeldOther, true, "TELEPORTED None")}},
		{"another's", rec("3_[1-3]", "PENDING", "JobHeldUser", "", "arr", "(null)"),
			[]submit.Job{{ID: "3_[1-3]", Name: "arr", State: submit.Held, Detail: "PENDING JobHeldUser"}}},
		{"bars and newlines", rec("2", "PENDING", "JobHeldUser", "", "we|ird\nname", "a b|c\nd") + line("RUNNING", "None", "vm"),
			[]submit.Job{{ID: "2", Name: "we|ird\nname", Token: "a b|c\nd", State: submit.Held, Detail: "PENDING JobHeldUser"},
				ours(submit.Running, true, "RUNNING None")}},
		{"our separator in another's name", rec("2", "RUNNING", "None", "vm", "fp-"+key, "x", "y"),
			[]submit.Job{{ID: "2", Name: "fp-" + key + "?x?y", State: submit.Running, Started: true, Detail: "RUNNING None"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := slurm.ParseListing([]byte(tt.out), "fp-")
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	for _, bad := range []string{"17", line("RUNNING", "None", "vm")[:20], "error\n", rec("17", "RUNNING"), rec("", "RUNNING", "", "", "", ""),
		strings.TrimSuffix(line("RUNNING", "None", "vm"), "\n")} {
		if got, err := slurm.ParseListing([]byte(bad), "fp-"); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
}

func TestParseConfig(t *testing.T) {
	out := `Configuration data as of 2026-11-23T13:28:26
AccountingStorageBackupHost = (null)
ClusterName             = fencetest
JobCompLoc              = /x/ClusterName = y
SlurmctldAddr           = (null)
SlurmctldHost[0]        = vm(127.0.0.1)
SlurmctldHost[1]        = vm2
Slurmctld(primary) at vm is UP
`
	want := map[string]string{"cluster": "fencetest", "controllers": "vm(127.0.0.1) vm2"}
	if got, err := slurm.ParseConfig([]byte(out)); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "ClusterName = x\n", "SlurmctldHost[0] = vm\n", "ClusterName = (null)\nSlurmctldHost[0] = vm\n"} {
		if got, err := slurm.ParseConfig([]byte(bad)); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

// What sbatch 22.05 says, recorded, unless marked.
func TestOutcomes(t *testing.T) {
	tests := []struct {
		name, stderr string
		want         submit.Outcome
	}{
		{"partition", "sbatch: error: invalid partition specified: bogus\nsbatch: error: Batch job submission failed: Invalid partition name specified\n", submit.Rejected},
		{"node", "sbatch: error: Batch job submission failed: Invalid node name specified\n", submit.Rejected},
		{"too long", "sbatch: error: Batch job submission failed: Pathname of a file, directory or other parameter too long\n", submit.Rejected},
		{"account (from a manual)", "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n", submit.Rejected},
		{"memory (from a manual)", "sbatch: error: Memory specification can not be satisfied\nsbatch: error: Batch job submission failed: Requested node configuration is not available\n", submit.Rejected},
		{"size limit (from a manual)", "sbatch: error: QOSMaxCpuPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n", submit.Rejected},
		{"submit limit (from a manual)", "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n", submit.Unavailable},
		{"controller down", "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n", submit.Unavailable},
		{"job limit", "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n", submit.Unavailable},
		{"job limit, at the end", "sbatch: error: Batch job submission failed: Resource temporarily unavailable\n", submit.Unavailable},
		{"no munged", "sbatch: error: If munged is up, restart with --num-threads=10\nsbatch: error: Munge encode failed: Failed to access \"/m/sock\": No such file or directory (Did you start munged?)\nsbatch: error: slurm_send_node_msg: auth_g_create: REQUEST_SUBMIT_BATCH_JOB has authentication error\nsbatch: error: Batch job submission failed: Protocol authentication error\n", submit.Unfit},
		{"no configuration", "sbatch: error: s_p_parse_file: cannot stat file /no/such: No such file or directory, retrying in 1sec up to 60sec\n", submit.Unfit},
		{"no configuration, no server", "sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\nsbatch: error: fetch_config: DNS SRV lookup failed\nsbatch: error: _establish_config_source: failed to fetch config\nsbatch: fatal: Could not establish a configuration source\n", submit.Unfit},
		{"hung controller", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", submit.Unknown},
		{"wrong munge key", "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received\n", submit.Unknown},
		{"disk of the controller", "sbatch: error: Batch job submission failed: I/O error writing script/environment to file\n", submit.Unknown},
		{"nothing", "", submit.Unknown},
		{"never seen", "sbatch: error: Batch job submission failed: Flux capacitor\n", submit.Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := slurm.Judge(1, tt.stderr); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Recorded from 22.05, jobcomp/filetxt.
const jobcomp = `JobId=2 UserId=root(0) GroupId=root(0) Name=we|ird
name JobState=CANCELLED Partition=main TimeLimit=UNLIMITED StartTime=2026-11-23T13:28:31 EndTime=2026-11-23T13:28:31 NodeList=(null) NodeCnt=0 ProcCnt=0 WorkDir=/tmp ReservationName= Tres=cpu=1,mem=1M,node=1,billing=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-23T13:28:26 EligibleTime=unknown DerivedExitCode=0:0 ExitCode=0:0 
JobId=3 UserId=root(0) GroupId=root(0) Name=arr JobState=CANCELLED Partition=main TimeLimit=UNLIMITED StartTime=2026-11-23T13:28:31 EndTime=2026-11-23T13:28:31 NodeList=(null) NodeCnt=0 ProcCnt=0 WorkDir=/tmp ReservationName= Tres=cpu=1,mem=1M,node=1,billing=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-23T13:28:26 EligibleTime=unknown DerivedExitCode=0:0 ExitCode=0:0 
JobId=1 UserId=root(0) GroupId=root(0) Name=fp-aa-1 JobState=COMPLETED Partition=main TimeLimit=UNLIMITED StartTime=2026-11-23T13:28:27 EndTime=2026-11-23T13:28:31 NodeList=vm NodeCnt=1 ProcCnt=1 WorkDir=/tmp ReservationName= Tres=cpu=1,mem=1M,node=1,billing=1 Account= QOS= WcKey= Cluster=unknown SubmitTime=2026-11-23T13:28:26 EligibleTime=2026-11-23T13:28:27 DerivedExitCode=0:0 ExitCode=0:0 
JobId=3 UserId=root(0) GroupId=root(0) Name=id given again JobState=FAILED Partition=main TimeLimit=5 StartTime=2026-11-23T13:29:31 EndTime=2026-11-23T13:29:31 NodeList=vm[1-2] NodeCnt=2 ProcCnt=1 WorkDir=/tmp
`

func TestScanJobComp(t *testing.T) {
	for id, want := range map[string]submit.Past{
		"1":  {Known: true, Name: "fp-aa-1", Started: true, State: submit.Done},
		"2":  {}, // a name with a newline is nobody of ours
		"3":  {Known: true, Name: "id given again", Started: true, State: submit.Failed},
		"17": {},
	} {
		if got, err := slurm.ScanJobComp(jobcomp, id); err != nil || got.Known != want.Known || got.Known && got != want {
			t.Errorf("%s: got %+v, %v, want %+v", id, got, err, want)
		}
	}
}

func TestParseSacct(t *testing.T) {
	out := "17|fp-aa-1|CANCELLED by 0|None assigned\n18|other|RUNNING|vm\n"
	if got, err := slurm.ParseSacct([]byte(out), "17"); err != nil || got != (submit.Past{Known: true, Name: "fp-aa-1", State: submit.Cancelled}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := slurm.ParseSacct([]byte(out), "19"); err != nil || got.Known {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := slurm.ParseSacct([]byte("Slurm accounting storage is disabled\n"), "17"); err == nil {
		t.Error("no error")
	}
}

// What sbatch prints is an id, or nothing is known.
func FuzzParseSubmitted(f *testing.F) {
	for _, out := range []string{"17\n", "17;cluster\n", "17", "", "sbatch: warning\n17\n", "17\n18\n", "Submitted batch job 17\n", "17;\n", "-1\n", "9999999999999999999999\n", "17;a b\n", "\x0017\n"} {
		f.Add([]byte(out))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		id, err := slurm.ParseSubmitted(out)
		if err == nil && (id == "" || strings.Trim(id, "0123456789") != "" || !strings.Contains(string(out), id)) {
			t.Fatalf("%q: got %q", out, id)
		}
	})
}

func FuzzParseListing(f *testing.F) {
	f.Add([]byte(rec("17", "PENDING", "JobHeldUser", "", "fp-"+key, "s/h/3/4/0")))
	f.Add([]byte(rec("2", "PENDING", "JobHeldUser", "", "we|ird\nname", "a b|c\nd")))
	f.Fuzz(func(t *testing.T, b []byte) {
		jobs, err := slurm.ParseListing(b, "fp-")
		if err != nil {
			return
		}
		if n := strings.Count(string(b), slurm.RecordEnd); len(jobs) != n {
			t.Fatalf("got %d jobs of %d records", len(jobs), n)
		}
		for _, j := range jobs {
			if j.ID == "" || j.Key != "" && j.Name != "fp-"+j.Key {
				t.Fatalf("got %+v", j)
			}
		}
	})
}

func FuzzParseJobComp(f *testing.F) {
	for line := range strings.Lines(jobcomp) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) { slurm.ParseJobComp(line) })
}
