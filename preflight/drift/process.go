package drift

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// process is what /proc shows of a Redis. What may not be seen stays zero.
type process struct {
	pid     int
	root    string      // prefix under which its files are seen; empty: our own
	chroot  string      // where its root is another directory than ours
	exe     string      // the program that runs, as seen in chroot; empty: not known
	runs    os.FileInfo // the program itself; nil: may not be looked at, or is no longer on disk
	gone    bool        // the running binary is no longer on disk
	args    []string    // without the program; nil: hidden or not read
	command string      // what is known of the options: see commandNone
	room    int         // how long the hidden arguments were; 0: not known exactly
	spare   int         // how much of that may have been options
	started string      // the directory it was started in; empty: not known
	files   uint64      // RLIMIT_NOFILE, soft; 0: not known
	owner   *syscall.Credential
}

const deletedMark = " (deleted)"

// lookAt reads what may be read of a process. title says whether the process
// writes its own title over its arguments. The number must have been verified:
// what INFO says may be anybody's.
func lookAt(pid int, info map[string]string, title bool) process {
	p := process{pid: pid, command: commandUnread}
	if pid <= 0 {
		return p
	}
	proc := "/proc/" + strconv.Itoa(pid)
	if link, err := os.Readlink(proc + "/root"); err == nil {
		p.root = proc + "/root"
		if link != "/" {
			p.chroot = link
		}
	}
	if exe, err := os.Readlink(proc + "/exe"); err == nil {
		exe, p.gone = strings.CutSuffix(exe, deletedMark)
		p.exe = "/" + strings.TrimPrefix(strings.TrimPrefix(exe, p.chroot), "/")
		if !p.gone {
			p.runs, _ = os.Stat(proc + "/exe") // an error says that it has ended meanwhile
		}
	}
	if text, err := os.ReadFile(proc + "/cmdline"); err == nil {
		p.readArgs(text, title, argumentRoom(proc), info["executable"], info["config_file"])
	}
	if p.command == commandHidden {
		if args := parentArgs(proc, p.room, info["executable"], info["config_file"]); args != nil {
			p.args, p.command = args, commandRead
		}
	}
	p.started = p.startDir(proc, info["config_file"])
	p.files = filesLimit(proc)
	p.owner = owner(proc)
	return p
}

// startDir is the directory the process was started in: what the absolute name
// Redis made of a relative one begins with, else what its shell or supervisor
// said.
func (p *process) startDir(proc, file string) string {
	if len(p.args) > 0 && !strings.HasPrefix(p.args[0], "-") && !path.IsAbs(p.args[0]) {
		if dir, ok := strings.CutSuffix(file, "/"+p.args[0]); ok {
			return dir
		}
	}
	environ, err := os.ReadFile(proc + "/environ")
	if err != nil {
		return ""
	}
	for word := range strings.SplitSeq(string(environ), "\x00") {
		if dir, ok := strings.CutPrefix(word, "PWD="); ok && path.IsAbs(dir) {
			return path.Clean(dir)
		}
	}
	return ""
}

func filesLimit(proc string) uint64 {
	text, err := os.ReadFile(proc + "/limits")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "Max open files")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return 0 // "unlimited": nothing is lowered
	}
	return n
}

// owner is whom the process runs as, where we are root and may become it: the
// shadow shall have no more rights than the original.
func owner(proc string) *syscall.Credential {
	if os.Geteuid() != 0 || !may(unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_CHOWN) {
		return nil
	}
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		return nil
	}
	ids := map[string]uint32{}
	for line := range strings.SplitSeq(string(text), "\n") {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if (name != "Uid" && name != "Gid") || len(fields) < 2 {
			continue
		}
		if n, err := strconv.ParseUint(fields[1], 10, 32); err == nil {
			ids[name] = uint32(n)
		}
	}
	uid, ok := ids["Uid"]
	gid, also := ids["Gid"]
	if !ok || !also || uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: uid, Gid: gid}
}

// may says whether all these capabilities are in force.
func may(wanted ...int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	for _, c := range wanted {
		if data[c/32].Effective&(1<<(c%32)) == 0 {
			return false
		}
	}
	return true
}

// files are a Redis' files as it sees them itself.
type files struct {
	root   string // see process
	prefix string // of what the kernel calls a file in there
}

// viewOf is what a process sees; 0: what we see.
func viewOf(pid int) files {
	f := files{}
	if pid <= 0 {
		return f
	}
	root := "/proc/" + strconv.Itoa(pid) + "/root"
	if link, err := os.Readlink(root); err == nil {
		if f.root = root; link != "/" {
			f.prefix = link
		}
	}
	return f
}

// Files are those of a process on this host as it sees them itself, whatever its
// root and its mounts, and the directory that it was started in; empty: not known.
func Files(pid int) (src redisconf.Source, started string) {
	p := lookAt(pid, nil, false)
	return viewOf(pid), p.started
}

// Stat is that of a file of a process, or of our own with pid 0.
func Stat(pid int, file string) (os.FileInfo, error) {
	f, err := viewOf(pid).open(file, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// maxFile bounds one file: a redis.conf is 100 kB with all its comments.
const maxFile = 4 << 20

var errNotFile = errors.New("not a regular file")

func (f files) open(name string, flags int) (*os.File, error) {
	if flags |= unix.O_CLOEXEC; flags&unix.O_PATH == 0 {
		flags |= unix.O_NONBLOCK // a pipe would hold us up
	}
	if f.root == "" {
		return os.OpenFile(name, flags, 0)
	}
	root, err := os.OpenFile(f.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_IN_ROOT})
	if errors.Is(err, unix.ENOSYS) {
		return os.OpenFile(filepath.Join(f.root, name), flags, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// reason is an error without what the caller says anyway.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (f files) Read(name string) ([]byte, error) {
	text, _, err := f.read(name)
	return text, err
}

func (f files) read(name string) ([]byte, os.FileInfo, error) {
	file, err := f.open(name, os.O_RDONLY)
	if err != nil {
		return nil, nil, reason(err)
	}
	defer file.Close()
	stat, err := file.Stat()
	switch {
	case err != nil:
		return nil, nil, reason(err)
	case stat.IsDir():
		return nil, nil, redisconf.ErrDirectory
	case !stat.Mode().IsRegular() && name != os.DevNull:
		return nil, nil, errNotFile
	case stat.Size() > maxFile:
		return nil, nil, fmt.Errorf("%d bytes, a configuration has less than %d", stat.Size(), maxFile)
	}
	text := make([]byte, 0, stat.Size()+512)
	buffer := bytes.NewBuffer(text)
	if _, err := buffer.ReadFrom(file); err != nil {
		return nil, nil, reason(err)
	}
	return buffer.Bytes(), stat, nil
}

func (f files) List(dir string) ([]string, error) {
	file, err := f.open(dir, os.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, reason(err)
	}
	defer file.Close()
	return file.Readdirnames(-1)
}

func (f files) Exists(name string) bool {
	file, err := f.open(name, unix.O_PATH)
	if err != nil {
		return false
	}
	file.Close()
	return true
}

func (f files) Directory(name string) (string, error) {
	file, err := f.open(name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", reason(err)
	}
	defer file.Close()
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		return "", reason(err)
	}
	return "/" + strings.TrimPrefix(strings.TrimPrefix(real, f.prefix), "/"), nil
}
