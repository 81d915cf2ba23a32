package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// Load reads and checks the file. An error of type Faults names everything
// that is wrong; another one says that the file could not be read at all.
// env is os.Getenv, or a test's.
func Load(path string, env func(string) string) (*Config, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, source, env, true)
}

// CheckText is Load of a text that is not written yet, without the files that it
// names: no password is in what it returns.
func CheckText(path string, source []byte, env func(string) string) (*Config, error) {
	return parse(path, source, env, false)
}

// Unchecked is what can be made out of the file, faults or not, and else what
// holds where nothing is written: enough to find a watchdog that runs, and to be
// used for nothing else.
func Unchecked(path string, env func(string) string) *Config {
	source, err := os.ReadFile(path)
	if err != nil {
		source = nil // as if it were empty
	}
	config, _ := decode(path, source, env)
	return config
}

// parse checks the files the configuration names only when files is set: the
// shipped reference names some that are nowhere.
func parse(path string, source []byte, env func(string) string, files bool) (*Config, error) {
	config, d := decode(path, source, env)
	if d.notYAML {
		return nil, d.faults
	}
	c := &checker{decoder: d, dir: filepath.Dir(path), credentials: env("CREDENTIALS_DIRECTORY"), files: files}
	c.check(config)
	if len(d.faults) > 0 {
		sorted.By(d.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return nil, d.faults
	}
	config.lines, config.values = d.lines, d.values
	return config, nil
}

// decode makes of the text what it can; the decoder knows the faults.
func decode(path string, source []byte, env func(string) string) (*Config, *decoder) {
	config := &Config{File: path}
	setInitial(reflect.ValueOf(config).Elem())
	defer config.fill(env)
	d := &decoder{file: path, lines: map[string]int{}, values: map[string]string{}, sections: map[*yaml.Node][]pair{}, open: map[*yaml.Node]bool{}}
	documents := yaml.NewDecoder(bytes.NewReader(source))
	var document yaml.Node
	switch err := documents.Decode(&document); {
	case errors.Is(err, io.EOF): // nothing but comments
	case err != nil:
		d.faults, d.notYAML = Faults{syntaxFault(path, err)}, true
		return config, d
	default:
		d.decode("", document.Content[0], reflect.ValueOf(config).Elem())
	}
	var another yaml.Node
	switch err := documents.Decode(&another); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.faults = append(d.faults, syntaxFault(path, err))
	case !isNull(another.Content[0]):
		d.faults = append(d.faults, Fault{File: path, Line: another.Content[0].Line,
			Problem: "a second document", Remedy: `take out the line "---"`})
	}
	return config, d
}

// fill puts in what depends on the surroundings or on another key.
func (c *Config) fill(env func(string) string) {
	if c.StateDir == "" {
		c.StateDir = firstDir(env("STATE_DIRECTORY"), "/var/lib/redis-watchdog")
	}
	if c.RuntimeDir == "" {
		c.RuntimeDir = firstDir(env("RUNTIME_DIRECTORY"), "/run/redis-watchdog")
	}
	if c.Etcd.Prefix != "" && !strings.HasSuffix(c.Etcd.Prefix, "/") {
		c.Etcd.Prefix += "/"
	}
	for i := range c.Groups {
		nodes := c.Groups[i].Nodes
		if len(nodes) == 1 && nodes[0].Name == "" {
			nodes[0].Name = "default"
		}
	}
}

// firstDir of what systemd hands over: several are separated by colons.
func firstDir(list, otherwise string) string {
	first, _, _ := strings.Cut(list, ":")
	if first == "" {
		return otherwise
	}
	return first
}

var syntaxPlace = regexp.MustCompile(`^line (\d+): (.*)`)

// syntaxFault finds the line in what the parser says.
func syntaxFault(path string, err error) Fault {
	fault := Fault{File: path, Remedy: "see redis-watchdog.yaml, the shipped reference, for the form"}
	first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "yaml: "), "\n")
	fault.Problem = "is not YAML: " + first
	if m := syntaxPlace.FindStringSubmatch(first); m != nil {
		fault.Line, _ = strconv.Atoi(m[1])
		fault.Problem = "is not YAML: " + m[2]
	}
	return fault
}

// readSecret reads a password; an empty problem is none.
func readSecret(path string) (secret Secret, problem, remedy string) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "cannot be read: " + reason(err), "create the file with nothing but the password in it"
	}
	if info.IsDir() {
		return "", "is a directory", "name the file with the password in it"
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return "", fmt.Sprintf("is open to everyone on this host (mode %04o)", mode), "chmod o= " + path
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", "cannot be read: " + reason(err), "make it readable for the user the service runs as"
	}
	secret = Secret(strings.TrimRight(string(content), "\r\n"))
	switch {
	case secret == "":
		return "", "is empty", "put the password into it, or leave the key out where there is none"
	case strings.ContainsAny(string(secret), "\r\n"):
		return "", "has more than one line", "put nothing but the password into it"
	}
	return secret, "", ""
}

// reason is the error without the path, which the fault has already.
func reason(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
