package failover

// Planned failovers told as scripts: what etcd, the watchdogs and the Sentinels
// show, and which step comes next. A group is "A", its master, "B", which is
// chosen, and "C", of five seconds' down-after.

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

var update = flag.Bool("update", false, "write what the scripts of testdata say now")

const start = watchdog.Instant(time.Hour)

// script is a group beside one failover.
type script struct {
	t     *testing.T
	f     *Failover
	now   watchdog.Instant
	next  Action
	due   watchdog.Instant // when its outcome is there
	over  bool
	out   strings.Builder
	shown string // what was missing when it was shown last

	view        View
	sentinels   []Sentinel
	silent      bool // etcd does not answer
	interrupted bool
	replies     []Event // to the next requests; none: they are done
}

func newScript(t *testing.T) *script {
	s := &script{t: t, now: start, view: View{Answers: map[watchdog.Address]Answer{}}}
	s.f = New(Plan{Group: "g", ID: "o", From: "A", To: "B", Others: []watchdog.Address{"C"}, DownAfter: 5 * time.Second})
	return s
}

// Each line is a subject and what becomes so of it, in words.
func (s *script) line(line string) error {
	words := strings.Fields(line)
	switch subject, rest := words[0], words[1:]; subject {
	case "begin":
		s.take(Event{})
		return s.wait(0)
	case "wait":
		d, err := time.ParseDuration(rest[0])
		if err != nil {
			return err
		}
		return s.wait(d)
	case "interrupt":
		s.interrupted = true
		if s.next.Kind == Look && !s.next.Through {
			s.due = s.now
		}
		return s.wait(0)
	case "etcd":
		return s.etcd(rest)
	case "A", "B", "C":
		return s.answer(watchdog.Address(subject), rest)
	case "sentinel":
		return s.sentinel(rest[0], rest[1:])
	case "reply":
		kind, known := map[string]Failure{"unanswered": Unanswered, "refused": Refused, "not-sent": NotSent}[rest[0]]
		e := Event{Failure: kind, Err: errors.New(strings.Join(rest[1:], " "))}
		if rest[0] == "done" {
			e, known = Event{}, true
		}
		if !known {
			return fmt.Errorf("no reply is called %q", rest[0])
		}
		s.replies = append(s.replies, e)
		return nil
	}
	return fmt.Errorf("nothing is called %q", words[0])
}

func (s *script) etcd(words []string) error {
	for _, word := range words {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "silent":
			s.silent = true
		case "back":
			s.silent = false
		case "order":
			s.view.Order = value
		case "master":
			s.view.Master = watchdog.Address(value)
		case "holder":
			s.view.Holder = watchdog.Address(value)
		default:
			return fmt.Errorf("etcd has no %q", word)
		}
	}
	return nil
}

func (s *script) answer(from watchdog.Address, words []string) error {
	all := maps.Clone(s.view.Answers) // what was handed out stays as it was
	a := all[from]
	a.ID = "o"
	for _, word := range words {
		key, value, set := strings.Cut(word, "=")
		switch yes := !strings.HasPrefix(key, "-"); strings.TrimPrefix(key, "-") {
		case "":
			a = Answer{}
		case "role":
			a.Role = value
		case "of":
			a.Following, a.LinkUp = watchdog.Address(value), true
		case "link":
			a.LinkUp = yes
		case "vetoed":
			a.Vetoed = yes
		case "barred":
			a.Barred = yes
		case "stop":
			a.Stop = yes
		case "held":
			a.Held = yes
		case "serving":
			a.Serving = yes
		case "fault":
			a.Fault = value
		case "at":
			n, err := strconv.ParseInt(value, 10, 64)
			if !set || err != nil {
				return fmt.Errorf("%q is no offset", value)
			}
			a.Offset = n
		default:
			return fmt.Errorf("a watchdog does not answer %q", word)
		}
	}
	all[from] = a
	s.view.Answers = all
	return nil
}

func (s *script) sentinel(name string, words []string) error {
	all := append([]Sentinel{}, s.sentinels...)
	at := -1
	for i := range all {
		if all[i].Address == name {
			at = i
		}
	}
	if at < 0 {
		at, all = len(all), append(all, Sentinel{Address: name, Answering: true, Timeout: time.Minute})
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch yes := !strings.HasPrefix(key, "-"); strings.TrimPrefix(key, "-") {
		case "answering":
			all[at].Answering = yes
		case "tilt":
			all[at].Tilt = yes
		case "failover":
			all[at].Failover = yes
		case "names":
			all[at].Master = watchdog.Address(value)
		case "lists": // B:100,C:0,D:down
			all[at].Replicas = nil
			for one := range strings.SplitSeq(value, ",") {
				a, state, _ := strings.Cut(one, ":")
				r := Replica{Address: watchdog.Address(a), Down: state == "down"}
				r.Priority, _ = strconv.Atoi(state)
				all[at].Replicas = append(all[at].Replicas, r)
			}
		case "timeout":
			d, err := time.ParseDuration(value)
			if err != nil {
				return err
			}
			all[at].Timeout = d
		default:
			return fmt.Errorf("a Sentinel shows no %q", word)
		}
	}
	s.sentinels = all
	return nil
}

// take hands in what came of the last step and shows the next.
func (s *script) take(e Event) {
	s.next = s.f.Next(s.now, e)
	a := s.next
	s.due = s.now.Add(a.After)
	if missing := s.f.missing; a.Kind == Look && missing != nil && missing.Error() != s.shown && missing.Error() != "etcd has not answered" {
		s.shown = missing.Error()
		s.say("waits: %s", s.shown)
	}
	if a.Say != "" {
		s.say("says: %s", a.Say)
	}
	switch a.Kind {
	case Begin:
		s.say("begin lasts=%s", a.Lasts)
	case Stop:
		s.say("stop lasts=%s", a.Lasts)
	case FailOver:
		s.say("fail over at %s", a.Sentinel)
	case SetTimeout:
		s.say("failover-timeout of %s %s", a.Sentinel, a.Timeout)
	case End:
		s.say("end")
	case Finish:
		s.over = true
		if a.Err != nil {
			s.say("not begun: %v", a.Err)
			return
		}
		s.say("%s: %s", a.Result.Outcome, a.Result.Text)
		s.say("%+v offset=%d", a.Result.Times, a.Result.Offset)
	}
}

func (s *script) say(format string, args ...any) {
	fmt.Fprintf(&s.out, "> %s %s\n", s.now.Sub(start), fmt.Sprintf(format, args...))
}

// wait lets the steps of so long come about; a look and a request take no time.
func (s *script) wait(d time.Duration) error {
	for until := s.now.Add(d); ; {
		if s.over || s.due > until {
			s.now = until
			return nil
		}
		s.now = s.due
		if s.silent && s.next.Kind == Look && !(s.interrupted && !s.next.Through) {
			// The request's own limit is a second.
			if end := s.now.Add(time.Second).Min(s.next.Until); end > s.now {
				s.next.After, s.due = 0, end
				if end > until {
					s.now = until
					return nil
				}
				s.now = end
			}
		}
		s.take(s.came())
	}
}

// came is the outcome of the step that is due.
func (s *script) came() Event {
	a := s.next
	if a.Kind == Look {
		switch {
		case s.interrupted && !a.Through:
			return Event{Interrupted: true}
		case s.silent:
			return Event{Err: errors.New("etcd is silent"), Sentinels: s.sentinels}
		}
		return Event{View: s.view, Sentinels: s.sentinels}
	}
	if len(s.replies) > 0 {
		e := s.replies[0]
		s.replies = s.replies[1:]
		return e
	}
	if s.silent && (a.Kind == Begin || a.Kind == Stop || a.Kind == End) {
		return Event{Err: errors.New("etcd is silent")}
	}
	switch a.Kind {
	case Begin:
		s.view.Order = "o"
	case End:
		s.view.Order = ""
	}
	return Event{}
}

func play(t *testing.T, text string) string {
	t.Helper()
	s, out := newScript(t), strings.Builder{}
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, ">") {
			continue
		}
		out.WriteString(line + "\n")
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := s.line(line); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		out.WriteString(s.out.String())
		s.out.Reset()
	}
	if !s.over {
		t.Errorf("the script ends in phase %d, before the failover does", s.f.phase)
	}
	return out.String()
}

func TestScriptsSayWhatTheySaid(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("find scripts: got %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "#") {
				t.Error("a script begins with a comment that says what it tells and why")
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(text); got != want {
				t.Errorf("%s says otherwise (go test -update writes it down): got\n%s", file, got)
			}
		})
	}
}
