package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What is root reads nothing that comes over a network.
func TestRootPartIsSmall(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, none := range []string{"net/http", "crypto/tls", "google.golang.org/grpc", "github.com/redis/go-redis/v9", "go.etcd.io/etcd/client/v3"} {
		if slices.Contains(deps, none) {
			t.Errorf("the root part contains %s", none)
		}
	}
	if !slices.Contains(deps, "github.com/redis-watchdog/redis-watchdog/systemd/helper") {
		t.Errorf("these are the packages of something else: %s", deps)
	}
}
