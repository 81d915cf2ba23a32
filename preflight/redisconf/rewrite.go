package redisconf

import (
	"maps"
	"slices"
	"strings"
)

// Running is what CONFIG REWRITE writes down.
type Running struct {
	Values map[string]string // CONFIG GET *, secrets in clear
	// Users are the lines of ACL LIST, "user NAME RULES"; nil: not known, then
	// the users that the configuration declares and default are taken.
	Users []string
}

// Rewritten is the text of the main file as CONFIG REWRITE would leave it
// (rewriteConfig, config.c): a line that sets what is known is edited where it
// stands, further ones of the same go, and what no line sets and is not at its
// default comes last. Users and modules are written whatever they are, also
// those that an included file or the command line brought. main is the file's
// text and config what it was read as, with everything it includes. The text
// holds secrets.
//
// It is the same text in effect, not byte by byte. Modules that were loaded
// since the start are not in it.
func Rewritten(build *Build, main []byte, config *Config, run Running) []byte {
	w := rewriting{build: build, run: run, due: map[string][]string{}}
	w.prepare(config)
	for text := range strings.SplitSeq(strings.TrimSuffix(string(asRead(main)), "\n"), "\n") {
		w.line(text)
	}
	for _, name := range w.forced {
		w.text = append(w.text, w.due[name]...)
	}
	return []byte(strings.Join(w.text, "\n") + "\n")
}

// rewriting is one rewrite under way.
type rewriting struct {
	build  *Build
	run    Running
	due    map[string][]string // lines still to be written, by the name they begin with
	forced []string            // names whose lines are written although the file has none of them
	text   []string
}

func (w *rewriting) want(name string, force bool, lines ...string) {
	w.due[name] = lines
	if force {
		w.forced = append(w.forced, name)
	}
}

// prepare makes the lines.
func (w *rewriting) prepare(config *Config) {
	for _, name := range slices.Sorted(maps.Keys(w.run.Values)) {
		p := w.build.Parameter(name)
		switch {
		case p != nil && (p.Name != name && w.shown(p.Name) || p.Kind == Runtime):
		case p != nil:
			w.parameter(p, w.run.Values[name], config)
		default: // a module's, or of a version whose table there is not: only where a line sets it
			w.due[name] = []string{name + " " + w.quote(w.run.Values[name])}
		}
	}
	if w.run.Values["aclfile"] == "" {
		w.want("user", true, w.users(config)...)
	}
	var modules []string
	for _, m := range config.Modules {
		modules = append(modules, m.text())
	}
	if w.build.writesModules() {
		w.want("loadmodule", true, modules...)
	}
}

// writesModules is whether CONFIG REWRITE knows of modules: 6.0 leaves their
// lines as they are.
func (b *Build) writesModules() bool { return !b.older || b.nested }

func (w *rewriting) shown(name string) bool { _, ok := w.run.Values[name]; return ok }

func (w *rewriting) users(config *Config) []string {
	if w.run.Users != nil {
		return w.run.Users
	}
	lines := map[string]string{"default": "user default"}
	for _, u := range config.Users {
		lines[u.Args[0]] = u.text()
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		all = append(all, lines[name])
	}
	return all
}

// text is a directive as a line.
func (d Directive) text() string {
	words := []string{d.Name}
	for _, arg := range d.Args {
		words = append(words, Quote(arg))
	}
	return strings.Join(words, " ")
}

// parameter is the lines of one parameter.
func (w *rewriting) parameter(p *Parameter, value string, config *Config) {
	changed := value != p.Default
	words := strings.Fields(value)
	switch p.Kind {
	case Save:
		var points []string
		for pair := range slices.Chunk(words, 2) {
			points = append(points, p.Name+" "+strings.Join(pair, " "))
		}
		switch {
		case len(points) == 0:
			points = []string{p.Name + ` ""`}
		case w.build.Product == "valkey" && w.build.later:
			points = []string{p.Name + " " + value} // valkey pull request 583
		}
		w.want(p.Name, true, points...)
	case Buffers:
		var classes []string
		for class := range slices.Chunk(words, 4) {
			classes = append(classes, p.Name+" "+strings.Join(class, " "))
		}
		w.want(p.Name, changed, classes...)
	case ReplicaOf:
		if value == "" {
			w.due[p.Name] = []string{} // its lines go
			return
		}
		w.want(p.Name, changed, p.Name+" "+value)
	case Bind, Percentiles, Scores, Flags:
		if p.Kind == Bind && value == "" && w.build.older {
			w.olderBind(config)
			return
		}
		if value == "" {
			value = `""`
		}
		w.want(p.Name, changed, p.Name+" "+value)
	default:
		w.want(p.Name, changed || p.Kind == Dir, p.Name+" "+w.quote(value))
	}
}

// quote is a word as the build writes it. Valkey 8.1.0 and 8.1.1 do not escape a
// quote or a backslash (valkey issue 2035): a password that has one is written
// so that no server starts on it.
func (w *rewriting) quote(word string) string {
	quoted := Quote(word)
	if w.build.unescaped {
		quoted = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(quoted)
	}
	return quoted
}

// olderBind is bind without an address before 7.0: what was given as "" is
// written as nothing, on which no server starts.
func (w *rewriting) olderBind(config *Config) {
	if _, given := config.Values["bind"]; given {
		w.want("bind", true, "bind")
	} else {
		w.due["bind"] = []string{}
	}
}

// line takes one of the file.
func (w *rewriting) line(text string) {
	trimmed := trim(text)
	words, ok := Split(trimmed)
	if !ok || len(words) == 0 || trimmed[0] == '#' {
		w.text = append(w.text, "") // a comment, or made one
		return
	}
	name := strings.ToLower(words[0])
	if p := w.build.Parameter(name); p != nil && p.Kind != Runtime {
		name = p.Name
	}
	lines, ours := w.due[name]
	switch {
	case !ours:
		// An include, a rename-command, a parameter that is not shown.
		w.text = append(w.text, text)
	case len(lines) == 0:
		w.text = append(w.text, "")
	default:
		w.text, w.due[name] = append(w.text, lines[0]), lines[1:]
	}
}

// once are the lines of which there may be only one for each first argument.
func (b *Build) once(config *Config) []Directive {
	var lines []Directive
	if !b.older && config.Values["aclfile"].Text == "" {
		lines = append(lines, config.Users...)
	}
	return append(lines, config.Modules...)
}

// Elsewhere are the users and modules that the main file has not: CONFIG
// REWRITE writes them into it all the same, and then they stand twice.
func (b *Build) Elsewhere(main string, config *Config) []Directive {
	return slices.DeleteFunc(b.once(config), func(d Directive) bool {
		return d.At.File == main || d.Name == "loadmodule" && !b.writesModules()
	})
}

// Twice are the users and modules that stand more than once, but for one of
// each: the main file's, where it has one.
func (b *Build) Twice(main string, config *Config) []Directive {
	lines := b.once(config)
	kept := map[string]int{}
	name := func(d Directive) string { return d.Name + " " + d.Args[0] }
	for i, d := range lines {
		if k, ok := kept[name(d)]; !ok || lines[k].At.File != main && d.At.File == main {
			kept[name(d)] = i
		}
	}
	var twice []Directive
	for i, d := range lines {
		if kept[name(d)] != i {
			twice = append(twice, d)
		}
	}
	return twice
}

// Inplace is whether CONFIG REWRITE of that version writes into the file itself:
// before 6.0.9 (redis pull request 7824).
func (b *Build) Inplace(version string) bool {
	return b.Product == "redis" && compareVersions(version, "6.0.9") < 0
}
