// Package need says what a test cannot do without. By -short, which is make unit,
// such a test is skipped; else it fails where that is missing: make test brings it.
package need

import (
	"os"
	"testing"
)

// Servers is for tests that start a real Redis, Sentinel or etcd, or another
// program that make setup installs.
func Servers(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real servers, as make test has them")
	}
}

// Root is for tests that only root can do.
func Root(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs root, as make test has it")
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: run it by make test, which uses sudo")
	}
}
