package redisconf

import (
	"errors"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// memoryFiles are files by their absolute name.
type memoryFiles map[string]string

func (m memoryFiles) Read(name string) ([]byte, error) {
	text, ok := m[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

func (m memoryFiles) List(dir string) ([]string, error) {
	var names []string
	for name := range m {
		if path.Dir(name) == path.Clean(dir) {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

func (m memoryFiles) Exists(name string) bool { _, ok := m[name]; return ok }

func (m memoryFiles) Directory(name string) (string, error) { return path.Clean(name), nil }

func mustBuild(t testing.TB, product, version string) *Build {
	t.Helper()
	b, err := ForVersion(product, version)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWordsAreSplitAsSdssplitargsDoes(t *testing.T) {
	for line, want := range map[string][]string{
		"":                      nil,
		" \t ":                  nil,
		"a b\tc":                {"a", "b", "c"},
		`a "b c" 'd e'`:         {"a", "b c", "d e"},
		`a"b"`:                  {"ab"},
		`"\x41\n\"\q"`:          {"A\n\"q"},
		`'it\'s \n'`:            {`it's \n`},
		`""`:                    {""},
		"a\v b":                 {"a\v", "b"},
		`"\xZZ"`:                {"xZZ"},
		`'a' "b"` + "\v" + ` c`: {"a", "b", "c"},
	} {
		if got, ok := Split(line); !ok || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", line, got, ok, want)
		}
	}
	for _, line := range []string{`"`, `'`, `"a"b`, `'a'b`, `a "b`, `"\`, `a'b`} {
		if got, ok := Split(line); ok {
			t.Errorf("%q: got %q, want it refused", line, got)
		}
	}
}

func TestPatternsMatchAsGlobDoes(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a", true}, {"*", ".a", false}, {".*", ".a", true}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "axxbyy", false},
		{"?", "ab", false}, {"[a-c]", "b", true}, {"[!a-c]", "b", false}, {"[^a-c]", "d", true}, {"[]]", "]", true},
		{"[", "[", true}, {"[a", "[a", true}, {`\*`, "*", true}, {`\*`, "a", false}, {"*.conf", "x.conf", true},
		{"*.conf", "x.conf~", false}, {"", "", true}, {"", "a", false}, {"**", "abc", true}, {"[a-]", "-", true},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("%q on %q: got %v", c.pattern, c.name, got)
		}
	}
}

func TestValuesSayWhereTheyStand(t *testing.T) {
	files := memoryFiles{
		"/etc/redis/redis.conf":      "dir /var/lib/redis\ninclude more.conf\ninclude /etc/redis/d/*.conf\ntimeout 9\nrename-command FLUSHALL ''\nuser a on\nloadmodule /x.so y\n",
		"/var/lib/redis/more.conf":   "\nmaxmemory 1gb\nslave-priority 5\n",
		"/etc/redis/d/1.conf":        "hz 2",
		"/etc/redis/d/2.conf":        "5\nlfu-decay-time 3\n",
		"/etc/redis/d/.ignored.conf": "nonsense\n",
	}
	build := mustBuild(t, "redis", "7.0.15")
	config, err := Evaluate(build, files, Start{File: "/etc/redis/redis.conf", Options: "timeout \"11\"\nport 1"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"dir": "/var/lib/redis redis.conf:1", "maxmemory": "1073741824 more.conf:2", "replica-priority": "5 more.conf:3",
		"hz": "25 1.conf:1", "lfu-decay-time": "3 2.conf:2", "timeout": "11 command line", "port": "1 command line",
	}
	got := map[string]string{}
	for name, v := range config.Values {
		got[name] = v.Text + " " + v.At.String()
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(config.Users) != 1 || len(config.Modules) != 1 || config.Renamed["FLUSHALL"] != "" || len(config.Renamed) != 1 || config.Dir != "/var/lib/redis" {
		t.Errorf("got users %v, modules %v, renamed %v, dir %s", config.Users, config.Modules, config.Renamed, config.Dir)
	}
}

func TestErrorsSayFileAndLineAndNoArgument(t *testing.T) {
	const secret = "hunter2"
	for text, want := range map[string]string{
		"\n\nrequirepass " + secret + " x\n":   "/r.conf:3: requirepass: wrong number of arguments",
		"requirepass \"" + secret + "\n":       "/r.conf:1: unbalanced quotes",
		"maxmemory " + secret + "\n":           "/r.conf:1: maxmemory: argument must be a memory value",
		"include more.conf\n":                  "/r.conf:1: include of a relative name, and the directory the server is started in is not known",
		"include /more.conf\n":                 "/r.conf:1: open /more.conf: file does not exist",
		"include /r.conf\n":                    "/r.conf:1: includes nest deeper than 50",
		"no-such-thing " + secret + "\n":       `/r.conf:1: bad directive or wrong number of arguments: "no-such-thing"`,
		"aclfile /x\nuser a on >" + secret:     "/r.conf:2: users in the file and in an ACL file at the same time",
		"appendfsync " + secret:                "/r.conf:1: appendfsync: argument must be one of everysec, always, no",
		"cluster-enabled yes\nreplicaof h 1\n": "/r.conf:2: replicaof directive not allowed in cluster mode",
	} {
		_, err := Evaluate(mustBuild(t, "redis", "7.0.15"), memoryFiles{"/r.conf": text}, Start{File: "/r.conf"})
		if err == nil || err.Error() != want || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// Of a version without a table nothing is guessed: what it does not know is
// unknown, and what another version would refuse too.
func TestAVersionWithoutATableIsNotGuessed(t *testing.T) {
	build := mustBuild(t, "redis", "7.2.4")
	if !build.Borrowed || build.Version != "7.0.15" {
		t.Fatalf("got table %s, borrowed %v", build.Version, build.Borrowed)
	}
	config, err := Evaluate(build, memoryFiles{"/r.conf": "maxmemory 1gb\nbrand-new yes\nhz -5\n"}, Start{File: "/r.conf"})
	if err != nil {
		t.Fatal(err)
	}
	if v := config.Values["maxmemory"]; v.Text != "1073741824" || v.Why != "" {
		t.Errorf("maxmemory: got %+v", v)
	}
	for _, name := range []string{"brand-new", "hz"} {
		if config.Values[name].Why == "" {
			t.Errorf("%s: got %+v, want it unknown", name, config.Values[name])
		}
	}
	if _, err := ForVersion("keydb", "6.3.4"); !errors.Is(err, ErrNoTable) {
		t.Errorf("another product: got %v", err)
	}
	for version, table := range map[string]string{"6.2.14": "6.0.16", "5.0.1": "6.0.16", "7.0.15": "7.0.15", "8.6.0": "8.0.2", "8.0-rc1": "7.0.15"} {
		if b := mustBuild(t, "redis", version); b.Version != table || b.Borrowed != (version != table) {
			t.Errorf("%s: got table %s, borrowed %v", version, b.Version, b.Borrowed)
		}
	}
}

func TestCommandLineBecomesLines(t *testing.T) {
	build := mustBuild(t, "redis", "7.0.15")
	for _, c := range []struct {
		args          []string
		file, options string
	}{
		{nil, "", ""},
		{[]string{"/r.conf"}, "/r.conf", ""},
		{[]string{"/r.conf", "--port", "1", "--save", "--hz", "5"}, "/r.conf", "port \"1\" \nsave \"\"\nhz \"5\" "},
		{[]string{"--port 1", "--bind", "a", "b"}, "", "port 1 \nbind \"a\" \"b\" "},
		{[]string{"--requirepass", "--x"}, "", "requirepass \"--x\" "},
		{[]string{"--save"}, "", "save \"\""},
	} {
		file, options, err := build.CommandLine(c.args)
		if err != nil || file != c.file || options != c.options {
			t.Errorf("%q: got %q, %q, %v, want %q, %q", c.args, file, options, err, c.file, c.options)
		}
	}
	if _, _, err := build.CommandLine([]string{"-"}); !errors.Is(err, ErrStandardInput) {
		t.Errorf("standard input: got %v", err)
	}
}

func TestTablesAreWhole(t *testing.T) {
	all, err := Builds()
	if err != nil || len(all) < 4 {
		t.Fatalf("got %v, %v", all, err)
	}
	for _, name := range all {
		product, version, _ := strings.Cut(name, " ")
		b := mustBuild(t, product, version)
		if b.Borrowed || b.Product != product || b.Version != version || len(b.Names) < 130 {
			t.Errorf("%s: got %s %s with %d parameters", name, b.Product, b.Version, len(b.Names))
		}
		// Its own default, written into a file, must read as itself.
		for _, p := range b.Names {
			if p.Kind == Runtime || p.Kind == Dir || p.Default == "" {
				continue
			}
			line := p.Name + " " + p.Default + "\n"
			if p.Kind == Text || p.Kind == Bytes {
				line = p.Name + " " + Quote(p.Default) + "\n"
			}
			config, err := Evaluate(b, memoryFiles{"/r.conf": line}, Start{File: "/r.conf"})
			older := p.Kind == Save || p.Kind == Buffers // before 7.0 one on a line
			if err != nil && !older || err == nil && !older && config.Values[p.Name].Text != p.Default {
				t.Errorf("%s: %s: got %v, %v, want %q", name, p.Name, config, err, p.Default)
			}
		}
	}
}

func FuzzEvaluate(f *testing.F) {
	f.Add("maxmemory 1gb\ninclude /a*\n", "save 1 1", "7.0.15")
	f.Add("dir /x\ninclude b\nsave ''\n\"a\\x00\" '", "client-output-buffer-limit normal 1 1 1", "6.0.16")
	f.Add("latency-tracking-info-percentiles 0x1p-1100 1e400", "rename-command a b\nrename-command b c", "6.2.1")
	f.Fuzz(func(t *testing.T, main, other, version string) {
		b, err := ForVersion("redis", version)
		if err != nil {
			t.Fatal(err)
		}
		files := memoryFiles{"/r.conf": main, "/a1": other, "/a2": main, "/x/b": other}
		config, err := Evaluate(b, files, Start{File: "/r.conf", Dir: "/x", Options: other})
		var told *Error
		if err != nil && !errors.As(err, &told) {
			t.Fatalf("an error of another kind: %v", err)
		}
		if err != nil {
			return
		}
		// What was read reads the same when it is quoted anew.
		for _, d := range config.Directives {
			line := Quote(d.Name)
			for _, arg := range d.Args {
				line += " " + Quote(arg)
			}
			words, ok := Split(line)
			if !ok || words[0] != d.Name || !slices.Equal(words[1:], d.Args) {
				t.Fatalf("%q: read as %q", line, words)
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add(`a "b\x41" 'c\''`)
	f.Fuzz(func(t *testing.T, line string) {
		words, ok := Split(line)
		if !ok {
			return
		}
		var again []string
		for _, w := range words {
			again = append(again, Quote(w))
		}
		if got, ok := Split(strings.Join(again, " ")); !ok || !slices.Equal(got, words) {
			t.Errorf("%q: got %q, then %q", line, words, got)
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("a*[b-", "abc")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if match(pattern, name) && strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
			t.Errorf("%q matches %q, which is hidden", pattern, name)
		}
		if !strings.ContainsAny(name, `*?[\`) && !match(name, name) {
			t.Errorf("%q does not match itself", name)
		}
	})
}
