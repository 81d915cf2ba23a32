package redisconf

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Start is what a server would be started on.
type Start struct {
	File    string // absolute; empty: none
	Dir     string // the working directory it starts in; empty: not known
	Options string // see CommandLine
	// Known holds the names the very build shows in CONFIG GET *. A parameter
	// of the table that is not among them was left out of it (TLS, say). Nil:
	// not known, the table counts.
	Known map[string]string
}

const (
	maxDepth = 50      // of includes: the server goes on until it crashes
	maxSize  = 8 << 20 // of all files together
)

// Evaluate reads a configuration as build would. An error is an *Error.
func Evaluate(build *Build, src Source, start Start) (*Config, error) {
	e := &evaluation{
		build: build, src: src, known: start.Known, reading: true,
		config: &Config{Values: map[string]Value{}, Renamed: map[string]string{}, Dir: start.Dir},
	}
	e.at = Position{File: start.File}
	lines, err := e.open(start.File)
	if err != nil {
		return nil, err
	}
	if start.Options != "" {
		for line := range strings.SplitSeq(start.Options, "\n") {
			lines = append(lines, numbered{text: line})
		}
	}
	if err := e.run(lines, 0); err != nil {
		return nil, err
	}
	return e.config, e.check()
}

// evaluation is one reading under way.
type evaluation struct {
	build  *Build
	src    Source
	known  map[string]string
	config *Config
	size   int
	at     Position // of the line being read

	reading    bool // reading_config_file of config.c: an include's end clears it for good
	saveLoaded bool
	saves      []string // seconds and changes in turn
	buffers    *bufferLimits
}

// numbered is a line of a file before it is read.
type numbered struct {
	at   Position
	text string
}

func (e *evaluation) fail(format string, args ...any) error {
	return &Error{At: e.at, Reason: fmt.Sprintf(format, args...)}
}

// open returns the lines of a file, or of all files a pattern names, which the
// server puts one behind the other without a line's end between them.
func (e *evaluation) open(name string) ([]numbered, error) {
	if name == "" {
		return nil, nil
	}
	files := []string{name}
	if isPattern(name) && !e.build.older {
		files = expand(e.src, name)
	}
	var lines []numbered
	open := false // the last line has no end yet
	for _, file := range files {
		content, err := e.src.Read(file)
		if err != nil && !errors.Is(err, ErrDirectory) {
			return nil, e.fail("open %s: %v", file, err)
		}
		if e.size += len(content); e.size > maxSize {
			return nil, e.fail("open %s: more than %d bytes of configuration", file, maxSize)
		}
		if len(content) == 0 {
			continue
		}
		for i, text := range strings.Split(string(asRead(content)), "\n") {
			if i == 0 && open {
				lines[len(lines)-1].text += text
				continue
			}
			lines = append(lines, numbered{Position{file, i + 1}, text})
		}
		open = true
	}
	return lines, nil
}

func (e *evaluation) run(lines []numbered, depth int) error {
	e.reading = true
	if loaded := e.saveLoaded; e.build.nested {
		e.saveLoaded = false
		defer func() { e.saveLoaded = loaded }()
	}
	for _, line := range lines {
		e.at = line.at
		text := trim(line.text)
		if text == "" || text[0] == '#' {
			continue
		}
		words, ok := Split(text)
		if !ok {
			return e.fail("unbalanced quotes")
		}
		if len(words) == 0 {
			continue
		}
		d := Directive{At: line.at, Name: strings.ToLower(words[0]), Args: words[1:]}
		if err := e.directive(d, depth); err != nil {
			return err
		}
	}
	e.reading = false
	return nil
}

func (e *evaluation) directive(d Directive, depth int) error {
	if err := e.effect(d, depth); err != nil {
		return err
	}
	e.config.Directives = append(e.config.Directives, d)
	return nil
}

// effect is what a line does.
func (e *evaluation) effect(d Directive, depth int) error {
	if p := e.build.Parameter(d.Name); p != nil && p.Kind != Runtime {
		if !e.has(p) {
			return e.fail("%s: this build of the server has no such parameter", p.Name)
		}
		return e.parameter(p, d)
	}
	n := len(d.Args)
	switch {
	case d.Name == "include" && n == 1:
		return e.include(d.Args[0], depth)
	case d.Name == "rename-command" && n == 2:
		return e.rename(d.Args[0], d.Args[1])
	case d.Name == "user" && n >= 1:
		e.config.Users = append(e.config.Users, d)
	case d.Name == "loadmodule" && n >= 1:
		e.config.Modules = append(e.config.Modules, d)
	case slices.Contains(e.ignored(), d.Name) && n == 1:
	case strings.Contains(d.Name, ".") && !e.build.older:
		if n == 0 {
			return e.fail("module configuration without a value")
		}
		e.config.Values[d.Name] = Value{At: d.At, Why: "a module's parameter: only the module can read it"}
	case d.Name == "sentinel":
		if n > 0 {
			return e.fail("sentinel directive while not in sentinel mode")
		}
	default:
		return e.unknown(d)
	}
	return nil
}

// ignored is what the server accepts and does nothing about.
func (e *evaluation) ignored() []string {
	switch {
	case e.build.older:
		return []string{"list-max-ziplist-entries", "list-max-ziplist-value"}
	case e.build.later:
		return []string{"list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands", "io-threads-do-reads"}
	}
	return []string{"list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"}
}

// unknown is a directive no table tells of: with a table of that very version
// the server would not start.
func (e *evaluation) unknown(d Directive) error {
	if _, shown := e.known[d.Name]; shown || e.build.Borrowed {
		e.config.Values[d.Name] = Value{At: d.At, Why: fmt.Sprintf("the table of %s %s does not know it", e.build.Product, e.build.Version)}
		return nil
	}
	name := d.Name
	if len(name) > 40 {
		name = name[:40] + "…"
	}
	return e.fail("bad directive or wrong number of arguments: %q", name)
}

// has says whether the very build has a parameter of its version's table.
func (e *evaluation) has(p *Parameter) bool {
	if e.known == nil || p.Hidden || e.build.Borrowed {
		return true
	}
	for _, name := range append(p.Aliases, p.Name) {
		if _, ok := e.known[name]; ok {
			return true
		}
	}
	return false
}

func (e *evaluation) include(name string, depth int) error {
	if depth >= maxDepth {
		return e.fail("includes nest deeper than %d", maxDepth)
	}
	if !path.IsAbs(name) {
		if e.config.Dir == "" {
			return e.fail("include of a relative name, and the directory the server is started in is not known")
		}
		name = path.Join(e.config.Dir, name)
	}
	lines, err := e.open(name)
	if err != nil {
		return err
	}
	return e.run(lines, depth+1)
}

// rename takes a command by the name it has now; whether there is such a
// command at all is not known here.
func (e *evaluation) rename(command, to string) error {
	command = strings.ToUpper(command)
	for was, now := range e.config.Renamed {
		if now != "" && strings.EqualFold(now, command) {
			e.config.Renamed[was] = to
			return nil
		}
	}
	if _, gone := e.config.Renamed[command]; gone {
		return e.fail("no such command in rename-command: it has been renamed before")
	}
	e.config.Renamed[command] = to
	return nil
}

// parameter sets one. With a borrowed table a value it would not allow is not
// an error but not known.
func (e *evaluation) parameter(p *Parameter, d Directive) error {
	text, err := e.read(p, d.Args)
	value := Value{Text: text, At: d.At}
	if err != nil {
		if !e.build.Borrowed {
			return e.fail("%s: %v", d.Name, err)
		}
		value.Why = fmt.Sprintf("%s %s would not start on it: %v", e.build.Product, e.build.Version, err)
	}
	e.config.Values[p.Name] = value
	return nil
}

// check is what the server looks at when it has read everything.
func (e *evaluation) check() error {
	values := e.config.Values
	if values["cluster-enabled"].Text == "yes" && values["replicaof"].Text != "" {
		e.at = values["replicaof"].At
		return e.fail("replicaof directive not allowed in cluster mode")
	}
	if values["aclfile"].Text != "" && len(e.config.Users) > 0 {
		e.at = e.config.Users[0].At
		return e.fail("users in the file and in an ACL file at the same time")
	}
	if err := e.once(); err != nil {
		return err
	}
	if hz, ok := values["hz"]; ok && hz.Why == "" && !e.build.older {
		n, _ := integer(hz.Text)
		hz.Text = fmt.Sprint(min(max(n, 1), 500)) // CONFIG_MIN_HZ, CONFIG_MAX_HZ
		values["hz"] = hz
	}
	return nil
}

// once is whether what may stand only once does. Redis 6.0 takes the last of
// two lines of a user; 7.0, 8.0 and Valkey 8.1 refuse the second.
func (e *evaluation) once() error {
	if at := again(e.config.Users); len(at) > 0 && !e.build.older {
		e.at = e.config.Users[at[0]].At
		return e.fail("duplicate user found: a user can only be defined once in config files")
	}
	if at := again(e.config.Modules); len(at) > 0 {
		d := e.config.Modules[at[0]]
		e.at = d.At
		return e.fail("the module %s is loaded twice: the second time its name is taken, and the server aborts", path.Base(d.Args[0]))
	}
	return nil
}

// again is the indices of what stood before, by its first argument.
func again(lines []Directive) (at []int) {
	seen := map[string]bool{}
	for i, d := range lines {
		if name := d.Args[0]; seen[name] {
			at = append(at, i)
		} else {
			seen[name] = true
		}
	}
	return at
}
