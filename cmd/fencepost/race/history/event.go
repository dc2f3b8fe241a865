package history

// Event is something that happened in a run, or in a spool's life.
type Event struct {
	T     int64  `json:"t"`
	Kind  string `json:"kind"`
	Host  string `json:"host,omitempty"`
	Proc  string `json:"proc,omitempty"`
	Task  string `json:"task,omitempty"`
	Call  int64  `json:"call,omitempty"`
	Op    string `json:"op,omitempty"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	Job   string `json:"job,omitempty"`
	Err   string `json:"err,omitempty"`
	Text  string `json:"text,omitempty"`
	Until int64  `json:"until,omitempty"`
}
