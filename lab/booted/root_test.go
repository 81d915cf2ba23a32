package booted

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// make test runs it before all others: the rest find the root made.
func TestRootIsMade(t *testing.T) {
	root, err := Root(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"redis-server", "redis-sentinel"} {
		if _, err := os.Stat(filepath.Join(root, "usr/bin", program)); err != nil {
			t.Error(err)
		}
	}
}

// A debootstrap that was killed leaves a mounted /proc behind.
func TestUnfinishedRootWithMountsIsRemoved(t *testing.T) {
	outside := t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root.unfinished")
	if err := os.MkdirAll(filepath.Join(dir, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(outside, filepath.Join(dir, "proc"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := removeUnfinished(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the unfinished root is still there: %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("what was mounted there was removed: %v", err)
	}
}
