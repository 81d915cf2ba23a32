package orders

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestOrderIsTheServiceUsersAndGoneWhenItIsTakenAway(t *testing.T) {
	dir := t.TempDir()
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatalf("run the tests as root, by make test: %v", err)
	}
	want := Order{Fence: true, By: "me", Reason: "a test"}
	for range 2 { // over the one that stands
		if err := Write(dir, "mymaster", "first", want); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Read(dir, "mymaster", "first"); err != nil || got != want {
		t.Errorf("read: %+v, %v", got, err)
	}
	for _, path := range []string{filepath.Join(dir, "orders"), Path(dir, "mymaster", "first")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != nobody || owner.Gid != nobody {
			t.Errorf("%s belongs to %d:%d, want the owner of the state directory", path, owner.Uid, owner.Gid)
		}
	}
	if err := Write(dir, "mymaster", "first", Order{}); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir, "mymaster", "first"); err != nil || got != (Order{}) {
		t.Errorf("read after it was taken away: %+v, %v", got, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "orders")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Root writes here for a user that owns the directory, and may have put anything
// into it.
func TestRootIsNotLedOutOfTheStateDirectory(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, "orders")); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, "mymaster", "first", Order{Fence: true}); err == nil {
		t.Error("an order was written through a link out of the state directory")
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("written elsewhere: %v, %v", left, err)
	}
}
