package codec

// The limits of a job. A job past one of them is refused with a [FieldError];
// none of them is a setting, so that every host and client agrees on them.
// Sizes are bytes of UTF-8.
const (
	MaxJob        = 2 << 20 // of the job's deterministic CBOR encoding: Job.Size
	MaxScript     = 1 << 20
	MaxName       = 128      // of name
	MaxWord       = 64       // of owner, environment and queue
	MaxCommand    = 1024     // entries of command
	MaxArgs       = 1024     // entries of args
	MaxArg        = 64 << 10 // of one entry of command or args; Linux takes 128 KiB less one
	MaxEnv        = 512      // entries of env
	MaxEnvKey     = 128
	MaxEnvValue   = 64 << 10
	MaxLabels     = 64 // entries of labels
	MaxLabelKey   = 128
	MaxLabelValue = 1024
	MaxWorkdir    = 4095 // Linux's PATH_MAX without its NUL
	MaxParams     = 64   // entries of params; their names are to MaxWord, values to MaxArg

	MaxCPUs             = 1 << 16
	MaxMemoryMB         = 1 << 30     // 1 PiB
	MaxTimeLimitSeconds = 366 * 86400 // a leap year
)

// The limits of what surrounds a job.
const (
	// MaxDocument bounds an XML or JSON document in bytes. Escaping lengthens
	// a text five times at worst (&amp;), so every legal job fits.
	MaxDocument = 16 << 20

	// MaxBody is the largest frame body that this version ever needs: a job at
	// its limit and the rest of SUBMIT around it. A server may ask for less.
	MaxBody = MaxJob + 4<<10

	// MaxControl bounds the body of every frame but SUBMIT: what a server
	// takes before HELLO, and a client always.
	MaxControl = 16 << 10

	MaxClient = 256 // of Record.Client, and of HELLO's client and software
	MaxHost   = 253 // of a host's name
	MaxReason = 1024

	// MaxItems bounds what a frame's body is made of, keys counted, too: an item of
	// a byte or two becomes some dozen in memory. Legal messages need 3,400.
	MaxItems = 8192

	// MaxDepth bounds nesting in JSON and CBOR. Legal documents need 3.
	MaxDepth = 8
)
