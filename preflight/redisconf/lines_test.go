package redisconf

import (
	"strings"
	"testing"
)

// told is what Lines says, a line a directive.
func told(src Source, file, dir string) (text, last string, problems []string) {
	lines, last, problems := Lines(src, file, dir)
	var all []string
	for _, d := range lines {
		all = append(all, strings.Join(append([]string{d.Name}, d.Args...), " "))
	}
	return strings.Join(all, "; "), last, problems
}

func TestLinesFollowIncludes(t *testing.T) {
	files := memoryFiles{
		"/etc/r.conf":    "PORT 1\ninclude start.inc\ndir /var\ninclude \"more.inc\"\ninclude sub/*.conf\n\"broken\ninclude gone.inc\nport 9\n",
		"/run/start.inc": "a 1",
		"/var/more.inc":  "dir deeper\n# none\nb 'two words'\n",
	}
	files["/var/deeper/sub/x.conf"] = "c 3"
	files["/var/deeper/sub/y.conf"] = "d 4\n"
	text, last, problems := told(files, "/etc/r.conf", "/run")
	const want = "port 1; a 1; include start.inc; dir /var; dir deeper; b two words; include more.inc; c 3; d 4; include sub/*.conf; include gone.inc; port 9"
	if text != want || last != "/var/deeper" {
		t.Errorf("got %s in %s,\nwant %s", text, last, want)
	}
	if got := strings.Join(problems, "; "); got != "r.conf:6: unbalanced quotes; open /var/deeper/gone.inc: file does not exist" {
		t.Errorf("problems: %s", got)
	}
}

func TestLinesOfAFileThatIncludesItselfComeToAnEnd(t *testing.T) {
	files := memoryFiles{"/d/a.conf": "include /d/*.conf\ninclude /d/*.conf\nport 1\n", "/d/b.conf": "include /d/*.conf\nport 2\n"}
	text, _, problems := told(files, "/d/a.conf", "")
	if !strings.Contains(text, "port 2") || len(problems) == 0 || len(text) > 1<<20 {
		t.Errorf("%d bytes, %d problems", len(text), len(problems))
	}
}

func TestLinesWithoutADirectoryNameWhatTheyCannotFind(t *testing.T) {
	text, last, problems := told(memoryFiles{"/r": "include x\ndir sub\nport 1"}, "/r", "")
	if text != "include x; dir sub; port 1" || last != "" || len(problems) != 1 || !strings.Contains(problems[0], "is not known") {
		t.Errorf("got %s in %q, %q", text, last, problems)
	}
}

// FuzzLines: an entry that makes no sense takes no other with it, whatever it is
// but an include or a dir, which may change what another means.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"rename-command CONFIG \"", "requirepass 'x", "include", "\x00", "user a b c", "sentinel monitor m 1 2 3", "dir", "include /a", "include *", "include [", `include \`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		// A NUL swallows the end of its line, as it does in the server.
		if strings.ContainsAny(entry, "\n\x00") || len(entry) > 900 {
			return
		}
		lines, _, problems := Lines(memoryFiles{"/a": "port 1\n" + entry + "\nport 2\n", "/b": "port 3\n"}, "/a", "/")
		ports := map[string]bool{}
		for _, d := range lines {
			if d.Name == "port" && len(d.Args) == 1 {
				ports[d.Args[0]] = true
			}
		}
		if !ports["1"] || !ports["2"] {
			t.Errorf("%q hides another line: %v", entry, lines)
		}
		for _, p := range problems {
			if entry != "" && strings.Contains(p, "requirepass") {
				t.Errorf("%q is told of as %q", entry, p)
			}
		}
	})
}
