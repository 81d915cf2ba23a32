package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/report"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Record is what etcd held of a group when it was read last.
type Record struct {
	Group   grant.Group  // only its Name before it was ever read
	History []agent.Step // the newest, oldest first
	Garbled int          // records of the history that could not be understood
	ReadAt  time.Time    // when reading began; zero: never
	Problem string       // why the last reading failed; empty: it did not
	Audit   *Audit       // of its key space; nil: none is known
}

// recordsWithin is how long an answer waits for etcd before it is given with
// what was read last.
const recordsWithin = 300 * time.Millisecond

func (s *Server) records(ctx context.Context) []Record {
	ctx, cancel := context.WithTimeout(ctx, recordsWithin)
	defer cancel()
	return s.source.Records(ctx)
}

// groupAnswer is a group as etcd has it, and how old that is.
type groupAnswer struct {
	report.Group
	ReadAge float64 `json:"read_age_seconds"` // since it was read; -1: never
	Problem string  `json:"problem,omitempty"`
}

func (s *Server) groups(w http.ResponseWriter, r *http.Request) {
	local := s.source.Status()
	answers := []groupAnswer{}
	for _, record := range s.records(r.Context()) {
		a := groupAnswer{Group: report.NewGroup(record.Group, local), ReadAge: -1, Problem: record.Problem}
		if !record.ReadAt.IsZero() {
			a.ReadAge = time.Since(record.ReadAt).Seconds()
		}
		answers = append(answers, a)
	}
	reply(w, http.StatusOK, answers)
}

// historyAnswer is what etcd keeps of a group's decisions, oldest first.
type historyAnswer struct {
	Group   string       `json:"group"`
	ReadAge float64      `json:"read_age_seconds"` // since it was read; -1: never
	Problem string       `json:"problem,omitempty"`
	Garbled int          `json:"garbled"` // records that could not be understood
	Steps   []agent.Step `json:"steps"`
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	limit := 0
	if written := r.URL.Query().Get("limit"); written != "" {
		var err error
		if limit, err = strconv.Atoi(written); err != nil || limit < 1 {
			reply(w, http.StatusBadRequest, answer{Reason: "bad_limit", Text: "limit is a number from 1"})
			return
		}
	}
	var names []string
	for _, record := range s.records(r.Context()) {
		names = append(names, record.Group.Name)
		if record.Group.Name != r.PathValue("group") {
			continue
		}
		a := historyAnswer{Group: record.Group.Name, ReadAge: -1, Problem: record.Problem, Garbled: record.Garbled, Steps: record.History}
		if limit > 0 && len(a.Steps) > limit {
			a.Steps = a.Steps[len(a.Steps)-limit:]
		}
		if a.Steps == nil {
			a.Steps = []agent.Step{}
		}
		code := http.StatusOK
		if record.ReadAt.IsZero() {
			code = http.StatusServiceUnavailable
		} else {
			a.ReadAge = time.Since(record.ReadAt).Seconds()
		}
		reply(w, code, a)
		return
	}
	reply(w, http.StatusNotFound, answer{Reason: "no_such_group", Text: "this host has no such group; ask for one of nodes", Nodes: names})
}
