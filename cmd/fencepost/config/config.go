package config

import (
	"time"

	"fencepost/codec"
)

// Config is every setting. Tags: toml is the key, flag the command-line flag (of
// those commands that bind it), shared marks what all hosts should agree on,
// help is one line for people.
type Config struct {
	Spool          string   `toml:"spool" flag:"spool" help:"directory that the hosts share"`
	Host           string   `toml:"host" flag:"host" help:"this host's name on the spool; default the hostname"`
	MachineID      string   `toml:"machine_id" flag:"machine-id" help:"override of the machine's id"`
	Listen         string   `toml:"listen" flag:"listen" help:"address on which jobs come in"`
	InsecureListen bool     `toml:"insecure_listen" flag:"insecure-listen" help:"allow addresses that other machines can reach, without TLS and names of clients"`
	TokenFile      string   `toml:"token_file" help:"file with the tokens that clients sign with, NAME SECRET a line; mode 0600"`
	TokenSkew      Duration `toml:"token_skew" help:"most that a token's time may differ from this host's clock"`
	SpoolKeyFile   string   `toml:"spool_key_file" help:"file with the key that signs files on the spool, not on the share; mode 0600"`
	RunAsRoot      bool     `toml:"run_as_root" flag:"run-as-root" help:"let serve run as root"`
	SpoolUsers     List     `toml:"spool_users" shared:"yes" help:"users, by name or number, that run hosts of this spool beside this one; files are then made for their group"`
	ForeignFiles   string   `toml:"foreign_files" help:"files on the spool that others own or may write: quarantine, or allow"`
	HTTP           string   `toml:"http" flag:"http" help:"address of the status page; empty = none"`
	HTTPToken      string   `toml:"http_token_file" help:"file with the token that viewers of the status page need; mode 0600"`
	HTTPTLS        bool     `toml:"http_tls" help:"the status page speaks TLS, with tls.cert and tls.key"`
	HTTPClientCA   List     `toml:"http_client_ca" help:"files with the CAs of viewers' certificates; the status page then speaks TLS, and a viewer needs such a certificate, or the token if there is one"`
	Stages         List     `toml:"stages" flag:"stages" help:"stages that this host serves"`
	Heartbeat      Duration `toml:"heartbeat" flag:"heartbeat" shared:"yes" help:"time between two heartbeats"`
	Lease          Duration `toml:"lease" flag:"lease" shared:"yes" help:"silence after which a host is taken for gone"`
	Poll           Duration `toml:"poll" flag:"poll" help:"time between two looks for work when idle"`
	Workers        int      `toml:"workers" flag:"workers" help:"jobs worked on at once, for each stage"`
	MaxFaults      int      `toml:"max_faults" flag:"max-faults" shared:"yes" help:"more faults than this set a job aside"`
	ClaimMax       Duration `toml:"claim_max" flag:"claim-max" shared:"yes" help:"an unchanged claim is given back after this"`
	SealMax        Duration `toml:"seal_max" flag:"seal-max" shared:"yes" help:"an unchanged sealed file is finished by others after this"`
	Retention      Duration `toml:"retention" flag:"retention" shared:"yes" help:"how long final records and ids are kept"`
	RemoveOld      bool     `toml:"remove_old" flag:"remove-old" shared:"yes" help:"remove the records of ended jobs whose ids are older than retention"`
	Timeout        Duration `toml:"timeout" flag:"timeout" help:"give up on a share that doesn't answer for this long"`
	UnsafeMount    List     `toml:"unsafe_mount" flag:"unsafe-mount" help:"checks of doctor, by id, that don't keep serve from starting on an unsafe mount"`

	Log     Log     `toml:"log"`
	TLS     TLS     `toml:"tls"`
	Limits  Limits  `toml:"limits"`
	Clients Clients `toml:"clients" help:"what each client may do"`
	Types   Types   `toml:"types" shared:"yes" help:"jobs that clients name instead of sending code"`
	Send    Send    `toml:"send"`
	Cluster Cluster `toml:"cluster"`
}

// TLS is how clients are told apart, and what they see.
type TLS struct {
	Cert       string   `toml:"cert" help:"this host's certificate, PEM, with what comes between it and its CA"`
	Key        string   `toml:"key" help:"its key; mode 0600"`
	ClientCA   List     `toml:"client_ca" help:"files with the CAs of clients' certificates; all of them count"`
	ClientCert string   `toml:"client_cert" help:"require, or optional: then clients without one need a token"`
	Reload     Duration `toml:"reload" help:"time between two looks whether the files have changed"`
}

// Send is how send reaches the hosts.
type Send struct {
	To         List   `toml:"to" help:"ADDR:PORT of hosts, tried in turn; empty = listen"`
	CA         List   `toml:"ca" flag:"ca" help:"files with the CAs of the hosts' certificates; with one of the tls settings of send, TLS is spoken"`
	Cert       string `toml:"cert" flag:"cert" help:"this client's certificate, PEM"`
	Key        string `toml:"key" flag:"key" help:"its key; mode 0600"`
	ServerName string `toml:"server_name" flag:"server-name" help:"name that the hosts' certificates are for; empty = the name in --to"`
	TokenFile  string `toml:"token_file" flag:"token-file" help:"file with this client's token, NAME SECRET; mode 0600"`
	TLS        bool   `toml:"tls" flag:"tls" help:"speak TLS, with the system's CAs unless ca is given"`
}

// Log says what is logged, and where.
type Log struct {
	Level  string `toml:"level" flag:"log-level" help:"debug, info, warn or error"`
	Format string `toml:"format" flag:"log-format" help:"auto (readable on a terminal, else json), text or json"`
	File   string `toml:"file" flag:"log-file" help:"file to log to; empty = standard error"`
}

// Limits bound what clients can cost.
type Limits struct {
	Connections      int      `toml:"connections" help:"clients at once"`
	Window           int      `toml:"window" help:"jobs of one client that are under way at once"`
	PerAddress       int      `toml:"per_address" help:"clients at once from one address; 0 = no limit of its own"`
	Memory           Size     `toml:"memory" help:"bytes of requests under way, over all clients"`
	Job              Size     `toml:"job" shared:"yes" help:"largest job, encoded"`
	HandshakeTimeout Duration `toml:"handshake_timeout" help:"time for a client to say hello"`
	IdleTimeout      Duration `toml:"idle_timeout" help:"silence after which a client is let go"`
	FrameTimeout     Duration `toml:"frame_timeout" help:"time for a frame to arrive, once it began"`
	WriteTimeout     Duration `toml:"write_timeout" help:"time for a client to take an answer"`
	Unknown          int      `toml:"unknown" help:"clients at once that haven't said hello; 0 = half of connections"`
	MinRate          Size     `toml:"min_rate" help:"bytes a second that a job must come at, beyond frame_timeout"`
	AnswerTimeout    Duration `toml:"answer_timeout" help:"time for the share to take a job; then the client is told to ask again"`
	ConnectionAge    Duration `toml:"connection_age" help:"a connection that is older is told to connect again; 0 = never"`
	Accepts          int      `toml:"accepts" help:"jobs that are being written at once"`
	Pending          int      `toml:"pending" help:"requests that wait for their answers at once, over all clients"`
	Rate             int      `toml:"rate" help:"jobs a second of one client, unless its own rule says another; 0 = no limit"`
	Burst            int      `toml:"burst" help:"jobs at once beyond the rate; 0 = a second's worth"`
	Depth            int      `toml:"depth" help:"jobs that may wait in a stage before more are refused; 0 = no limit"`
	FreeSpace        Size     `toml:"free_space" help:"room on the share below which jobs are refused; 0 = none"`
	FreeFiles        int      `toml:"free_files" help:"files that can still be made on the share below which jobs are refused; 0 = none"`
	RetryAfter       Duration `toml:"retry_after" help:"what a client that is refused is asked to wait at least"`
}

// Cluster says where jobs go.
type Cluster struct {
	Name       string   `toml:"name" flag:"cluster" shared:"yes" help:"local, command, slurm, slurmrest, gridengine or http"`
	ProbeEvery Duration `toml:"probe_every" help:"time between two looks whether this host can submit"`
	SweepEvery Duration `toml:"sweep_every" help:"time between two looks for held jobs that nobody will release"`

	Command Command `toml:"command"`
	Slurm   Slurm   `toml:"slurm"`
	Rest    Rest    `toml:"slurmrest"`
	Grid    Grid    `toml:"gridengine"`
	HTTP    HTTP    `toml:"http"`
	Local   Local   `toml:"local"`
}

// Command is the cluster behind programs.
type Command struct {
	Submit         Argv     `toml:"submit" help:"program that submits: the job's JSON on its standard input"`
	Release        Argv     `toml:"release" help:"program that releases a held job; with it, submit submits held"`
	Cancel         Argv     `toml:"cancel" help:"program that cancels a job that is still held"`
	Find           Argv     `toml:"find" help:"program that lists all jobs"`
	Probe          Argv     `toml:"probe" help:"program whose exit 0 says that this host can submit"`
	ID             string   `toml:"id" shared:"yes" help:"tells two clusters apart"`
	Key            bool     `toml:"key" shared:"yes" help:"submit is idempotent by FENCEPOST_JOB_ID"`
	KeyWindow      Duration `toml:"key_window" shared:"yes" help:"how long submit remembers a key"`
	ConfirmAfter   Duration `toml:"confirm_after" shared:"yes" help:"time between the two listings that confirm a release"`
	SubmitTimeout  Duration `toml:"submit_timeout" help:"time for submit"`
	ReleaseTimeout Duration `toml:"release_timeout" help:"time for release"`
	CancelTimeout  Duration `toml:"cancel_timeout" help:"time for cancel"`
	FindTimeout    Duration `toml:"find_timeout" help:"time for find"`
	ProbeTimeout   Duration `toml:"probe_timeout" help:"time for probe"`
	Env            Table    `toml:"env" help:"added to the programs' environment"`
}

// Slurm is a Slurm cluster.
type Slurm struct {
	Partition     string   `toml:"partition" help:"partition; empty = the cluster's default"`
	Account       string   `toml:"account" help:"account to charge"`
	QOS           string   `toml:"qos" help:"quality of service"`
	Args          Argv     `toml:"args" help:"more arguments for sbatch, each one --name=value"`
	ConfirmAfter  Duration `toml:"confirm_after" shared:"yes" help:"time between the two listings that confirm a release"`
	Guard         string   `toml:"guard" shared:"yes" help:"strict, lenient or off: refuse a second start in the job itself"`
	Output        string   `toml:"output" help:"file for a job's output, as sbatch --output takes it"`
	Workdir       string   `toml:"workdir" help:"work directory of jobs that name none; empty = HOME"`
	SpoolRoot     string   `toml:"spool_root" help:"the spool's path on compute nodes, for the guard; empty = as here"`
	JobCompFile   string   `toml:"jobcomp_file" help:"file that jobcomp/filetxt writes, if this host can read it"`
	Sacct         bool     `toml:"sacct" help:"ask sacct about jobs that squeue has forgotten"`
	SubmitTimeout Duration `toml:"submit_timeout" help:"time for sbatch"`
	CallTimeout   Duration `toml:"call_timeout" help:"time for every other program"`
}

// Rest is a Slurm cluster behind its REST daemon.
type Rest struct {
	Address       string   `toml:"address" help:"slurmrestd's: unix:/PATH, http://HOST:PORT or https://HOST:PORT"`
	TokenFile     string   `toml:"token_file" help:"file with a token of scontrol token, read again when it changes; mode 0600; empty = the socket says who we are"`
	User          string   `toml:"user" shared:"yes" help:"whose jobs they are; empty = the token's user, or who runs fencepost"`
	Version       string   `toml:"version" help:"version of the API, such as v0.0.38; empty = the newest that the daemon has and that was tested"`
	ClusterName   string   `toml:"cluster_name" shared:"yes" help:"Slurm's ClusterName, which every listed job must bear; empty = any"`
	CA            List     `toml:"ca" help:"files with the CAs of an https address; empty = the system's"`
	Insecure      bool     `toml:"insecure" help:"let the token be sent unencrypted to another machine"`
	Partition     string   `toml:"partition" help:"partition; empty = the cluster's default"`
	Account       string   `toml:"account" help:"account to charge"`
	QOS           string   `toml:"qos" help:"quality of service"`
	Properties    Table    `toml:"properties" help:"more properties of a job as the API names them, such as nice"`
	ConfirmAfter  Duration `toml:"confirm_after" shared:"yes" help:"time between the two listings that confirm a release"`
	Guard         string   `toml:"guard" shared:"yes" help:"strict, lenient or off: refuse a second start in the job itself"`
	Output        string   `toml:"output" help:"file for a job's output, as sbatch --output takes it"`
	Workdir       string   `toml:"workdir" help:"work directory of jobs that name none; empty = HOME"`
	SpoolRoot     string   `toml:"spool_root" help:"the spool's path on compute nodes, for the guard; empty = as here"`
	JobCompFile   string   `toml:"jobcomp_file" help:"file that jobcomp/filetxt writes, if this host can read it"`
	SubmitTimeout Duration `toml:"submit_timeout" help:"time for a submission"`
	CallTimeout   Duration `toml:"call_timeout" help:"time for every other request"`
}

// Grid is a Grid Engine cluster.
type Grid struct {
	Args           Argv     `toml:"args" help:"more options for qsub, such as -P and physics"`
	PE             string   `toml:"pe" help:"parallel environment for jobs with more than one processor; empty = such jobs are rejected"`
	MemoryResource string   `toml:"memory_resource" help:"resource that a job's memory is asked for as, such as h_vmem; empty = not asked for"`
	ConfirmAfter   Duration `toml:"confirm_after" shared:"yes" help:"time between the two listings that confirm a release"`
	Guard          string   `toml:"guard" shared:"yes" help:"strict, lenient or off: refuse a second start in the job itself"`
	Output         string   `toml:"output" help:"file for a job's output, as qsub -o takes it"`
	Workdir        string   `toml:"workdir" help:"work directory of jobs that name none; empty = HOME"`
	SpoolRoot      string   `toml:"spool_root" help:"the spool's path on compute nodes, for the guard; empty = as here"`
	ID             string   `toml:"id" shared:"yes" help:"tells two clusters apart, instead of the qmaster's host"`
	Accounting     bool     `toml:"accounting" help:"ask qacct about jobs that qstat has forgotten"`
	SubmitTimeout  Duration `toml:"submit_timeout" help:"time for qsub"`
	CallTimeout    Duration `toml:"call_timeout" help:"time for every other program"`
}

// HTTP is a service that takes jobs by POST with an idempotency key.
type HTTP struct {
	URL         string   `toml:"url" help:"where jobs are posted"`
	ProbeURL    string   `toml:"probe_url" help:"where any 2xx to a GET says that this host can submit; empty = only a connection is made"`
	HeadersFile string   `toml:"headers_file" help:"file with a header a line, such as Authorization: Bearer ...; mode 0600"`
	KeyHeader   string   `toml:"key_header" help:"header for the job id; empty = Idempotency-Key"`
	QuoteKey    bool     `toml:"quote_key" help:"put the key in quotes, as the IETF draft writes it"`
	Answers     Table    `toml:"answers" help:"what statuses mean: \"409\" or \"5xx\" = accepted, rejected, unavailable, unfit or unknown"`
	JobID       string   `toml:"job_id" help:"where the service's id is in an answer: json:FIELD, header:NAME or text; empty = json:id"`
	ID          string   `toml:"id" shared:"yes" help:"tells two services apart, instead of the URL"`
	KeyWindow   Duration `toml:"key_window" shared:"yes" help:"how long the service remembers a key"`
	Timeout     Duration `toml:"timeout" help:"time for a request"`
}

// Local is the embedded cluster.
type Local struct {
	Slots int `toml:"slots" help:"jobs that run on this machine at once"`
}

// Default is what holds unless something else is said.
func Default() Config {
	return Config{
		Listen:    "127.0.0.1:7433",
		Stages:    List{"ingest", "translate", "submit"},
		Heartbeat: Duration{time.Second},
		Lease:     Duration{10 * time.Second},
		Poll:      Duration{200 * time.Millisecond},
		Workers:   4,
		MaxFaults: 8,
		ClaimMax:  Duration{10 * time.Minute},
		SealMax:   Duration{10 * time.Minute},
		Retention: Duration{30 * 24 * time.Hour}, RemoveOld: true,
		Timeout:   Duration{30 * time.Second},
		Log:       Log{Level: "info", Format: "auto"},
		TokenSkew: Duration{5 * time.Minute}, ForeignFiles: "quarantine",
		TLS: TLS{ClientCert: "require", Reload: Duration{10 * time.Second}},
		Limits: Limits{Connections: 1024, Window: 64, Memory: 128 << 20, Job: codec.MaxJob,
			HandshakeTimeout: Duration{10 * time.Second}, IdleTimeout: Duration{5 * time.Minute},
			FrameTimeout: Duration{10 * time.Second}, WriteTimeout: Duration{10 * time.Second}, MinRate: 16 << 10,
			AnswerTimeout: Duration{30 * time.Second}, ConnectionAge: Duration{time.Hour}, Accepts: 64, Pending: 4096,
			Depth: 100_000, FreeSpace: 64 << 20, FreeFiles: 1000, RetryAfter: Duration{time.Second}},
		Cluster: Cluster{
			Name: "local", ProbeEvery: Duration{time.Minute}, SweepEvery: Duration{time.Minute},
			Command: Command{KeyWindow: Duration{24 * time.Hour}, ConfirmAfter: Duration{7 * time.Second},
				SubmitTimeout: Duration{30 * time.Second}, ReleaseTimeout: Duration{30 * time.Second},
				CancelTimeout: Duration{30 * time.Second}, FindTimeout: Duration{time.Minute}, ProbeTimeout: Duration{30 * time.Second}},
			Slurm: Slurm{ConfirmAfter: Duration{7 * time.Second}, Guard: "off", SubmitTimeout: Duration{30 * time.Second},
				CallTimeout: Duration{30 * time.Second}},
			Rest: Rest{Address: "unix:/run/slurmrestd.socket", ConfirmAfter: Duration{7 * time.Second}, Guard: "off",
				SubmitTimeout: Duration{30 * time.Second}, CallTimeout: Duration{30 * time.Second}},
			Grid: Grid{ConfirmAfter: Duration{7 * time.Second}, Guard: "off", SubmitTimeout: Duration{30 * time.Second},
				CallTimeout: Duration{30 * time.Second}},
			HTTP:  HTTP{KeyWindow: Duration{24 * time.Hour}, Timeout: Duration{30 * time.Second}},
			Local: Local{Slots: 4},
		},
	}
}
