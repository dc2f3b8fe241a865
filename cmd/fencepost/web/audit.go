package web

// auditBody is the balance of all jobs.
type auditBody struct {
	Balance *balance // nil = there was no audit yet
	At      string
	Every   string
	Words   string // what went wrong
	Rows    []auditRow
}

// auditRow is one place of the equation.
type auditRow struct {
	Name, Link, Class string
	Jobs              int
	Width             int // of its bar, of 200; a job can always be seen
}

// rows are the places in the order of the flow.
func (b balance) rows() []auditRow {
	rows := []auditRow{
		{"accepting", "/jobs?state=accepting", "", b.Accepting, 0},
		{"waiting", "/jobs?state=waiting", "wait", b.Waiting, 0},
		{"claimed", "/jobs?state=claimed", "work", b.Claimed, 0},
		{"sealed", "/jobs?state=sealed", "sealed", b.Sealed, 0},
		{"held", "/jobs?state=held", "aside", b.Held, 0},
		{"parked", "/jobs?state=parked", "aside", b.Parked, 0},
		{"failed", "/jobs?state=failed", "aside", b.Failed, 0},
		{"done", "/jobs?state=done", "end", b.Done, 0},
		{"handed over", "", "end", b.HandedOver, 0},
	}
	for i, r := range rows {
		if r.Jobs > 0 && b.Accepted > 0 {
			rows[i].Width = max(2, min(200, 200*r.Jobs/b.Accepted))
		}
	}
	return rows
}

// Sum is what all places hold.
func (b balance) Sum() int { return b.Accepted - b.Difference }
