package drift

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// plain starts the server at hand on a small file.
func plain(t testing.TB, lines string, args ...string) *running {
	t.Helper()
	r := local().prepare(t)
	r.write("redis.conf", "port 0\nunixsocket "+r.dir+"/s\ndir "+r.dir+"\n"+lines+"\n")
	r.mustStart("", append([]string{r.dir + "/redis.conf"}, args...)...)
	return r
}

func TestAFileThatCannotBeReadIsAProblem(t *testing.T) {
	r := plain(t, "")
	options := r.options(true)
	file := filepath.Join(r.outside, "redis.conf")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func() error
		want  string
	}{
		"rubbish":   {func() error { return os.WriteFile(file, []byte{0, 1, 2, 0xff, '\n', 0}, 0o600) }, "NUL bytes"},
		"no text":   {func() error { return os.WriteFile(file, []byte("\xff\xfe\x80 \x81\n"), 0o600) }, "bad directive"},
		"not there": {func() error { return os.Remove(file) }, "is not there"},
		"directory": {func() error { return os.Mkdir(file, 0o700) }, "is a directory"},
		"pipe":      {func() error { return syscall.Mkfifo(file, 0o600) }, "not a regular file"},
		"too large": {func() error { return os.WriteFile(file, make([]byte, maxFile+1), 0o600) }, "bytes, a configuration has less"},
		"would not start": {func() error { return os.WriteFile(file, append(good, "maxmemory lots\n"...), 0o600) },
			"redis.conf:5: maxmemory: argument must be a memory value"},
		"only the server knows": {func() error { return os.WriteFile(file, append(good, "user x nonsense\n"...), 0o600) },
			"redis.conf:5: Error in user declaration"},
	} {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if name == "not there" {
			if err := os.WriteFile(file, good, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		d := Read(t.Context(), options)
		if !strings.Contains(d.Problem, c.want) || len(d.FileConfig) > 0 {
			t.Errorf("%s: got problem %q, want %q in it", name, d.Problem, c.want)
		}
	}
	for name, change := range map[string]func(*Options){
		"nothing read":  func(o *Options) { o.Running = nil },
		"no version":    func(o *Options) { o.Info = map[string]string{} },
		"another file":  func(o *Options) { o.File = "/etc/redis/other.conf" },
		"another brand": func(o *Options) { o.Info = map[string]string{"valkey_version": ""} },
	} {
		o := options
		change(&o)
		if d := Read(t.Context(), o); d.Problem == "" {
			t.Errorf("%s: no problem", name)
		}
	}
}

func TestOptionsOnTheCommandLineWin(t *testing.T) {
	r := plain(t, "set-proc-title no\nhz 20\n", "--hz", "30", "--maxmemory 5mb", "--save", "7 7")
	for method, shadow := range methods() {
		d := Read(t.Context(), r.options(shadow))
		clean(t, d, method)
		if d.CommandLine != "read" || d.FileConfig["hz"] != "30" || d.FileConfig["maxmemory"] != "5242880" || d.FileConfig["save"] != "7 7" {
			t.Errorf("%s: got %s, %v", method, d.CommandLine, d.FileConfig)
		}
	}
}

// What an option that nobody sees may have set is unknown, not drift, and so is
// what a restart gives. Whoever says what Redis is started with makes it known:
// the operator, or its service.
func TestHiddenOptionsAreUnknown(t *testing.T) {
	hidden := plain(t, "hz 20\n", "--hz", "30", "--databases", "3")
	hidden.ConfigSet(t.Context(), "timeout", "7") // which nobody can tell from one of them
	args := []string{hidden.dir + "/redis.conf", "--hz", "30", "--databases", "3"}
	for method, shadow := range methods() {
		o := hidden.options(shadow)
		o.CommandLine = nil
		d := Read(t.Context(), o)
		var unknown []string
		for _, p := range d.Unknown {
			if unknown = append(unknown, p.Name); !strings.Contains(p.Why, "options that its title hides") || p.File != "" {
				t.Errorf("%s: %+v", method, p)
			}
			if v, known := d.FileConfig[p.Name]; known {
				t.Errorf("%s: a restart is said to give %s %s", method, p.Name, v)
			}
		}
		if d.CommandLine != "hidden" || len(d.Drifted) != 0 || !slices.Equal(unknown, []string{"databases", "hz", "timeout"}) {
			t.Errorf("%s: got %q, drifted %v, unknown %v", method, d.CommandLine, d.Drifted, unknown)
		}
		for what, known := range map[string]Options{
			"the operator": {CommandLine: args},
			"its service":  {Service: append([]string{local().binary}, args...)},
		} {
			o.CommandLine, o.Service = known.CommandLine, known.Service
			d := Read(t.Context(), o)
			if d.CommandLine != "read" || len(d.Drifted) != 1 || d.Drifted[0].Name != "timeout" || len(d.Unknown) != 0 || d.FileConfig["databases"] != "3" {
				t.Errorf("%s, by %s: got %q, drifted %v, unknown %v", method, what, d.CommandLine, d.Drifted, d.Unknown)
			}
		}
		// A service that starts something else tells nothing.
		for _, words := range [][]string{
			{"/usr/local/bin/start-redis"}, {local().binary, "/etc/redis/other.conf"}, {local().binary, args[0], "$OPTIONS"}, {local().binary, "--hz", "30"}, {},
		} {
			o.CommandLine, o.Service = nil, words
			if d := Read(t.Context(), o); d.CommandLine != "hidden" {
				t.Errorf("%s: %v was believed", method, words)
			}
		}
	}
}

// A title hides that there were no options, too; how long the arguments were
// tells.
func TestNoOptionsAreSeenBeneathATitle(t *testing.T) {
	r := local().prepare(t)
	r.write("redis.conf", "port 0\nunixsocket "+r.dir+"/s\ndir "+r.dir+"\n")
	for _, args := range [][]string{{r.dir + "/redis.conf"}, {"redis.conf"}, {"./redis.conf"}} {
		r.mustStart("", args...)
		r.set("client-output-buffer-limit", "pubsub 1mb 1mb 1") // for which there is no room even where the paths were shorter
		r.set("hz", "11")
		o := r.options(false)
		o.CommandLine = nil
		d := Read(t.Context(), o)
		none, both := args[0] == "redis.conf", !strings.HasPrefix(args[0], "/")
		if len(d.Drifted) == 0 || d.Drifted[0].Name != "client-output-buffer-limit" || (d.CommandLine == "none") != none || (len(d.Drifted) == 2) != both {
			t.Errorf("%v: got %q, drifted %v, unknown %v", args, d.CommandLine, d.Drifted, d.Unknown)
		}
		r.stop()
	}
	// A parent that names what it starts, as a small init of a container does.
	args := []string{r.dir + "/redis.conf", "--hz", "30"}
	if err := r.startUnder([]string{"sh", "-c", `"$@"; :`, "sh"}, "", args...); err != nil {
		t.Fatal(err)
	}
	o := r.options(false)
	o.CommandLine = nil
	d := Read(t.Context(), o)
	r.ShutdownNoSave(t.Context())
	if d.CommandLine != "read" || len(d.Drifted)+len(d.Unknown) != 0 || d.FileConfig["hz"] != "30" {
		t.Errorf("beneath a parent: got %q, drifted %v, unknown %v", d.CommandLine, d.Drifted, d.Unknown)
	}
}

func TestRoomForOptionsIsTheMostThereMayHaveBeen(t *testing.T) {
	for _, c := range []struct {
		written, executable, file string
		want                      int
	}{
		{"redis-server redis.conf", "/srv/redis-server", "/srv/redis.conf", 0},
		{"redis-server", "/data/redis-server", "", 0},
		{"redis-server redis.conf -", "/srv/redis-server", "/srv/redis.conf", 2},
		{"redis-server redis.conf --hz 5", "/srv/redis-server", "/srv/redis.conf", 7},
		{"redis-server --hz 5", "/srv/redis-server", "", 7},
		// It may as well have been started in the directory of one of the two.
		{"/usr/bin/redis-server /etc/redis/redis.conf", "/usr/bin/redis-server", "/etc/redis/redis.conf", len("/etc/redis/")},
		{"redis-server /etc/redis/redis.conf", "/root/redis-server", "/etc/redis/redis.conf", len("/etc/redis/") - len("/root/")},
		{"redis-server ./redis.conf", "/srv/redis-server", "/srv/./redis.conf", 2},
		{"redis-server", "", "", len("redis-server") + 1},
		{"r", "/srv/redis-server", "", 2},
	} {
		if got := roomForOptions(len(c.written)+1, c.executable, c.file); got != c.want {
			t.Errorf("%q, of %s and %s: %d, want %d", c.written, c.executable, c.file, got, c.want)
		}
	}
	p := process{command: commandHidden, spare: 11}
	for name, want := range map[string]bool{"hz": true, "save": true, "dir": true, "maxmemory": false, "timeout": false} {
		if got := p.mayHave([]string{name}); got != want {
			t.Errorf("%d bytes may have set %s: %v", p.spare, name, got)
		}
	}
	if !p.mayHave([]string{"replica-priority", "x"}) {
		t.Error("an alias is not thought of")
	}
}

func TestReadArgsTellsATitleFromArguments(t *testing.T) {
	for _, c := range []struct {
		text    string
		title   bool
		room    int
		command string
		args    []string
	}{
		{"redis-server\x00/etc/r.conf\x00--hz\x005\x00", true, 0, "read", []string{"/etc/r.conf", "--hz", "5"}},
		{"redis-server\x00/etc/r.conf\x00", false, 0, "none", []string{"/etc/r.conf"}},
		{"redis-server\x00--save\x00\x00--hz\x005\x00", false, 0, "read", []string{"--save", "", "--hz", "5"}},
		{"redis-server *:6379\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", true, 0, "hidden", nil},
		{"redis-server *:6379\x00\x00", true, 20, "none", []string{"/etc/r.conf"}},
		{"redis-server *:6379\x00", true, 0, "none", []string{"/etc/r.conf"}},
		{"redis-server *:6379\x00\x00\x00--hz\x005\x00", true, 0, "hidden", nil}, // a long line is not overwritten to its end
		{"redis-server 10.77.0.1:6379\x00", true, 0, "hidden", nil},
		{"", true, 0, "unread", nil}, // a kernel's, or one that is gone
	} {
		p := process{command: commandUnread}
		p.readArgs([]byte(c.text), c.title, c.room, "/etc/redis-server", "/etc/r.conf")
		if p.command != c.command || !slices.Equal(p.args, c.args) {
			t.Errorf("%q: got %s %q, want %s %q", c.text, p.command, p.args, c.command, c.args)
		}
	}
}

// How they add up depends on the file they stand in, and the shadow is started
// on one that has all.
func TestSavePointsOfAnIncludeAreNoDrift(t *testing.T) {
	r := local().prepare(t)
	r.write("a.conf", "save 300 10\n")
	r.write("b.conf", "save 900 1\n")
	r.write("redis.conf", "port 0\nunixsocket "+r.dir+"/s\ndir "+r.dir+"\ninclude "+r.dir+"/a.conf\nsave 60 1\ninclude "+r.dir+"/b.conf\n")
	r.mustStart("", r.dir+"/redis.conf")
	if got := r.config()["save"]; got != "60 1 900 1" {
		t.Fatalf("save is %s", got)
	}
	for method, shadow := range methods() {
		clean(t, Read(t.Context(), r.options(shadow)), method)
	}
}

func TestWithoutAFileTheDefaultsCount(t *testing.T) {
	r := local().prepare(t)
	r.mustStart("", "--port", "0", "--unixsocket", r.dir+"/s", "--set-proc-title", "no", "--maxmemory", "1gb")
	for method, shadow := range methods() {
		d := Read(t.Context(), r.options(shadow))
		clean(t, d, method)
		if d.File != "" || d.FileConfig["maxmemory"] != "1073741824" {
			t.Errorf("%s: got file %q, %v", method, d.File, d.FileConfig["maxmemory"])
		}
	}
	r.set("hz", "50")
	if d := Read(t.Context(), r.options(false)); len(d.Drifted) != 1 || d.Drifted[0].Where != "default of 7.0.15" {
		t.Errorf("got %v", d.Drifted)
	}
}

func TestAVersionWithoutATableIsUnknownUntilAShadowIsAllowed(t *testing.T) {
	r := plain(t, "maxmemory 1gb\n")
	r.set("maxmemory", "2gb")
	r.set("hz", "50")
	o := r.options(false)
	o.Info = maps.Clone(o.Info)
	o.Info["redis_version"] = "7.2.4"
	d := Read(t.Context(), o)
	unknown := slices.IndexFunc(d.Unknown, func(p preflight.Parameter) bool { return p.Name == "hz" && p.Why != "" })
	if len(d.Drifted) != 1 || d.Drifted[0].Name != "maxmemory" || unknown < 0 || len(d.Unknown) < 100 {
		t.Errorf("table: got drifted %v, %d unknown", d.Drifted, len(d.Unknown))
	}
	o.Shadow = true
	if d = Read(t.Context(), o); len(d.Drifted) != 2 || len(d.Unknown) != 0 || d.Method != "shadow" {
		t.Errorf("shadow: got %s, drifted %v, unknown %v", d.Method, d.Drifted, d.Unknown)
	}
}

func TestAShadowThatCannotRunFallsBackToTheTable(t *testing.T) {
	r := plain(t, "maxmemory 1gb\n")
	o := r.options(true)
	o.Temporary = "/nowhere"
	d := Read(t.Context(), o)
	if d.Method != "table" || d.Problem != "" || !slices.ContainsFunc(d.Notes, func(n string) bool { return strings.HasPrefix(n, "no shadow run: ") }) {
		t.Errorf("got %s, %q, %v", d.Method, d.Problem, d.Notes)
	}
}

func TestMaxclientsLoweredByTheLimitOfFilesIsNoDrift(t *testing.T) {
	r := local().prepare(t)
	r.write("redis.conf", "port 0\nunixsocket "+r.dir+"/s\ndir "+r.dir+"\nmaxclients 3000\n")
	r.target.binary = "/bin/sh"
	r.mustStart("", "-c", "ulimit -n 1024; exec /usr/bin/redis-server "+r.dir+"/redis.conf")
	if got := r.config()["maxclients"]; got != "992" {
		t.Fatalf("maxclients is %s", got)
	}
	for method, shadow := range methods() {
		d := Read(t.Context(), r.options(shadow))
		clean(t, d, method)
		if len(d.Allowed) != 1 || d.Allowed[0].Name != "maxclients" || d.Allowed[0].Why == "" {
			t.Errorf("%s: allowed: got %v", method, d.Allowed)
		}
	}
	r.set("maxclients", "500")
	o := r.options(false)
	o.CommandLine = []string{r.dir + "/redis.conf"}
	if d := Read(t.Context(), o); len(d.Drifted) != 1 {
		t.Errorf("set at run time: got %v", d.Drifted)
	}
}

func TestIgnoredParametersAreAllowed(t *testing.T) {
	r := plain(t, "")
	r.set("hash-max-listpack-entries", "7")
	r.set("loglevel", "debug")
	o := r.options(false)
	o.Ignore = []string{"hash-max-ziplist-*", "LogLevel"} // an older name counts too
	d := Read(t.Context(), o)
	if len(d.Drifted) != 0 || len(d.Allowed) != 2 {
		t.Errorf("got drifted %v, allowed %v", d.Drifted, d.Allowed)
	}
}

// A user that may not look into /proc, as the service may not, still compares:
// by the binary that INFO names.
func TestAnotherUserReadsItToo(t *testing.T) {
	r := plain(t, "maxmemory 1gb\n")
	need.Root(t)
	for _, name := range []string{r.outside, filepath.Join(r.outside, "redis.conf")} {
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.set("maxmemory-eviction-tenacity", "20") // for an option of that name there was no room
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(r.outside, "test")
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(r.outside, "s"), 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied, "-test.run=^TestHelperReads$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = []string{"DRIFT_SOCKET=" + r.dir + "/s", "DRIFT_PID=" + strconv.Itoa(r.cmd.Process.Pid), "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "method shadow drifted [maxmemory-eviction-tenacity]") {
		t.Errorf("got %v: %s", err, out)
	}
}

// TestHelperReads is the other half of TestAnotherUserReadsItToo: it runs as
// nobody, and does nothing elsewhere.
func TestHelperReads(t *testing.T) {
	socket := os.Getenv("DRIFT_SOCKET")
	if socket == "" {
		return
	}
	r := &running{t: t}
	r.Client = clientOf(socket, "")
	defer r.Client.Close()
	pid, err := strconv.Atoi(os.Getenv("DRIFT_PID"))
	if err != nil {
		t.Fatal(err)
	}
	info := r.info()
	info["process_id"] = ""
	d := Read(t.Context(), Options{Running: r.config(), Info: info, Users: r.users(), Shadow: true, PID: pid})
	var names []string
	for _, p := range d.Drifted {
		names = append(names, p.Name)
	}
	t.Logf("method %s drifted %v problem %q unknown %v notes %v", d.Method, names, d.Problem, d.Unknown, d.Notes)
}

func BenchmarkReadByTable(b *testing.B) {
	r := local().prepare(b)
	r.writeRich()
	r.mustStart(richPassword, r.dir+"/redis.conf")
	o := r.options(false)
	b.ReportMetric(float64(len(o.Running)), "parameters")
	for b.Loop() {
		if d := Read(b.Context(), o); d.Problem != "" || len(d.Drifted) > 0 {
			b.Fatal(d.Problem, d.Drifted)
		}
	}
}
