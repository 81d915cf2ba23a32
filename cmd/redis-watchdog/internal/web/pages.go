package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// answer is the body of every check: what a person who asks by hand reads.
type answer struct {
	OK      bool     `json:"ok"`
	Reason  string   `json:"reason"` // stable, snake_case
	Text    string   `json:"text,omitempty"`
	Group   string   `json:"group,omitempty"`
	Node    string   `json:"node,omitempty"`
	Address string   `json:"address,omitempty"`
	Phase   string   `json:"phase,omitempty"`
	Role    string   `json:"role,omitempty"`
	Master  string   `json:"master,omitempty"`
	Lag     *float64 `json:"lag_seconds,omitempty"`
	Nodes   []string `json:"nodes,omitempty"`
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// A client that has gone is no concern of ours.
	_ = encoder.Encode(body)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	nodes := s.source.Status()
	if nodes == nil {
		nodes = []agent.Status{}
	}
	reply(w, http.StatusOK, nodes)
}

// livez says that the decision loop turns: what a supervisor restarts for.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	if !s.source.Alive() {
		reply(w, http.StatusServiceUnavailable, answer{Reason: "loop_stuck", Text: "the decision loop does not turn"})
		return
	}
	reply(w, http.StatusOK, answer{OK: true, Reason: "turning"})
}

type readiness struct {
	OK       bool       `json:"ok"`
	Problems []unguards `json:"problems"`
}

type unguards struct {
	Group  string        `json:"group"`
	Node   string        `json:"node"`
	Text   string        `json:"text"`
	Faults []agent.Fault `json:"faults"`
}

// readyz says that protection is in force for every node. Asked with
// "Accept: text/plain" or ?format=plain it answers in lines.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	nodes := s.source.Status()
	ready := readiness{OK: len(nodes) > 0, Problems: []unguards{}}
	if len(nodes) == 0 {
		ready.Problems = append(ready.Problems, unguards{Text: "no node has reported yet", Faults: []agent.Fault{}})
	}
	for _, n := range nodes {
		if n.Guarded {
			continue
		}
		ready.OK = false
		problem := unguards{Group: n.Group, Node: n.Node, Text: "protection is not in force", Faults: n.Faults}
		if problem.Faults == nil {
			problem.Faults = []agent.Fault{}
		}
		ready.Problems = append(ready.Problems, problem)
	}
	code := http.StatusOK
	if !ready.OK {
		code = http.StatusServiceUnavailable
	}
	if r.URL.Query().Get("format") != "plain" && !strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		reply(w, code, ready)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	if ready.OK {
		fmt.Fprintln(w, "ok: protection is in force for every node")
	}
	for _, p := range ready.Problems {
		fmt.Fprintf(w, "not ready: %s/%s: %s\n", p.Group, p.Node, p.Text)
		for _, f := range p.Faults {
			fmt.Fprintf(w, "  %s %s: %s; %s\n", f.Severity, f.ID, f.Text, f.Remedy)
		}
	}
}

// roleCheck answers a load balancer: 200 where clients of that role belong.
func (s *Server) roleCheck(role string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		group, node := r.PathValue("group"), r.PathValue("node")
		if group == "" {
			group = r.URL.Query().Get("group")
		}
		if node == "" {
			node = r.URL.Query().Get("node")
		}
		n, code, problem := choose(s.source.Roles(), group, node)
		if code != 0 {
			reply(w, code, problem)
			return
		}
		maxLag, problem, ok := parseLag(r, role)
		if !ok {
			reply(w, http.StatusBadRequest, problem)
			return
		}
		var body answer
		switch {
		// What a loop that hangs last showed may be long untrue.
		case !s.source.Alive():
			body = answer{Reason: "loop_stuck", Text: "the decision loop does not turn"}
		case role == "master":
			body = masterCheck(n)
		default:
			body = replicaCheck(n, maxLag)
		}
		body.Group, body.Node, body.Address = n.Group, n.Node, n.Address
		body.Phase, body.Role, body.Master = n.Phase, n.Role, n.Master
		code = http.StatusOK
		if !body.OK {
			code = http.StatusServiceUnavailable
		}
		reply(w, code, body)
	}
}

// choose finds the node that is asked for: by name, or the only one.
func choose(nodes []agent.Status, group, node string) (agent.Status, int, answer) {
	var names, found []string
	var last agent.Status
	for _, n := range nodes {
		name := n.Group + "/" + n.Node
		names = append(names, name)
		if (group == "" || group == n.Group) && (node == "" || node == n.Node) {
			found, last = append(found, name), n
		}
	}
	slices.Sort(names)
	switch {
	case len(nodes) == 0:
		return last, http.StatusServiceUnavailable, answer{Reason: "starting", Text: "no node has reported yet"}
	case len(found) == 0:
		return last, http.StatusNotFound, answer{Reason: "no_such_node", Text: "this host has no such node; ask for one of nodes", Nodes: names}
	case len(found) > 1:
		slices.Sort(found)
		return last, http.StatusBadRequest, answer{Reason: "ambiguous",
			Text: "several nodes here: ask for /master/GROUP/NODE or with ?group=GROUP&node=NODE", Nodes: found}
	}
	return last, 0, answer{}
}
