package redisconf

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// errArguments is what the server says of the wrong number of arguments.
var errArguments = errors.New("wrong number of arguments")

// several says whether a parameter takes more than one argument.
func (e *evaluation) several(k Kind) bool {
	switch k {
	case Bind, Buffers, Percentiles, ReplicaOf, Save, Scores, Flags:
		return true
	}
	return false
}

// read turns the arguments of a parameter into its value as CONFIG GET prints
// it. No error holds an argument.
func (e *evaluation) read(p *Parameter, args []string) (string, error) {
	if !e.several(p.Kind) {
		if len(args) != 1 {
			return "", errArguments
		}
		return e.single(p, args[0])
	}
	if len(args) == 1 && args[0] != "" && !e.build.older {
		// One word for all: split again; what cannot be is no argument at all.
		args, _ = Split(args[0])
	}
	switch p.Kind {
	case Bind:
		return e.bind(args)
	case Buffers:
		return e.bufferLimit(p, args)
	case Percentiles:
		return percentiles(args)
	case ReplicaOf:
		return replicaOf(args)
	case Save:
		return e.save(p, args)
	case Scores:
		return scores(args)
	default:
		return flags(p, args)
	}
}

func (e *evaluation) single(p *Parameter, arg string) (string, error) {
	c, _, _ := strings.Cut(arg, "\x00") // as C sees it
	switch p.Kind {
	case Bool:
		if c = strings.ToLower(c); c != "yes" && c != "no" {
			return "", errors.New("argument must be 'yes' or 'no'")
		}
		return c, nil
	case Enum:
		return enum(p, c)
	case Integer:
		return number(p, arg)
	case Memory, Percent:
		return e.bytes(p, arg)
	case LooseMemory:
		n, err := signedMemory(c)
		if err != nil {
			n = 0
		}
		return strconv.FormatUint(uint64(n), 10), nil
	case Octal, LooseOctal:
		return octal(p, c)
	case Text:
		return c, valid(p.Name, c, e.build)
	case Bytes:
		return arg, valid(p.Name, arg, e.build)
	case Dir:
		return e.dir(c)
	case Events:
		return events(c, e.build)
	}
	return "", fmt.Errorf("kind %q of the table is not known", p.Kind)
}

func enum(p *Parameter, word string) (string, error) {
	var words []string
	for _, detail := range p.Detail {
		name, shown, other := strings.Cut(detail, ">")
		words = append(words, name)
		if !strings.EqualFold(name, word) {
			continue
		}
		if !other {
			shown = name
		}
		return shown, nil
	}
	return "", fmt.Errorf("argument must be one of %s", strings.Join(words, ", "))
}

// flags joins words that are bits, in the order of the table; the first word
// stands for none.
func flags(p *Parameter, args []string) (string, error) {
	var given []string
	for _, arg := range args {
		i := slices.IndexFunc(p.Detail, func(word string) bool { return strings.EqualFold(word, arg) })
		if i < 0 {
			return "", fmt.Errorf("argument(s) must be among %s", strings.Join(p.Detail, ", "))
		}
		given = append(given, p.Detail[i])
	}
	if len(given) == 0 {
		return "", fmt.Errorf("argument(s) must be among %s", strings.Join(p.Detail, ", "))
	}
	if slices.Contains(given, "save") && slices.Contains(given, "nosave") {
		return "", errors.New("save and nosave exclude each other")
	}
	var shown []string
	for _, word := range p.Detail[1:] {
		if slices.Contains(given, word) {
			shown = append(shown, word)
		}
	}
	if len(shown) == 0 {
		return p.Detail[0], nil
	}
	return strings.Join(shown, " "), nil
}

// limits are the least and the most of a table's number, unsigned where the
// most does not fit otherwise.
func limits(p *Parameter) (least int64, most uint64, err error) {
	if len(p.Detail) != 2 {
		return 0, 0, errors.New("the table has no limits for it")
	}
	least, err = strconv.ParseInt(p.Detail[0], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("the table's limits: %w", err)
	}
	if strings.HasPrefix(p.Detail[1], "-") {
		return 0, 0, errors.New("the table's most is below 0")
	}
	if most, err = strconv.ParseUint(p.Detail[1], 10, 64); err != nil {
		return 0, 0, fmt.Errorf("the table's limits: %w", err)
	}
	return least, most, nil
}

func outside(p *Parameter) error {
	return fmt.Errorf("argument must be between %s and %s inclusive", p.Detail[0], p.Detail[1])
}

func number(p *Parameter, arg string) (string, error) {
	n, err := integer(arg)
	if err != nil {
		return "", err
	}
	least, most, err := limits(p)
	if err != nil {
		return "", err
	}
	if n < least || n > 0 && uint64(n) > most {
		return "", outside(p)
	}
	return strconv.FormatInt(n, 10), nil
}

// bytes is a memory value, or a percentage, which the server keeps as a
// negative number: a memory value of 2^64 - 5 is five percent to it.
func (e *evaluation) bytes(p *Parameter, arg string) (string, error) {
	n, err := memory(arg)
	if e.build.older {
		signed, e := signedMemory(arg)
		n, err = uint64(signed), e
		if err == nil && signed < 0 {
			err = errNotMemory
		}
	}
	percent := false
	if p.Kind == Percent {
		if rest, ok := strings.CutSuffix(arg, "%"); ok && err != nil {
			var share int64
			if share, err = integer(rest); err == nil && share < 0 {
				err = errNotInteger
			}
			n = uint64(-share)
		}
		percent = int64(n) < 0
	}
	if err != nil {
		return "", err
	}
	least, most, err := limits(p)
	if err != nil {
		return "", err
	}
	if percent {
		if int64(n) < least {
			return "", fmt.Errorf("percentage argument must be less or equal to %d", -least)
		}
		return strconv.FormatInt(-int64(n), 10) + "%", nil
	}
	if n > most || least > 0 && n < uint64(least) {
		return "", outside(p)
	}
	return strconv.FormatUint(n, 10), nil
}

func octal(p *Parameter, arg string) (string, error) {
	n, rest := cInteger(arg, 8)
	if p.Kind == Octal && rest != "" || n == math.MaxInt64 || n == math.MinInt64 {
		return "", errors.New("argument couldn't be parsed as an octal number")
	}
	if n < 0 || n > 0o777 {
		return "", errors.New("argument must be between 0 and 777 inclusive")
	}
	return strconv.FormatInt(n, 8), nil
}

// dir changes the working directory, as the server does on the spot: a relative
// include behind it is looked for there.
func (e *evaluation) dir(name string) (string, error) {
	if !path.IsAbs(name) {
		if e.config.Dir == "" {
			return "", errors.New("a relative name, and the directory the server is started in is not known")
		}
		if name == "" {
			return "", errors.New("no such directory")
		}
		name = path.Join(e.config.Dir, name)
	}
	real, err := e.src.Directory(name)
	if err != nil {
		return "", err
	}
	e.config.Dir = real
	return real, nil
}

// valid is what the server asks of some of its texts.
func valid(name, text string, build *Build) error {
	switch name {
	case "dbfilename", "appendfilename", "appenddirname":
		if strings.ContainsAny(text, `/\`) {
			return errors.New("it can't be a path, just a name")
		}
		if text == "" && !build.older && (name != "dbfilename" || build.Product == "valkey") {
			return errors.New("it can't be empty")
		}
	case "cluster-config-file":
		if text == "" && build.Product == "valkey" {
			return errors.New("it can't be empty")
		}
	case "requirepass":
		if build.older && len(text) > 512 {
			return errors.New("password is longer than 512 bytes")
		}
	case "cluster-announce-hostname":
		if len(text) >= 256 {
			return errors.New("hostnames must be less than 256 characters")
		}
		if strings.ContainsFunc(text, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
		}) {
			return errors.New("hostnames may only contain alphanumeric characters, hyphens or dots")
		}
	case "proc-title-template":
		return validTitle(text)
	}
	return nil
}

// validTitle is validateProcTitleTemplate (server.c): every {word} known, {{ for
// a bracket, and something left.
func validTitle(text string) error {
	words := []string{"title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"}
	errTemplate := errors.New("template format is invalid or contains unknown variables")
	if strings.Trim(text, " ") == "" {
		return errTemplate
	}
	for rest := text; ; {
		_, after, open := strings.Cut(rest, "{")
		if !open {
			return nil
		}
		if strings.HasPrefix(after, "{") {
			rest = after[1:]
			continue
		}
		word, behind, closed := strings.Cut(after, "}")
		if !closed || !slices.Contains(words, word) {
			return errTemplate
		}
		rest = behind
	}
}
