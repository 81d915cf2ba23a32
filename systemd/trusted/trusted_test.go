package trusted

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
)

// TestProgramIsRootsAlone: whatever anybody but root could have put in the place
// of a program is none. Nothing is started.
func TestProgramIsRootsAlone(t *testing.T) {
	need.Root(t)
	const other = 4321
	for name, c := range map[string]struct {
		spoil func(root string) error
		file  string
		want  string // empty: it is one
	}{
		"root's":                  {nil, "/usr/bin/server", ""},
		"a link of root's":        {nil, "/usr/bin/link", ""},
		"an absolute link":        {nil, "/bin/server", ""},
		"up and down":             {nil, "/usr/../usr/bin/./server", ""},
		"above the root":          {nil, "/../../usr/bin/server", ""},
		"another's file":          {func(r string) error { return os.Chown(r+"/usr/bin/server", other, 0) }, "/usr/bin/server", "belongs to 4321"},
		"a group's file":          {func(r string) error { return os.Chmod(r+"/usr/bin/server", 0o775) }, "/usr/bin/server", "mode 0775"},
		"another's directory":     {func(r string) error { return os.Chown(r+"/usr/bin", other, 0) }, "/usr/bin/server", "may write /usr/bin"},
		"anybody's directory":     {func(r string) error { return os.Chmod(r+"/usr", 0o777) }, "/usr/bin/server", "may write /usr"},
		"anybody's, sticky":       {func(r string) error { return os.Chmod(r+"/usr", os.ModeSticky|0o777) }, "/usr/bin/server", "may write /usr"},
		"a link in another's":     {func(r string) error { return os.Chown(r+"/bin", other, 0) }, "/bin/server", "may write /bin"},
		"past another's by a dot": {func(r string) error { return os.Chown(r+"/bin", other, 0) }, "/bin/../usr/bin/server", "may write /bin"},
		"no program":              {func(r string) error { return os.Chmod(r+"/usr/bin/server", 0o644) }, "/usr/bin/server", "is no program"},
		"a directory":             {nil, "/usr/bin", "is no program"},
		"not there":               {nil, "/usr/bin/none", "no such file"},
		"a relative name":         {nil, "usr/bin/server", "not an absolute name"},
		"the root itself":         {nil, "/", "is a directory"},
	} {
		root := t.TempDir()
		err := errors.Join(os.Chmod(root, 0o755), os.MkdirAll(root+"/usr/bin", 0o755), os.Mkdir(root+"/bin", 0o755),
			os.WriteFile(root+"/usr/bin/server", []byte("#!/bin/sh\n"), 0o755),
			os.Symlink("server", root+"/usr/bin/link"), os.Symlink("/usr/bin/server", root+"/bin/server"))
		if c.spoil != nil {
			err = errors.Join(err, c.spoil(root))
		}
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Program(dir, c.file)
		dir.Close()
		switch {
		case c.want == "" && (err != nil || got != "/usr/bin/server"):
			t.Errorf("%s: got %q, %v", name, got, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
	if got, err := Program(nil, "/bin/sh"); err != nil || !filepath.IsAbs(got) {
		t.Errorf("/bin/sh of this host: %q, %v", got, err)
	}
}
