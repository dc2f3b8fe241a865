package gridengine_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"fencepost/submit"
	"fencepost/submit/gridengine"
)

const key = "0196e9f4-2222-7000-8000-000000000001"

// entry is a job as qstat -xml of 8.1.9 prints it.
func entry(group, id, name, state string) string {
	return fmt.Sprintf(`    <job_list state="%s">
      <JB_job_number>%s</JB_job_number>
      <JAT_prio>0.50000</JAT_prio>
      <JB_name>%s</JB_name>
      <JB_owner>root</JB_owner>
      <state>%s</state>
      <JB_submission_time>2026-11-23T13:50:36</JB_submission_time>
      <queue_name></queue_name>
      <slots>1</slots>
    </job_list>
`, group, id, name, state)
}

func document(running, pending string) string {
	return `<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
` + running + `  </queue_info>
  <job_info>
` + pending + `  </job_info>
</job_info>
`
}

func details(jobs ...string) string {
	s := `<?xml version='1.0'?>
<detailed_job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/detailed_job_info.xsd">
  <djob_info>
`
	for _, j := range jobs {
		f := strings.Fields(j)
		s += fmt.Sprintf(`    <element>
      <JB_job_number>%s</JB_job_number>
      <JB_job_name>%s</JB_job_name>
      <JB_env_list><job_sublist><VA_variable>fencepost_token</VA_variable><VA_value>not this</VA_value></job_sublist></JB_env_list>
      <JB_context>
        <context_list><VA_variable>other</VA_variable><VA_value>x</VA_value></context_list>
        <context_list><VA_variable>fencepost_token</VA_variable><VA_value>%s</VA_value></context_list>
      </JB_context>
    </element>
`, f[0], f[1], f[2])
	}
	return s + "  </djob_info>\n</detailed_job_info>\n"
}

const unknownJobs = "<?xml version='1.0'?>\n<unknown_jobs >\n    <ST_name>*</ST_name>\n</unknown_jobs>\n"

func TestListing(t *testing.T) {
	ours := func(s submit.State, started bool, letters string) []submit.Job {
		return []submit.Job{{ID: "1", Name: "fp-" + key, Key: key, Token: "s/h/3/4/0", State: s, Started: started, Detail: letters}}
	}
	d := details("1 fp-" + key + " s/h/3/4/0")
	one := func(group, letters string) string {
		if group == "running" {
			return document(entry(group, "1", "fp-"+key, letters), "")
		}
		return document("", entry(group, "1", "fp-"+key, letters))
	}
	tests := []struct {
		name, states, details, user, other string
		want                               []submit.Job
	}{
		{"none", document("", ""), unknownJobs, "", "", nil},
		{"held", one("pending", "hqw"), d, "1", "", ours(submit.Held, false, "hqw")},
		{"held by the operator too", one("pending", "hqw"), d, "1", "1", ours(submit.HeldOther, false, "hqw")},
		{"released in between", one("pending", "hqw"), d, "", "", ours(submit.Pending, false, "hqw")},
		{"waits", one("pending", "qw"), d, "", "", ours(submit.Pending, false, "qw")},
		{"error at its start", one("pending", "Eqw"), d, "", "", ours(submit.HeldOther, false, "Eqw")},
		{"started before", one("pending", "Rq"), d, "", "", ours(submit.Pending, true, "Rq")},
		{"running", one("running", "r"), d, "", "", ours(submit.Running, true, "r")},
		{"deleted while it runs", one("running", "dr"), d, "", "", ours(submit.Running, true, "dr")},
		{"ended in between", one("running", "r"), unknownJobs, "", "", nil},
		{"another's", document(entry("running", "2", "nightly", "r"), ""), unknownJobs, "", "",
			[]submit.Job{{ID: "2", Name: "nightly", State: submit.Running, Started: true, Detail: "r"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := gridengine.Listing("fp-", tt.states, tt.details, tt.user, tt.other)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	whole := one("running", "r")
	for _, bad := range []string{"", "error: commlib error", whole[:len(whole)-15], whole + whole, one("elsewhere", "r"), unknownJobs,
		document(entry("running", "x", "n", "r"), ""), document(entry("running", "1", "n", ""), "")} {
		if got, err := gridengine.ParseStates([]byte(bad)); err == nil {
			t.Errorf("%.60q: got %+v, want an error", bad, got)
		}
	}
	for _, bad := range []string{"", "x", d[:len(d)-30], whole} {
		if got, err := gridengine.ParseDetails([]byte(bad)); err == nil {
			t.Errorf("details %.60q: got %+v, want an error", bad, got)
		}
	}
}

// What qsub 8.1.9 says, recorded, unless marked.
func TestOutcomes(t *testing.T) {
	tests := []struct {
		status int
		stderr string
		want   submit.Outcome
	}{
		{1, "Unable to run job: Job was rejected because job requests unknown queue \"bogus\"\nExiting.\n", submit.Rejected},
		{1, "Unable to run job: job rejected: the requested parallel environment \"bogus\" does not exist\nExiting.\n", submit.Rejected},
		{1, "Unable to run job: unknown resource \"bogus\"\nExiting.\n", submit.Rejected},
		{1, "Unable to run job: job rejected: the requested project \"bogus\" does not exist\nExiting.\n", submit.Rejected},
		{25, "Unable to run job: job rejected: only 2 jobs are allowed per user (current job count: 3)\nExiting.\n", submit.Unavailable},
		{25, "Unable to run job: job rejected: only 2 jobs are allowed per cluster\nExiting.\n", submit.Unavailable},
		{1, "Unable to run job: unable to send message to qmaster using port 6444 on host \"vm\": got send error.\nExiting.\n", submit.Unknown},
		{1, "error: commlib error: got select error (Connection refused)\nUnable to run job: unable to send message to qmaster using port 6444 on host \"vm\": got send error\n", submit.Unavailable},
		{1, "error: commlib error: got select error (Connection reset by peer)\nunable to send message to qmaster using port 6444 on host \"vm\": got send error\n", submit.Unknown},
		{1, "\nUnable to initialize environment because of error: SGE_ROOT directory \"/nope\" doesn't exist\nExiting.\n", submit.Unfit},
		{1, "\nUnable to initialize environment because of error: cell directory \"/x/nope\" doesn't exist\nExiting.\n", submit.Unfit},
		{1, "Unable to run job: denied: host \"vm\" is no submit host\nExiting.\n", submit.Unfit}, // from a manual
		{1, "", submit.Unknown},
	}
	for _, tt := range tests {
		if got := gridengine.Judge(tt.status, tt.stderr); got != tt.want {
			t.Errorf("%d, %q: got %v, want %v", tt.status, tt.stderr, got, tt.want)
		}
	}
}

// record is what qacct 8.1.9 prints, shortened.
func record(id, name, start, failed, exit string) string {
	return `==============================================================
qname        main                
hostname     vm                  
owner        root                
jobname      ` + name + `
jobnumber    ` + id + `                   
qsub_time    Mon Nov 23 13:50:36 2026
start_time   ` + start + `
failed       ` + failed + `    
exit_status  ` + exit + `                   
category     NONE
`
}

func TestParseAccounting(t *testing.T) {
	const when = "Mon Nov 23 13:50:37 2026"
	tests := []struct {
		name, out string
		want      submit.Past
	}{
		{"none", "error: job id 4 not found\n", submit.Past{}},
		{"done", record("3", "fp-run", when, "0", "0"), submit.Past{Known: true, Name: "fp-run", Started: true, State: submit.Done}},
		{"failed", record("3", "fp-run", when, "0", "7"), submit.Past{Known: true, Name: "fp-run", Started: true, State: submit.Failed}},
		{"killed", record("3", "fp-run", when, "100 : assumedly after job", "137"), submit.Past{Known: true, Name: "fp-run", Started: true, State: submit.Failed}},
		{"never", record("3", "fp-run", "-/-", "1  : before job", "0"), submit.Past{Known: true, Name: "fp-run", State: submit.Failed}},
		{"id given again", record("3", "other", when, "0", "0") + record("3", "fp-run", when, "0", "0"),
			submit.Past{Known: true, Name: "fp-run", Started: true, State: submit.Done}},
	}
	for _, tt := range tests {
		if got, err := gridengine.ParseAccounting(tt.out, "3"); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	if _, err := gridengine.ParseAccounting(record("4", "fp-run", when, "0", "0"), "3"); err == nil {
		t.Error("another job's record: no error")
	}
}

func FuzzListing(f *testing.F) {
	f.Add(document(entry("running", "1", "fp-"+key, "r"), ""), details("1 fp-"+key+" t"))
	f.Fuzz(func(t *testing.T, states, details string) {
		jobs, err := gridengine.Listing("fp-", states, details, "1", "")
		if err != nil {
			return
		}
		for _, j := range jobs {
			if j.ID == "" || j.State == "" {
				t.Fatalf("got %+v", j)
			}
		}
	})
}
