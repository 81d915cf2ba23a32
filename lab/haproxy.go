package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// HAProxy runs Debian's with the backends that a page of the documentation has,
// the addresses 10.0.0.11, .12, … replaced by those given, and returns where it
// takes writers: an address of h's own loopback.
func (h *Host) HAProxy(page string, ips ...string) (address string) {
	t := h.lab.t
	t.Helper()
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	_, after, _ := strings.Cut(string(doc), "```haproxy\n")
	backends, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatalf("lab: %s has no HAProxy configuration", page)
	}
	for i, ip := range ips {
		backends = strings.ReplaceAll(backends, fmt.Sprintf("10.0.0.1%d", i+1), ip)
	}
	if strings.Contains(backends, "10.0.0.") {
		t.Fatalf("lab: an address of %s was not replaced:\n%s", page, backends)
	}
	address = "127.0.0.1:6380"
	text := "defaults\n    timeout connect 2s\n    timeout client 1m\n    timeout server 1m\n\nfrontend writers\n    mode tcp\n    bind " + address +
		"\n    default_backend redis_master\n\n" + backends
	h.RunHAProxy(text)
	return address
}

// RunHAProxy runs Debian's with a configuration.
func (h *Host) RunHAProxy(text string) *Process {
	t := h.lab.t
	t.Helper()
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		binary = "/usr/sbin/haproxy"
	}
	file := filepath.Join(h.lab.dir, h.Name+"-haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatalf("lab: %v", err)
	}
	return h.Run(Command{Name: "haproxy", Path: binary, Args: []string{"-db", "-f", file}})
}
