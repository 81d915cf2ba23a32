package why

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// near is how long before and after a fence or a failover something that explains
// it is recorded: a Redis that stands still tells of it when it is over. Clocks of
// hosts are compared by it, which is good enough for people.
const near = 2 * time.Minute

// event is a record of the history as far as this package understands it.
type event struct {
	at      time.Time
	kind    string // of a record that is no step
	self    string
	step    agent.Step
	cause   Record
	from    string // the old master of a planned failover
	outcome string
	stall   struct{ seconds, slept float64 }
}

// read understands a record; what it does not understand is an event of no kind and
// no node.
func read(text string) (e event) {
	var head struct {
		Kind    string    `json:"kind"`
		Time    time.Time `json:"time"`
		Self    string    `json:"address"`
		From    string    `json:"from"`
		Outcome string    `json:"outcome"`
		Seconds float64   `json:"seconds"`
		Slept   float64   `json:"watchdog_not_run_seconds"`
	}
	if json.Unmarshal([]byte(text), &head) != nil {
		return event{kind: "?"}
	}
	e = event{at: head.Time, kind: head.Kind, self: head.Self, from: head.From, outcome: head.Outcome}
	e.stall.seconds, e.stall.slept = head.Seconds, head.Slept
	switch head.Kind {
	case "":
		if json.Unmarshal([]byte(text), &e.step) != nil {
			return event{kind: "?"}
		}
	case RecordKind:
		if json.Unmarshal([]byte(text), &e.cause) != nil {
			return event{kind: "?"}
		}
	}
	return e
}

// Answer is the likely cause of one record.
type Answer struct {
	Kind Kind   `json:"cause"` // empty: not known
	Text string `json:"text"`
}

// Explain names the likely causes of the fences and failovers in a history, oldest
// first, by the index of their records. A fence is a Redis that served and is to
// refuse; a failover is one that serves where another did before.
func Explain(records []string) map[int]Answer {
	all := make([]event, len(records))
	for i, text := range records {
		all[i] = read(text)
	}
	answers := map[int]Answer{}
	serving := ""
	for i, e := range all {
		s := e.step
		switch {
		case e.kind != "" || e.self == "":
		case s.To == "refuse" && s.From != "refuse" && s.Reason != "fenced_by_hand" && (s.From == "serve" || s.From == "hold"):
			answers[i] = of(all, i, e.self)
		case s.To == "serve" && s.Role == "master" && serving != "" && serving != e.self:
			answers[i] = of(all, i, serving)
			serving = e.self
		case s.To == "serve" && s.Role == "master":
			serving = e.self
		}
	}
	return answers
}

// of is why the master stopped being it, around the record at i.
func of(all []event, i int, master string) Answer {
	best, rank := Answer{Text: "not known: nothing is recorded of " + master + " that explains it. Where its host was down or cut off, its watchdog could not tell"}, 0
	better := func(r int, kind Kind, format string, args ...any) {
		if r > rank {
			best, rank = Answer{kind, fmt.Sprintf(format, args...)}, r
		}
	}
	for j, e := range all {
		apart := e.at.Sub(all[i].at)
		if apart < -near || apart > near {
			continue
		}
		switch {
		case e.kind == "failover" && e.from == master:
			better(9, Planned, "an operator's failover: %s", e.outcome)
		case e.self != master:
		case e.kind == RecordKind && e.cause.Cause != Stall && e.cause.Cause != Unknown:
			better(8, e.cause.Cause, "%s: %s", master, e.cause.Text())
		case e.kind == "stall" && e.stall.slept*2 >= e.stall.seconds && e.stall.seconds > 0:
			better(7, Host, "%s: Redis stood still for %.1f s, and its watchdog was not run for %.1f s of it: its host was paused, or out of processors", master, e.stall.seconds, e.stall.slept)
		case e.kind == "stall":
			better(6, Stall, "%s: Redis stood still for %.1f s; what it did is not known", master, e.stall.seconds)
		case e.kind == "" && e.step.Role == "master" && e.step.Answer == "silent":
			better(5, Stall, "%s: Redis did not answer its watchdog, which was run: it hung. What it did is not known; where it was killed for it, its slow log went with it", master)
		case e.kind != "" || e.step.From != "serve" && e.step.From != "hold":
		case e.step.Answer == "absent":
			better(5, Ended, "%s: nothing listened there: Redis had ended", master)
		case e.step.Answer == "up" && j <= i && (e.step.Row == int(watchdog.RowUncertified) || e.step.Row == int(watchdog.RowIsolated)):
			better(4, Network, "%s: Redis answered its watchdog all along; %d of %d Sentinels answered, and etcd had been heard %.1f s before (%s): the network", master, e.step.Answering, e.step.Known, e.step.CoordinatorAge, e.step.Reason)
		}
	}
	return best
}
