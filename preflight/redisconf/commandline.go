package redisconf

import (
	"errors"
	"strings"
)

// ErrStandardInput says that a server read its configuration from its standard
// input: nobody can read that again.
var ErrStandardInput = errors.New("the configuration came from standard input")

// CommandLine is what the server makes of its arguments (without the program):
// the file, empty where there is none, and the text that it puts behind the
// file, a line an option (main, server.c).
func (b *Build) CommandLine(args []string) (file, options string, err error) {
	if len(args) > 0 && args[0] != "-" && !strings.HasPrefix(args[0], "--") {
		file, args = args[0], args[1:]
	}
	var text strings.Builder
	complete := true // the last option has a value
	for i, arg := range args {
		if arg == "-" && (i == 0 || i == len(args)-1) {
			return "", "", ErrStandardInput
		}
		if !strings.HasPrefix(arg, "--") || !complete && !b.older {
			text.WriteString(Quote(arg) + " ")
			complete = true
			continue
		}
		if text.Len() > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(arg[2:] + " ")
		words, _ := Split(arg)
		complete = len(words) != 1
		if complete || b.older || !strings.EqualFold(arg, "--save") {
			continue
		}
		// "--save --port 1" empties it, since 7.0.1.
		if last := i == len(args)-1; last || strings.HasPrefix(args[i+1], "--") {
			text.WriteString(`""`)
			complete = true
		}
	}
	return file, text.String(), nil
}
