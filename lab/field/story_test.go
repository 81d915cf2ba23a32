package field

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// story is one case while it is played: a writer and a reader at the master
// that was serving when it began, and what the watchdogs had decided until then.
type story struct {
	*watched.World
	t      *testing.T
	master *watched.Watchdog // who served when the story began
	writer *lab.Load         // both stand on the master's own host and never move
	reader *lab.Load
	before map[*watched.Watchdog]int // decisions before the story
}

// begin tells a story about a group that is guarded.
func begin(t *testing.T, w *watched.World) *story {
	t.Helper()
	s := &story{World: w, t: t, master: w.WaitServing(), before: map[*watched.Watchdog]int{}}
	for _, d := range w.Watchdogs {
		s.before[d] = len(d.Decided())
	}
	s.writer = s.master.Host.Writer(lab.LoadConfig{To: s.master.Redis})
	s.reader = s.master.Host.Reader(lab.LoadConfig{To: s.master.Redis})
	now := lab.Now()
	s.writer.WaitOK(now, time.Minute)
	s.reader.WaitOK(now, time.Minute)
	return s
}

// done says what was done; it is only for the reader of the log.
func (s *story) done(what string) { s.t.Helper(); s.t.Logf("done: %s", what) }

// undisturbed ends a story of which clients must notice nothing: every command
// of theirs was answered well, and no watchdog wanted clients held or refused.
// The loads are stopped.
func (s *story) undisturbed() { s.t.Helper(); s.ends(needless) }

// unrefused ends a story of minutes likewise, but for a hold, which is none of it: on
// a machine that stalls, half a second without an answer from anybody is all it
// takes, and no command fails of it (watched.Counts).
func (s *story) unrefused() {
	s.t.Helper()
	s.ends(func(line string) bool { return needless(line) && !strings.Contains(line, " to=hold ") })
}

func (s *story) ends(disturbs func(line string) bool) {
	s.t.Helper()
	for what, load := range map[string]*lab.Load{"write": s.writer, "read": s.reader} {
		trace := load.Stop()
		if failed := trace.Failed(); len(failed) > 0 {
			s.t.Errorf("clients: %d of %d %ss failed (%s), the first %s %s", len(failed), len(trace), what, trace, failed[0].Kind, failed[0].Text)
		} else {
			s.t.Logf("clients: %d %ss, all answered, the slowest after %v", len(trace), what, trace.Slowest().Received.Sub(trace.Slowest().Sent))
		}
	}
	s.quiet(disturbs)
}

// quiet fails for every decision against clients since the story began.
func (s *story) quiet(disturbs func(line string) bool) {
	s.t.Helper()
	for _, d := range s.Watchdogs {
		for _, decided := range d.Decided()[s.before[d]:] {
			if disturbs(decided.Line) {
				s.t.Errorf("%s decided against its clients: %s", d.Name, decided.Line)
			}
		}
	}
}

var toPhase = regexp.MustCompile(` to=(hold|lock|refuse)\b`)

// needless is whether a decision takes something from the clients of a healthy
// master. Only lines of the node that serves can: the others' are of replicas.
func needless(line string) bool {
	return strings.Contains(line, " from=serve ") && toPhase.MatchString(line)
}

// told waits until the node's status has this fault, with a remedy, and that
// its text contains all parts; it is what the operator is told.
func (s *story) told(d *watched.Watchdog, fault string, parts ...string) agent.Status {
	s.t.Helper()
	return d.WaitFor("says "+fault, func(st agent.Status) bool {
		return slices.ContainsFunc(st.Faults, func(f agent.Fault) bool {
			if f.ID != fault || f.Remedy == "" {
				return false
			}
			text := f.Text + " " + f.Remedy
			return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
		})
	})
}

// shows runs a command on the master's host and expects a name in what it
// prints, as it is; it is what was printed.
func (s *story) shows(name string, command ...string) string {
	s.t.Helper()
	out, _ := s.master.CLI(command...)
	if !strings.Contains(out, name) {
		s.t.Errorf("%s does not show %s:\n%s", command[0], name, out)
	}
	return out
}

// remedyOf is the remedy of a fault; empty: there is no such fault.
func remedyOf(st agent.Status, fault string) string {
	for _, f := range st.Faults {
		if f.ID == fault {
			return f.Remedy
		}
	}
	return ""
}

// paste does what a remedy says on the node's own host, a line after the other.
func (s *story) paste(d *watched.Watchdog, remedy string) {
	s.t.Helper()
	for line := range strings.Lines(remedy) {
		p := d.Host.Run(lab.Command{Name: "paste", Path: "sh", Args: []string{"-ec", strings.TrimSpace(line)}})
		if code := p.Wait(); code != 0 {
			s.t.Fatalf("paste %q: it ended with %d: %s", line, code, p.Text())
		}
	}
}

// patience is how long a story waits for what is bound to come.
const patience = time.Minute

// TestEveryStoryIsListed fails for a test of this package that docs/cases.md
// does not name.
func TestEveryStoryIsListed(t *testing.T) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	doc, err := os.ReadFile(filepath.Join(dir, "..", "..", "docs", "cases.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	names := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range names.FindAllStringSubmatch(string(text), -1) {
			if m[1] != "TestEveryStoryIsListed" && !strings.Contains(string(doc), "`"+m[1]+"`") {
				t.Errorf("docs/cases.md does not list %s", m[1])
			}
		}
	}
}
