package web

// What the status page shows, put into words and numbers; layout.go only
// lays it out.

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/report"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

type view struct {
	Version, Host, Verdict, Headline, At string
	Stuck                                bool
	Fleet                                string // how far an audit of the whole fleet is; empty: there is none
	Groups                               []groupView
}

type groupView struct {
	Name, Master, Agreement, Grant, Read string
	Notices                              []string // what an operator has ordered
	Problems                             []string // what could not be found out
	Silent, Gone                         []silentView
	Faults                               []faultView
	Nodes                                []nodeView
	Margins                              []marginView
	Sentinels                            []sentinelView
	Voter                                string // whose conversation with the Sentinels is shown
	Audit                                *auditView
	Episodes                             []episode
	Garbled                              int
}

type silentView struct {
	Node, Text, Command string
}

type faultView struct {
	Severity, Node, ID, Text, Remedy, For string
}

type nodeView struct {
	Name, Address, Role, Phase, Wanted, For, Why, Would       string
	Grant, Deadline, Coordinator, Sentinels, Lag, Veto, Check string
	Here, Guarded, IsMaster, Vetoed                           bool
}

type sentinelView struct {
	Address, Names, Epoch, Age, Word, Class string
}

// look makes the view. Records may be old, and say so; the nodes are now.
func look(nodes []agent.Status, records []Record, now time.Time) view {
	whole := report.Report{Nodes: nodes}
	v := view{At: now.Format("15:04:05 MST")}
	for _, record := range records {
		g := report.NewGroup(record.Group, nodes)
		if record.Problem != "" {
			whole.Problems = append(whole.Problems, record.Problem)
		}
		whole.Groups = append(whole.Groups, g)
		v.Groups = append(v.Groups, lookGroup(g, record, nodes, now))
	}
	v.Verdict = report.Judge(whole)
	v.Headline = headline(v.Verdict, whole)
	return v
}

func headline(verdict string, r report.Report) string {
	unguarded, silent, faults := report.Count(r)
	switch verdict {
	case report.OK:
		return "Every Redis is guarded, no faults."
	case report.Unknown:
		return "It could not be found out whether every Redis is guarded."
	}
	var parts []string
	add := func(n int, one, more string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprint(n, " ", more))
		}
	}
	add(unguarded, "Redis is not guarded", "Redis are not guarded")
	add(silent, "watchdog does not report", "watchdogs do not report")
	add(faults, "fault", "faults")
	return strings.Join(parts, ", ") + "."
}

func lookGroup(g report.Group, record Record, all []agent.Status, now time.Time) groupView {
	v := groupView{Name: g.Group, Problems: g.Problems, Garbled: record.Garbled, Episodes: episodes(record.History)}
	text, command := g.SilentText()
	for _, address := range g.Silent {
		v.Silent = append(v.Silent, silentView{address, text, command})
	}
	for _, address := range g.Gone {
		text, command := g.GoneText(address)
		v.Gone = append(v.Gone, silentView{address, text, command})
	}
	var local []agent.Status
	for _, n := range all {
		if n.Group == g.Group {
			local = append(local, n)
		}
	}
	v.Master, v.Agreement, v.Grant = words(g, local, record.ReadAt.IsZero(), now)
	v.Notices = notices(g)
	downAfter := 0.0
	for _, n := range local {
		downAfter = max(downAfter, n.DownAfter)
	}
	v.Audit = lookAudit(record.Audit, bearsOf(downAfter), now)
	v.Read = readAge(record, now)
	for _, n := range local {
		v.Nodes = append(v.Nodes, lookNode(n, true, now))
		if m, ok := margin(n); ok {
			v.Margins = append(v.Margins, m)
		}
		v.Faults = append(v.Faults, faults(n, now)...)
	}
	for _, n := range g.Nodes {
		v.Nodes = append(v.Nodes, lookNode(n, false, now))
		v.Faults = append(v.Faults, faults(n, now)...)
	}
	sorted.By(v.Nodes, func(a, b nodeView) int { return strings.Compare(a.Address, b.Address) })
	sorted.By(v.Faults, func(a, b faultView) int { return strings.Compare(a.Severity, b.Severity) })
	if len(local) > 0 {
		v.Sentinels, v.Voter = lookSentinels(local), local[0].Node
	}
	return v
}

// words say who is master by whom, what etcd has agreed, and whose the grant is.
func words(g report.Group, local []agent.Status, unread bool, now time.Time) (master, agreement, grant string) {
	master, agreement, grant = "nobody is named", "none is known", "nobody holds it"
	if len(local) > 0 {
		n := local[0]
		if n.Master != "" {
			master = n.Master
		}
		master += fmt.Sprintf(", %d of %d Sentinels agree", n.SentinelsAgreeing, n.SentinelsKnown)
		if n.AgreedMaster != "" {
			agreement = fmt.Sprintf("%s, generation %d, epoch %d", n.AgreedMaster, n.Generation, n.Epoch)
		}
		if n.GrantHolder != "" {
			grant = n.GrantHolder
		}
	}
	switch a := g.Agreement; {
	case unread:
		agreement += " (as last heard)"
		grant += " (as last heard)"
	case a.Address != "":
		agreement = fmt.Sprintf("%s, generation %d, epoch %d; by the word of %d of %d Sentinels, written by %s %s ago (%s)",
			a.Address, a.Generation, a.Epoch, a.Votes, a.Known, a.DecidedBy, ago(a.DecidedAt, now), a.DecidedCause)
	}
	if !unread && g.Grant.Holder != "" {
		grant = fmt.Sprintf("%s, claimed %s ago", g.Grant.Holder, ago(g.Grant.ClaimedAt, now))
	}
	return master, agreement, grant
}

func notices(g report.Group) []string {
	var all []string
	if m := g.Maintenance; !m.At.IsZero() {
		all = append(all, fmt.Sprintf("Maintenance until %s, by %s: %s. Nobody is fenced meanwhile.", clock(m.Until), m.By, orDash(m.Reason)))
	}
	for node, order := range g.Control.Fenced {
		all = append(all, fmt.Sprintf("%s is fenced by hand, by %s at %s: %s. It stays shut until: redis-watchdog unfence %s --node %s",
			node, order.By, clock(order.At), orDash(order.Reason), g.Group, node))
	}
	for node, order := range g.Control.Released {
		all = append(all, fmt.Sprintf("%s is released, by %s at %s: %s. Nobody guards it until: redis-watchdog unfence %s --node %s",
			node, order.By, clock(order.At), orDash(order.Reason), g.Group, node))
	}
	slices.Sort(all)
	return all
}

// readAge is empty while what etcd has is as new as it should be.
func readAge(record Record, now time.Time) string {
	if record.Problem == "" {
		return ""
	}
	if record.ReadAt.IsZero() {
		return "etcd could not be read yet, so the other hosts and the history are not known: " + record.Problem
	}
	return fmt.Sprintf("The other hosts and the history are as they were %s ago: %s", ago(record.ReadAt, now), record.Problem)
}

func faults(n agent.Status, now time.Time) []faultView {
	name := n.Address
	if name == "" {
		name = n.Node
	}
	var all []faultView
	for _, f := range n.Faults {
		all = append(all, faultView{Severity: string(f.Severity), Node: name, ID: f.ID, Text: f.Text, Remedy: f.Remedy, For: ago(f.Since, now)})
	}
	return all
}

func lookNode(n agent.Status, here bool, now time.Time) nodeView {
	v := nodeView{
		Name: n.Node, Address: orDash(n.Address), Role: n.Role, Phase: n.Phase, For: ago(n.Since, now), Here: here, Guarded: n.Guarded,
		Why: fmt.Sprintf("%s (row %d)", orDash(n.Reason), n.Row), Would: n.Would, Grant: "no", Deadline: seconds(n.Deadline), Coordinator: seconds(n.CoordinatorAge),
		Sentinels: fmt.Sprintf("%d of %d", n.SentinelsAgreeing, n.SentinelsKnown), Lag: "-", Veto: veto(n), Vetoed: n.Veto,
		IsMaster: n.Address != "" && n.Address == n.Master,
	}
	if n.Answer != "up" {
		v.Role += " (" + orDash(n.Answer) + ")"
	}
	if n.Wanted != n.Phase {
		v.Wanted = n.Wanted
	}
	if n.GrantOurs {
		v.Grant = told(n.GrantRemaining, "yes")
	}
	if n.Armed {
		v.Deadline = told(n.Deadline, "armed")
	}
	if n.Role == "replica" {
		v.Lag = "link down"
		if n.LinkUp {
			v.Lag = told(n.LagSeconds, "link up")
		}
	}
	if here {
		v.Check = url.PathEscape(n.Group) + "/" + url.PathEscape(n.Node)
	}
	return v
}

// veto says whether it stands, and why.
func veto(n agent.Status) string {
	reasons := strings.Join(n.VetoReasons, ", ")
	switch {
	case !n.Veto && reasons == "":
		return "no"
	case !n.Veto:
		return "no, left to Sentinel all the same: " + reasons
	}
	said := "yes"
	if !n.VetoSeen {
		said = "wanted, not seen by every Sentinel yet"
	}
	if reasons != "" {
		said += ": " + reasons
	}
	return said
}

// lookSentinels shows each Sentinel's word. All nodes of a host hear the same
// Sentinels; only whom they hold down differs.
func lookSentinels(local []agent.Status) []sentinelView {
	var all []sentinelView
	for i, s := range local[0].Sentinels {
		down := false
		for _, n := range local {
			down = down || i < len(n.Sentinels) && n.Sentinels[i].Address == s.Address && n.Sentinels[i].Down
		}
		v := sentinelView{Address: s.Address, Names: orDash(s.Master), Epoch: fmt.Sprint(s.Epoch), Age: seconds(s.AgeSeconds)}
		switch truth := local[0].Master; {
		case !s.Answering:
			v.Class, v.Word = "bad", "does not answer"
		case s.Tilt:
			v.Class, v.Word = "warn", "in TILT"
		case truth == "":
			v.Class, v.Word = "warn", "no majority"
		case s.Master != truth:
			v.Class, v.Word = "warn", "names another"
		default:
			v.Class, v.Word = "good", "agrees"
		}
		if down {
			v.Word += "; holds the Redis here down"
			v.Class = "warn"
		}
		if s.Error != "" {
			v.Word += ": " + s.Error
		}
		all = append(all, v)
	}
	return all
}

// seconds of a duration; below zero is not known, or never.
func seconds(s float64) string {
	switch {
	case s < 0:
		return "-"
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	}
	return (time.Duration(s) * time.Second).String()
}

// told is an age, or what is known without it: other hosts publish none.
func told(s float64, otherwise string) string {
	if s < 0 {
		return otherwise
	}
	return seconds(s)
}

// ago is how long ago, in one or two words.
func ago(at, now time.Time) string {
	d := now.Sub(at)
	switch {
	case at.IsZero():
		return "-"
	case d < 0:
		return "0s" // another host's clock
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func clock(t time.Time) string { return t.Local().Format(time.DateTime) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
