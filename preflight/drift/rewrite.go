package drift

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
	"github.com/redis-watchdog/redis-watchdog/preflight/shadow"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// rewrittenFiles are the files as CONFIG REWRITE would leave them.
type rewrittenFiles struct {
	files
	main string
	text []byte
}

func (f rewrittenFiles) Read(name string) ([]byte, error) {
	if name == f.main {
		return f.text, nil
	}
	return f.files.Read(name)
}

// rewrite finds out what CONFIG REWRITE would make of the file, and what a
// restart would make of that.
func (r *reader) rewrite(ctx context.Context, config *redisconf.Config) {
	if r.d.File == "" {
		return
	}
	w := &preflight.Rewrite{Method: "table", Denied: r.denied()}
	r.d.Rewrite = w
	values := maps.Clone(r.Running)
	after, err := r.evaluate(config, values)
	if err == nil {
		w.Lost = r.lost(ctx, w, after, &err)
	}
	if err != nil {
		w.Twice = linesOf(r.build.Elsewhere(r.d.File, config))
		w.Refused = r.why(config, w.Twice, err)
		return
	}
	r.roles(w, config)
	sorted.By(w.Lost, func(a, b preflight.Parameter) int { return strings.Compare(a.Name, b.Name) })
}

// why names what is refused: the line it stands on is not in the file yet.
func (r *reader) why(config *redisconf.Config, twice []preflight.Line, err error) string {
	at, reason := redisconf.Position{}, err.Error()
	var mine *redisconf.Error
	var theirs *shadow.Refused
	switch {
	case errors.As(err, &mine):
		at, reason = mine.At, mine.Reason
	case errors.As(err, &theirs):
		at, reason = theirs.At, theirs.Reason
	}
	if len(twice) > 0 {
		l := twice[0]
		from := redisconf.Position{File: l.File, Line: l.Line}
		if len(twice) > 1 {
			reason += fmt.Sprintf(" (and %d more lines)", len(twice)-1)
		}
		return fmt.Sprintf("%s of %s would stand in %s as well: %s", l.Name, from, path.Base(r.d.File), reason)
	}
	text := redisconf.Rewritten(r.build, r.text, config, redisconf.Running{Values: r.Running, Users: r.Users})
	if lines := strings.Split(string(text), "\n"); at.File == r.d.File && at.Line >= 1 && at.Line <= len(lines) {
		name, _, _ := strings.Cut(lines[at.Line-1], " ")
		reason = "it would write " + name + " so that no server reads it: " + reason
	}
	return reason
}

// evaluate reads what CONFIG REWRITE would write if Redis ran with these values.
func (r *reader) evaluate(config *redisconf.Config, values map[string]string) (*redisconf.Config, error) {
	text := redisconf.Rewritten(r.build, r.text, config, redisconf.Running{Values: values, Users: r.Users})
	after, err := redisconf.Evaluate(r.build, rewrittenFiles{r.files, r.d.File, text}, r.start)
	if err != nil {
		return nil, err
	}
	return after, nil
}

// lost is what would come back otherwise than it runs. no is set where the
// shadow would not start.
func (r *reader) lost(ctx context.Context, w *preflight.Rewrite, after *redisconf.Config, no *error) []preflight.Parameter {
	expected := fromFile(r.build, r.version, after, false)
	result, err := r.ask(ctx, after)
	if err != nil {
		*no = err
		return nil
	}
	if result != nil {
		w.Method = "shadow"
		r.correct(expected, result, after)
	}
	var lost []preflight.Parameter
	for _, name := range names(r.build, r.Running) {
		want, known := expected[name]
		value := valueOf(r.build, r.Running, name)
		if !known || want.Why != "" || want.Text == value || ignored(aliases(r.build, name), r.Ignore) {
			continue
		}
		lost = append(lost, preflight.Parameter{Name: name, Running: mask(name, value), File: mask(name, want.Text), Where: want.Where})
	}
	if result != nil && result.Users != nil && r.Users != nil {
		came := byUser(result.Users)
		for name, rules := range byUser(r.Users) {
			if other, ok := came[name]; !ok || !preflight.SameRights(other, rules) {
				lost = append(lost, userParameter(name, true, ok))
			}
		}
	}
	return lost
}

// roles adds what could not be written down once this Redis is of another role:
// its master is gone, or it is fenced.
func (r *reader) roles(w *preflight.Rewrite, config *redisconf.Config) {
	r.role(w, config, "once it is a master", map[string]string{"replicaof": ""})
	fenced := watchdog.Settings()
	fenced["replicaof"] = watchdog.NowhereMaster
	r.role(w, config, "once it is fenced", fenced)
}

func (r *reader) role(w *preflight.Rewrite, config *redisconf.Config, when string, values map[string]string) {
	next := maps.Clone(r.Running)
	for name, value := range values {
		for _, alias := range aliases(r.build, name) {
			if _, shown := next[alias]; shown {
				next[alias] = value
			}
		}
	}
	after, err := r.evaluate(config, next)
	if err != nil {
		return // what is wrong with it was seen already
	}
	expected := fromFile(r.build, r.version, after, false)
	for name, value := range values {
		got := expected[name]
		if got.Why != "" || got.Text == value || slices.ContainsFunc(w.Lost, func(p preflight.Parameter) bool { return p.Name == name }) {
			continue
		}
		w.Lost = append(w.Lost, preflight.Parameter{Name: name, Running: value, File: got.Text, Where: got.Where, Why: when})
	}
}

// linesOf is lines without what may be secret in them.
func linesOf(directives []redisconf.Directive) []preflight.Line {
	var lines []preflight.Line
	for _, d := range directives {
		lines = append(lines, preflight.Line{Name: d.Name + " " + d.Args[0], File: d.At.File, Line: d.At.Line})
	}
	return lines
}
