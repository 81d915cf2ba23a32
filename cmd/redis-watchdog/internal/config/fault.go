package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with the file.
type Fault struct {
	File    string
	Line    int    // of the key, or of the nearest one around it; zero: the file as a whole
	Key     string // as a path: groups[0].nodes[1].address
	Value   string // as written; empty: there is none
	Problem string
	Remedy  string
}

func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		b.WriteString(":" + strconv.Itoa(f.Line))
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	if f.Value != "" {
		fmt.Fprintf(&b, "value %q: ", f.Value)
	}
	b.WriteString(f.Problem)
	if f.Remedy != "" {
		b.WriteString("; " + f.Remedy)
	}
	return b.String()
}

// Faults are all of them, in the order of their lines.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Secret is a password. It shows itself to nobody who prints it.
type Secret string

func (s Secret) String() string   { return redact(s) }
func (s Secret) GoString() string { return redact(s) }

// MarshalText keeps it out of JSON and YAML too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redact(s)), nil }

func redact(s Secret) string {
	if s == "" {
		return ""
	}
	return "<secret>"
}
