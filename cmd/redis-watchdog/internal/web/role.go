package web

// The role checks follow the grant, not role:master: a Redis that says it is
// master without the right to be one gets no clients.

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// masterCheck is good while the node serves as a master: its grant is in force,
// or the Sentinels certify it while the coordinator is away.
func masterCheck(n agent.Status) answer {
	switch {
	case n.Role != "master":
		return answer{Reason: "not_master", Text: "this Redis is " + describe(n)}
	case n.Answer != "up":
		return answer{Reason: "not_answering", Text: "this Redis is " + describe(n)}
	case n.Phase != "serve":
		return answer{Reason: "not_serving", Text: fmt.Sprintf("this master does not accept writes: %s (%s)", n.Phase, n.Reason)}
	case n.Wanted != "serve" && n.Wanted != "leave":
		// The gate is about to shut: no new client should come.
		return answer{Reason: "closing", Text: fmt.Sprintf("this master is being shut: %s (%s)", n.Wanted, n.Reason)}
	case !entitled(n):
		return answer{Reason: "no_grant", Text: fmt.Sprintf("this Redis takes writes without a grant in force (%s)", n.Reason)}
	}
	return answer{OK: true, Reason: "serving"}
}

// entitled is whether the right to accept writes is there: the grant is in
// force, the Sentinels stand in for a coordinator that is away, or maintenance
// keeps what was.
func entitled(n agent.Status) bool {
	switch watchdog.Row(n.Row) {
	case watchdog.RowCertified:
		return true
	case watchdog.RowMaintenance:
		return n.Enrolled
	}
	return n.GrantOurs && n.GrantRemaining > 0
}

// replicaCheck is good while the node follows the true master over a link that
// is up; maxLag below zero is no limit.
func replicaCheck(n agent.Status, maxLag float64) answer {
	a := answer{}
	if n.LagSeconds >= 0 {
		a.Lag = &n.LagSeconds
	}
	switch {
	case n.Role != "replica":
		a.Reason, a.Text = "not_replica", "this Redis is "+describe(n)
	case n.Answer != "up":
		a.Reason, a.Text = "not_answering", "this Redis is "+describe(n)
	case !n.LinkUp:
		a.Reason, a.Text = "link_down", "the link to its master "+n.Following+" is down"
	case n.Master != "" && n.Following != "" && n.Following != n.Master: // empty: by a name that cannot be resolved now
		a.Reason, a.Text = "wrong_master", fmt.Sprintf("it follows %s, the master is %s", n.Following, n.Master)
	case maxLag >= 0 && n.LagSeconds < 0:
		a.Reason, a.Text = "lag_unknown", "how far it is behind is not known"
	case maxLag >= 0 && n.LagSeconds > maxLag:
		a.Reason, a.Text = "lagging", fmt.Sprintf("heard its master %gs ago, max_lag is %gs", n.LagSeconds, maxLag)
	default:
		a.OK, a.Reason = true, "following"
	}
	return a
}

func describe(n agent.Status) string {
	if n.Answer != "up" {
		return n.Answer + ", last seen as " + n.Role
	}
	if n.Role == "nowhere" {
		return "fenced"
	}
	return n.Role
}

// parseLag reads ?max_lag=SECONDS; without it -1.
func parseLag(r *http.Request, role string) (float64, answer, bool) {
	written := r.URL.Query().Get("max_lag")
	if written == "" {
		return -1, answer{}, true
	}
	lag, err := strconv.ParseFloat(written, 64)
	if err != nil || !(lag >= 0) {
		return 0, answer{Reason: "bad_max_lag", Text: "max_lag is a number of seconds, such as 5"}, false
	}
	if role == "master" {
		return 0, answer{Reason: "bad_max_lag", Text: "max_lag belongs to /replica"}, false
	}
	return lag, answer{}, true
}
