package drift

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CONFIG REWRITE writes a new file beside the old one and puts it in its place
// (rewriteConfigOverwriteFile, config.c, since 6.0.9): it needs the directory,
// not the file. Nobody is told when Sentinel's fails.

// denied is why the Redis may not put another file in the place of its own;
// empty: nothing was found that speaks against it. What may not be seen from
// here speaks against nothing.
func (r *reader) denied() string {
	if r.build.Inplace(r.version) {
		return ""
	}
	return r.files.denied(r.process.pid, r.d.File)
}

// Denied is why a process, a Redis or a Sentinel of 6.0.9 or later, may not put
// another file in the place of its configuration; empty: nothing was found that
// speaks against it.
func Denied(pid int, file string) string {
	return viewOf(pid).denied(pid, file)
}

func (f files) denied(pid int, file string) string {
	if pid <= 0 {
		return ""
	}
	proc := "/proc/" + strconv.Itoa(pid)
	// Redis goes by the name it was given, whatever links are in its directory.
	dir, err := f.Directory(path.Dir(file))
	if err != nil {
		return ""
	}
	file = path.Join(dir, path.Base(file))
	if text, err := os.ReadFile(proc + "/mountinfo"); err == nil {
		if why := mountDenies(text, file); why != "" {
			return why
		}
	}
	who, err := actorOf(proc)
	if err != nil {
		return ""
	}
	return f.directoryDenies(who, dir, file)
}

// mountDenies reads /proc/PID/mountinfo (proc_pid_mountinfo(5)): the mount with
// the longest name that holds the file is the one that counts, the last of them
// where several lie over each other.
func mountDenies(mountinfo []byte, file string) string {
	point, readOnly := "", false
	for lines := bufio.NewScanner(bytes.NewReader(mountinfo)); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(super) < 3 {
			continue
		}
		at := unescape(fields[4])
		if len(at) < len(point) || at != "/" && at != file && !strings.HasPrefix(file, at+"/") {
			continue
		}
		point = at
		readOnly = option(fields[5], "ro") || option(super[2], "ro")
	}
	switch {
	case point == file:
		return file + " is a mount of its own (a bind mount, as of a container): no other file can be put in its place"
	case readOnly:
		return point + " is mounted read-only for Redis"
	}
	return ""
}

func option(options, name string) bool { return strings.Contains(","+options+",", ","+name+",") }

// unescape takes the octal escapes of mountinfo back.
func unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}

// actor is whom a process acts as, toward files.
type actor struct {
	uid    uint64
	groups []uint64 // its own first
	caps   uint64   // in force
}

func (a actor) may(capability int) bool { return a.caps&(1<<capability) != 0 }

func actorOf(proc string) (a actor, err error) {
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		return a, err
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		switch {
		case name == "Uid" && len(fields) == 4:
			a.uid, err = strconv.ParseUint(fields[3], 10, 32)
		case name == "Gid" && len(fields) == 4:
			fields = fields[3:]
			fallthrough
		case name == "Groups":
			for _, f := range fields {
				g, e := strconv.ParseUint(f, 10, 32)
				err = errors.Join(err, e)
				a.groups = append(a.groups, g)
			}
		case name == "CapEff" && len(fields) == 1:
			a.caps, err = strconv.ParseUint(fields[0], 16, 64)
		default:
			continue
		}
		if found++; err != nil {
			return a, fmt.Errorf("read %s/status: %w", proc, err)
		}
	}
	if found < 4 {
		return a, fmt.Errorf("read %s/status: not all of Uid, Gid, Groups and CapEff are there", proc)
	}
	return a, nil
}

// directoryDenies is what the directory's mode, its sticky bit and chattr(1)
// say. An access control list may give more than the mode: with one, or with a
// capability, the mode denies nothing.
func (f files) directoryDenies(who actor, dir, file string) string {
	d, err := f.status(dir)
	if err != nil {
		return ""
	}
	own, err := f.status(file)
	switch {
	case d.immutable || err == nil && own.immutable:
		return "it or its directory is immutable (chattr +i)"
	case !who.may(unix.CAP_DAC_OVERRIDE) && !d.acl && !d.writable(who):
		return fmt.Sprintf("its directory %s belongs to %d:%d with mode %04o, and Redis runs as %d: it may not write there", dir, d.uid, d.gid, d.mode&0o7777, who.uid)
	case d.mode&unix.S_ISVTX != 0 && err == nil && own.uid != who.uid && d.uid != who.uid && !who.may(unix.CAP_FOWNER):
		return fmt.Sprintf("its directory %s is sticky, and the file belongs to %d, not to Redis (%d)", dir, own.uid, who.uid)
	}
	return ""
}

// status is what statx(2) says of a file.
type status struct {
	uid, gid  uint64
	mode      uint32
	immutable bool
	acl       bool // it has an access control list
}

// writable is whether one may make and remove names in a directory of it.
func (s status) writable(who actor) bool {
	shift := 0
	if s.uid == who.uid {
		shift = 6
	} else {
		for _, g := range who.groups {
			if g == s.gid {
				shift = 3
			}
		}
	}
	return s.mode>>shift&0o3 == 0o3
}

func (f files) status(name string) (s status, err error) {
	file, err := f.open(name, unix.O_PATH|unix.O_NOFOLLOW) // a link is replaced itself
	if err != nil {
		return s, reason(err)
	}
	defer file.Close()
	var x unix.Statx_t
	if err := unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &x); err != nil {
		return s, err
	}
	s = status{uid: uint64(x.Uid), gid: uint64(x.Gid), mode: uint32(x.Mode), immutable: x.Attributes&unix.STATX_ATTR_IMMUTABLE != 0}
	// A size, ENODATA, or no word at all: only the first is a list.
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), "system.posix_acl_access", nil)
	s.acl = err == nil && n > 0
	return s, nil
}
