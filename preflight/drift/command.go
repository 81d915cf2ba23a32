package drift

// What Redis was started with. It writes its title over its arguments
// (set-proc-title), but the room that they took stays as long as it was.

import (
	"bytes"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// What is known of the options that Redis was started with.
const (
	commandNone   = "none"   // there were none
	commandRead   = "read"   // they are known
	commandHidden = "hidden" // there were some, or may have been, and the title stands over them
	commandUnread = "unread" // nothing could be looked at
)

// readArgs takes the arguments of /proc/PID/cmdline apart. room is how long they
// were, 0 where only the text tells.
func (p *process) readArgs(text []byte, title bool, room int, executable, file string) {
	trimmed := bytes.TrimRight(text, "\x00")
	words := strings.Split(string(trimmed), "\x00")
	switch {
	case len(text) == 0: // it is gone
	case len(words) > 1 && !(title && words[1] == ""): // nothing of an option is empty but an empty value behind it
		p.args, p.command = words[1:], commandRead
		if len(words) == 2 && !strings.HasPrefix(words[1], "-") {
			p.command = commandNone
		}
	case !title:
		p.args, p.command = []string{}, commandNone
	default:
		p.command, p.room = commandHidden, room
		if room == 0 {
			// A title that is longer than the arguments were has taken the room of
			// the environment too, and ends with one NUL.
			if room = len(text); len(text)-len(trimmed) > 1 {
				p.room = room
			}
		}
		if p.spare = roomForOptions(room, executable, file); p.spare < shortestOption {
			p.command, p.args = commandNone, []string{}
			if file != "" {
				p.args = []string{file}
			}
		}
	}
}

// shortestOption is "-" and its NUL: more of the file is read from standard
// input.
const shortestOption = 2

// roomForOptions is how much of a command line of at most that length may have
// been options. Redis makes the names of its program and its file absolute by
// the directory it was started in (getAbsolutePath, util.c), so each was written
// as it is shown, or as an end of that.
func roomForOptions(room int, executable, file string) (most int) {
	if executable == "" {
		return room
	}
	fits := false
	for _, program := range written(executable) {
		for _, name := range written(file) {
			if program.dir != "" && name.dir != "" && program.dir != name.dir {
				continue // there is one directory that it was started in
			}
			left := room - len(program.word) - 1
			if file != "" {
				left -= len(name.word) + 1
			}
			if left >= 0 {
				fits, most = true, max(most, left)
			}
		}
	}
	if !fits {
		return room // it was written in a way that is not thought of here
	}
	return most
}

// mayHave is whether there was room for an option that set a parameter of one of
// these names: two dashes, the name, a value and two NULs.
func (p *process) mayHave(names []string) bool {
	switch p.command {
	case commandUnread:
		return true
	case commandHidden:
		return slices.ContainsFunc(names, func(name string) bool {
			least := len("--") + len(name) + 1 + 1
			if name != "save" && !strings.HasPrefix(name, "user") { // the value of others is not empty
				least++
			}
			return least <= p.spare
		})
	}
	return false
}

// spelling is how a path may have been written, from a directory (empty: any).
type spelling struct{ word, dir string }

func written(absolute string) []spelling {
	all := []spelling{{word: absolute}}
	for i := range absolute {
		if absolute[i] == '/' && i+1 < len(absolute) {
			all = append(all, spelling{word: absolute[i+1:], dir: path.Clean("/" + absolute[:i])})
		}
	}
	return all
}

// stat is the fields of /proc/PID/stat by their numbers in proc(5); nil: not
// read. The second, the name, is left out: it may hold anything.
func stat(proc string) []string {
	text, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return nil
	}
	return append([]string{"", "", ""}, strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))...)
}

const statParent, statArgStart, statArgEnd = 4, 48, 49

// argumentRoom is how long the arguments of a process were; 0: that may not be
// seen.
func argumentRoom(proc string) int {
	fields := stat(proc)
	if len(fields) <= statArgEnd {
		return 0
	}
	from, err := strconv.ParseUint(fields[statArgStart], 10, 64)
	to, err2 := strconv.ParseUint(fields[statArgEnd], 10, 64)
	if err != nil || err2 != nil || to <= from || to-from > 1<<21 {
		return 0
	}
	return int(to - from)
}

// parentArgs is what the parent of a process has on its own command line as what
// it starts (tini -- redis-server …), where that is of the very length that the
// arguments had. nil: it has nothing like it.
func parentArgs(proc string, room int, executable, file string) []string {
	fields := stat(proc)
	if len(fields) <= statParent || room == 0 {
		return nil
	}
	line, err := os.ReadFile("/proc/" + fields[statParent] + "/cmdline")
	if err != nil {
		return nil
	}
	line = bytes.TrimSuffix(line, []byte{0})
	if len(line)+1 <= room {
		return nil // itself the very same, or shorter
	}
	words := strings.Split(string(line[len(line)+1-room:]), "\x00")
	if line[len(line)-room] != 0 || !startsRedis(words, executable, file) {
		return nil
	}
	return words[1:]
}

// startsRedis is whether a command line is that of the Redis that says of itself
// which program and which file it was started with, with nothing in it that only
// a shell or systemd would put in.
func startsRedis(words []string, executable, file string) bool {
	if len(words) == 0 || path.Base(words[0]) != path.Base(executable) || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "$") }) {
		return false
	}
	if len(words) < 2 || strings.HasPrefix(words[1], "-") {
		return file == ""
	}
	return slices.ContainsFunc(written(file), func(s spelling) bool { return s.word == words[1] })
}
