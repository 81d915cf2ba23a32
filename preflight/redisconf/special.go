package redisconf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Parameters that have code of their own in the server. Functions named are of
// config.c.

// save is setConfigSaveOption: the first line drops the defaults, later ones
// add; but behind the end of an include every line starts anew, because that
// end clears reading_config_file. Before 7.0 a line is one pair, and what is
// neither that nor "" is passed over.
func (e *evaluation) save(p *Parameter, args []string) (string, error) {
	if e.build.older {
		return e.olderSave(args)
	}
	if len(args) == 1 && args[0] == "" {
		e.saves, args = nil, nil
	}
	pairs, err := savePoints(args)
	if err != nil {
		return "", err
	}
	switch {
	case !e.reading:
		e.saves = nil
	case !e.saveLoaded:
		e.saveLoaded, e.saves = true, nil
	}
	e.saves = append(e.saves, pairs...)
	return strings.Join(e.saves, " "), nil
}

func savePoints(args []string) ([]string, error) {
	invalid := errors.New("invalid save parameters")
	if len(args)%2 != 0 {
		return nil, invalid
	}
	var pairs []string
	for i, arg := range args {
		n, rest := cInteger(arg, 10)
		if rest != "" || n < 0 || i%2 == 0 && n < 1 {
			return nil, invalid
		}
		if i%2 == 1 {
			n = int64(int32(n)) // changes are an int
		}
		pairs = append(pairs, strconv.FormatInt(n, 10))
	}
	return pairs, nil
}

func (e *evaluation) olderSave(args []string) (string, error) {
	if e.build.nested && !e.saveLoaded {
		e.saveLoaded, e.saves = true, nil
	}
	switch {
	case len(args) == 1 && args[0] == "":
		e.saves = nil
	case len(args) == 2:
		seconds, _ := cInteger(args[0], 10)
		changes, _ := cInteger(args[1], 10)
		if int32(seconds) < 1 || int32(changes) < 0 {
			return "", errors.New("invalid save parameters")
		}
		e.saves = append(e.saves, fmt.Sprint(int32(seconds)), fmt.Sprint(int32(changes)))
	}
	return strings.Join(e.saves, " "), nil
}

// bind keeps what it is given; "" is no address at all.
func (e *evaluation) bind(args []string) (string, error) {
	if e.build.older && len(args) == 0 {
		return "", errArguments
	}
	if len(args) > 16 { // CONFIG_BINDADDR_MAX
		return "", errors.New("too many bind addresses specified")
	}
	return strings.Join(args, " "), nil
}

func replicaOf(args []string) (string, error) {
	if len(args) != 2 {
		return "", errArguments
	}
	if strings.EqualFold(args[0], "no") && strings.EqualFold(args[1], "one") {
		return "", nil
	}
	port, rest := cInteger(args[1], 10)
	if rest != "" || port < 0 || port > 65535 {
		return "", errors.New("invalid master port")
	}
	return args[0] + " " + strconv.FormatInt(port, 10), nil
}

func scores(args []string) (string, error) {
	if len(args) != 3 {
		return "", errArguments
	}
	shown := make([]string, 3)
	for i, arg := range args {
		n, rest := cInteger(arg, 10)
		if rest != "" || n < -2000 || n > 2000 {
			return "", errors.New("elements must be between -2000 and 2000")
		}
		shown[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(shown, " "), nil
}

func percentiles(args []string) (string, error) {
	if len(args) == 1 && args[0] == "" {
		return "", nil
	}
	shown := make([]string, len(args))
	for i, arg := range args {
		f, ok := real(arg)
		if !ok {
			return "", errors.New("invalid percentile")
		}
		if f < 0 || f > 100 {
			return "", errors.New("percentiles lie between 0 and 100")
		}
		text := strings.TrimRight(strconv.FormatFloat(f, 'f', 6, 64), "0")
		shown[i] = strings.TrimSuffix(text, ".")
	}
	return strings.Join(shown, " "), nil
}

// events is keyspaceEventsStringToFlags and back: the classes in their own
// order, A for all that it stands for. Behind an A the server does not print n.
func events(classes string, build *Build) (string, error) {
	all, extra := "g$lshzxetd", "n"
	if build.older {
		all, extra = "g$lshzxet", ""
		if build.nested {
			all = "g$lshzxetd"
		}
	}
	const others = "KEm"
	var given string
	for _, c := range []byte(classes) {
		switch {
		case c == 'A':
			given += all
		case strings.IndexByte(all+extra+others, c) >= 0:
			given += string(c)
		default:
			return "", errors.New("invalid event class character")
		}
	}
	pick := func(from string) (picked string) {
		for _, c := range from {
			if strings.ContainsRune(given, c) {
				picked += string(c)
			}
		}
		return picked
	}
	shown := pick(all)
	if shown == all {
		shown = "A"
	} else {
		shown += pick(extra)
	}
	return shown + pick(others), nil
}

// bufferLimits are client-output-buffer-limit by class.
type bufferLimits [3][3]string

// bufferClasses are the classes in their order, as the server prints them.
func bufferClasses() []string { return []string{"normal", "slave", "pubsub"} }

func (l *bufferLimits) String() string {
	var words []string
	for i, class := range bufferClasses() {
		words = append(words, class, l[i][0], l[i][1], l[i][2])
	}
	return strings.Join(words, " ")
}

// bufferLimit is updateClientOutputBufferLimit: a line changes the classes it
// names and leaves the others.
func (e *evaluation) bufferLimit(p *Parameter, args []string) (string, error) {
	if len(args)%4 != 0 || e.build.older && len(args) != 4 {
		return "", errArguments
	}
	if e.buffers == nil {
		e.buffers = &bufferLimits{}
		for i, word := range strings.Fields(p.Default) {
			if i/4 < len(e.buffers) && i%4 > 0 {
				e.buffers[i/4][i%4-1] = word
			}
		}
	}
	next := *e.buffers
	for group := range slices.Chunk(args, 4) {
		class := strings.ToLower(group[0])
		if class == "replica" {
			class = "slave"
		}
		i := slices.Index(bufferClasses(), class)
		if i < 0 {
			return "", errors.New("invalid client class")
		}
		limit, err := e.oneLimit(group[1:])
		if err != nil {
			return "", err
		}
		next[i] = limit
	}
	*e.buffers = next
	return next.String(), nil
}

func (e *evaluation) oneLimit(args []string) (limit [3]string, err error) {
	invalid := errors.New("error in hard, soft or soft_seconds setting")
	for i, arg := range args[:2] {
		n, err := memory(arg)
		if e.build.older {
			signed, _ := signedMemory(arg) // what is none counts as 0
			n, err = uint64(signed), nil
		}
		if err != nil {
			return limit, invalid
		}
		limit[i] = strconv.FormatUint(n, 10)
	}
	seconds, rest := cInteger(args[2], 10)
	if int32(seconds) < 0 || rest != "" && !e.build.older {
		return limit, invalid
	}
	limit[2] = strconv.FormatInt(int64(int32(seconds)), 10)
	return limit, nil
}
