package redisconf

import (
	"fmt"
	"path"
	"strings"
)

// maxIncludes bounds how many files Lines opens: one that includes itself, or
// all of its directory, comes to an end there.
const maxIncludes = 1000

// Lines are the directives of a file and of all it includes, in the order in
// which a server reads them, for whom no table is known, or which is a Sentinel.
// Nothing is judged: what cannot be opened or made out is left out and named in
// problems, and the rest stands. dir is where the server was started; empty: not
// known, and an include of a relative name in front of any "dir" is a problem.
// last is the directory it works in then. Arguments may be secrets; no problem
// holds one but the names of files.
func Lines(src Source, file, dir string) (lines []Directive, last string, problems []string) {
	l := &lenient{src: src, dir: dir}
	l.read(file, 0)
	return l.lines, l.dir, l.problems
}

type lenient struct {
	src      Source
	dir      string
	lines    []Directive
	problems []string
	opened   int
}

func (l *lenient) problem(at Position, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if at.Line > 0 {
		text = at.String() + ": " + text
	}
	l.problems = append(l.problems, text)
}

func (l *lenient) read(file string, depth int) {
	content, err := l.src.Read(file)
	if err != nil {
		l.problem(Position{}, "open %s: %v", file, err)
		return
	}
	for i, text := range strings.Split(string(asRead(content)), "\n") {
		at := Position{file, i + 1}
		if text = trim(text); text == "" || text[0] == '#' {
			continue
		}
		words, ok := Split(text)
		if !ok {
			l.problem(at, "unbalanced quotes")
			continue
		}
		if len(words) == 0 {
			continue
		}
		d := Directive{At: at, Name: strings.ToLower(words[0]), Args: words[1:]}
		switch {
		case d.Name == "dir" && len(d.Args) == 1:
			l.chdir(d)
		case d.Name == "include" && len(d.Args) == 1:
			l.include(d, depth)
		}
		l.lines = append(l.lines, d)
	}
}

// chdir is what "dir" does: later names are relative to it.
func (l *lenient) chdir(d Directive) {
	to := d.Args[0]
	if !path.IsAbs(to) {
		if l.dir == "" {
			return // as little known as before
		}
		to = path.Join(l.dir, to)
	}
	l.dir = to
}

func (l *lenient) include(d Directive, depth int) {
	name := d.Args[0]
	if !path.IsAbs(name) {
		if l.dir == "" {
			l.problem(d.At, "include of a relative name, and the directory the server was started in is not known")
			return
		}
		name = path.Join(l.dir, name)
	}
	files := []string{name}
	if isPattern(name) {
		files = expand(l.src, name)
	}
	for _, file := range files {
		if l.opened++; depth >= maxDepth || l.opened > maxIncludes {
			l.problem(d.At, "includes nest too deep, or are too many")
			return
		}
		l.read(file, depth+1)
	}
}
