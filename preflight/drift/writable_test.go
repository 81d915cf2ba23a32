package drift

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
)

// What is said of Redis' right to write its file must be what Redis finds when
// it does.
func TestWhetherRedisMayWriteItsFileIsForeseen(t *testing.T) {
	need.Root(t)
	// Each starts Redis as user 4321, in a mount namespace of its own.
	const server = `exec setpriv --reuid 4321 --regid 4322 --groups 4323 /usr/bin/redis-server DIR/etc/redis.conf`
	const asRoot = `exec /usr/bin/redis-server DIR/etc/redis.conf`
	for name, c := range map[string]struct{ script, want string }{
		"its own directory":      {"chown 4321 DIR/etc; " + server, ""},
		"its group's":            {"chgrp 4322 DIR/etc; chmod 770 DIR/etc; chgrp 4322 DIR/etc/redis.conf; chmod 640 DIR/etc/redis.conf; " + server, ""},
		"of another group of it": {"chgrp 4323 DIR/etc; chmod 775 DIR/etc; " + server, ""},
		"anybody's":              {"chmod 777 DIR/etc; " + server, ""},
		"root's":                 {server, "belongs to 0:0 with mode 0755, and Redis runs as 4321"},
		"of a group without":     {"chgrp 4322 DIR/etc; chmod 757 DIR/etc; " + server, "belongs to 0:4322 with mode 0757"},
		"its own without":        {"chown 4321 DIR/etc; chmod 577 DIR/etc; " + server, "belongs to 4321:0 with mode 0577"},
		"sticky":                 {"chmod 1777 DIR/etc; " + server, "is sticky, and the file belongs to 0, not to Redis (4321)"},
		"sticky, its own file":   {"chmod 1777 DIR/etc; chown 4321 DIR/etc/redis.conf; " + server, ""},
		"by a list":              {": LIST; " + server, ""},
		"immutable":              {"chattr +i DIR/etc/redis.conf; " + asRoot, "immutable"},
		"in an immutable one":    {"chattr +i DIR/etc; " + asRoot, "immutable"},
		"root, whatever mode":    {"chmod 555 DIR/etc; " + asRoot, ""},
		"root without caps":      {"chown 4321 DIR/etc; chmod 755 DIR/etc; exec setpriv --bounding-set -all --inh-caps -all /usr/bin/redis-server DIR/etc/redis.conf", "Redis runs as 0"},
		"file bind-mounted":      {"cp DIR/etc/redis.conf DIR/other; mount --bind DIR/other DIR/etc/redis.conf; " + asRoot, "is a mount of its own"},
		"mounted read-only":      {"mount --bind DIR/etc DIR/etc; mount -o remount,bind,ro DIR/etc; " + asRoot, "is mounted read-only for Redis"},
		"mounted over it again":  {"mount --bind DIR/etc DIR/etc; mount -o remount,bind,ro DIR/etc; mount -t tmpfs none DIR/etc; cp DIR/redis.conf DIR/etc; " + asRoot, ""},
		"a link":                 {"mv DIR/etc/redis.conf DIR/other; ln -s DIR/other DIR/etc/redis.conf; " + asRoot, ""},
		"a link's directory":     {"mkdir DIR/real; mv DIR/etc/redis.conf DIR/real; rmdir DIR/etc; ln -s real DIR/etc; mount --bind DIR/real DIR/real; mount -o remount,bind,ro DIR/real; " + asRoot, "is mounted read-only for Redis"},
	} {
		r := local().prepare(t)
		text := "port 0\nunixsocket " + r.dir + "/s\nunixsocketperm 777\ndir /\nsave ''\n"
		r.write("redis.conf", text)
		r.write("etc/redis.conf", text)
		for _, open := range []string{r.outside, filepath.Join(r.outside, "etc/redis.conf")} {
			if err := os.Chmod(open, 0o777&^0o022|0o001); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(r.outside, 0o777); err != nil { // the socket is made there
			t.Fatal(err)
		}
		if strings.Contains(c.script, "LIST") {
			setList(t, filepath.Join(r.outside, "etc"), 4321)
		}
		if strings.Contains(c.script, "chattr") {
			t.Cleanup(func() {
				for _, name := range []string{"etc", "etc/redis.conf"} {
					if out, err := exec.Command("chattr", "-i", filepath.Join(r.outside, name)).CombinedOutput(); err != nil {
						t.Errorf("%v: %s", err, out)
					}
				}
			})
		}
		r.target.binary = "/usr/bin/unshare"
		r.mustStart("", "--mount", "sh", "-ec", strings.ReplaceAll(c.script, "DIR", r.dir))
		d := Read(t.Context(), r.options(false))
		if d.Rewrite == nil || d.Problem != "" {
			t.Errorf("%s: nothing is said: %q", name, d.Problem)
			continue
		}
		err := r.ConfigRewrite(t.Context()).Err()
		if (err != nil) != (d.Rewrite.Denied != "") || !strings.Contains(d.Rewrite.Denied, c.want) || (c.want == "") != (d.Rewrite.Denied == "") {
			t.Errorf("%s: foreseen %q, want %q, Redis says %v", name, d.Rewrite.Denied, c.want, err)
		}
		r.stop()
	}
}

// setList gives one more user all rights to a directory (acl(5); the kernel's
// posix_acl_xattr.h).
func setList(t *testing.T, dir string, user uint32) {
	t.Helper()
	const none = 0xffffffff
	list := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, rights uint16
		id          uint32
	}{{1, 7, none}, {2, 7, user}, {4, 5, none}, {16, 7, none}, {32, 5, none}} {
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, e.rights)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	if err := unix.Setxattr(dir, "system.posix_acl_access", list, 0); err != nil {
		t.Fatal(err)
	}
}
