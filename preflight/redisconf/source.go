package redisconf

import (
	"errors"
	"fmt"
	"path"
)

// ErrDirectory says that a name is a directory's: an include of one is empty to
// the server, which opens it and reads nothing.
var ErrDirectory = errors.New("is a directory")

// Source is where files come from. Names are absolute.
type Source interface {
	Read(name string) ([]byte, error) // ErrDirectory where it is one
	List(dir string) (names []string, err error)
	Exists(name string) bool
	// Directory resolves what links there are in the name of a directory, as
	// getcwd(3) after chdir(2) does; an error where one could not go there.
	Directory(name string) (string, error)
}

// Position is a line of a file.
type Position struct {
	File string // as it was opened; empty: the command line
	Line int    // from 1
}

func (p Position) String() string {
	if p.File == "" {
		return "command line"
	}
	return fmt.Sprintf("%s:%d", path.Base(p.File), p.Line)
}

// Error is why the server would not start on a file.
type Error struct {
	At     Position
	Reason string // holds no argument
}

func (e *Error) Error() string {
	switch {
	case e.At.File == "":
		return "command line: " + e.Reason
	case e.At.Line == 0: // the file as a whole
		return e.Reason
	}
	return fmt.Sprintf("%s:%d: %s", e.At.File, e.At.Line, e.Reason)
}

// Directive is one line as it took effect. An include stands behind what it
// included.
type Directive struct {
	At   Position
	Name string   // lower case
	Args []string // may be secrets
}

// Value is what one parameter becomes.
type Value struct {
	Text string   // as CONFIG GET prints it
	At   Position // of the last line that set it
	Why  string   // not empty: Text cannot be told, and why
}

// Config is a whole configuration.
type Config struct {
	Values     map[string]Value  // of the parameters the file names, by their newest name
	Directives []Directive       // all, in the order they took effect
	Renamed    map[string]string // rename-command: the command, in upper case, to its new name; empty: removed
	Users      []Directive       // "user" lines
	Modules    []Directive       // "loadmodule" lines
	Dir        string            // the working directory in the end
}
