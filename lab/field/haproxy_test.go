package field

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// checksOf is what an HAProxy says of its servers: each one's status, its last
// check's code and what that check was told.
func checksOf(socket string) (map[string]string, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	checks := map[string]string{}
	var columns map[string]int
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if columns == nil {
			columns = map[string]int{}
			for i, name := range fields {
				columns[strings.TrimPrefix(name, "# ")] = i
			}
			continue
		}
		at := func(name string) string {
			if i, ok := columns[name]; ok && i < len(fields) {
				return fields[i]
			}
			return ""
		}
		if strings.HasPrefix(at("svname"), "redis") {
			checks[at("pxname")+"/"+at("svname")] = at("status") + " " + at("check_status") + " " + at("check_code") + " " + at("last_chk")
		}
	}
	return checks, nil
}

// TestHAProxyChecksByHTTP11: a load balancer that asks in HTTP/1.1 and names no
// Host, as "ver HTTP/1.1" alone does, is told 400 and has no server left; with
// the line of the documentation it has the master.
func TestHAProxyChecksByHTTP11(t *testing.T) {
	need.Servers(t)
	doc, err := os.ReadFile("../../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	const meth = "http-check send meth GET uri /master/mymaster"
	_, after, _ := strings.Cut(string(doc), "    "+meth+" ver HTTP/1.1")
	rest, _, found := strings.Cut(after, "\n")
	if !found {
		t.Fatal("docs/http.md has no line for HTTP/1.1")
	}
	w := start(t, watched.Options{Config: func(c *watched.Config) { c.HTTP["listen"] = "0.0.0.0:26380" }})
	s := begin(t, w)
	socket := filepath.Join(w.Lab.Dir(), "haproxy.sock")
	var text strings.Builder
	fmt.Fprintf(&text, "global\n    stats socket %s level admin\n    log stdout format raw local0\ndefaults\n    log global\n    option log-health-checks\n"+
		"    timeout connect 2s\n    timeout client 1m\n    timeout server 1m\n", socket)
	for name, line := range map[string]string{"bare": " ver HTTP/1.1", "named": " ver HTTP/1.1" + rest, "old": ""} {
		fmt.Fprintf(&text, "backend %s\n    mode tcp\n    option httpchk\n    %s%s\n    http-check expect status 200\n    default-server check port 26380 inter 500ms fall 2 rise 1\n", name, meth, line)
		for i, h := range w.Hosts {
			fmt.Fprintf(&text, "    server redis%d %s:6379\n", i+1, h.IP)
		}
	}
	haproxy := w.Lab.Host("front").RunHAProxy(text.String())
	s.done("HAProxy asks in HTTP/1.1")
	w.Eventually("HAProxy has the master where it names a Host, or asks in HTTP/1.0, and nobody where it does not", patience, func() error {
		checks, err := checksOf(socket)
		if err != nil {
			return err
		}
		for i, h := range w.Hosts {
			for _, backend := range []string{"bare", "named", "old"} {
				got := checks[fmt.Sprintf("%s/redis%d", backend, i+1)]
				want := "DOWN L7STS 503"
				switch {
				case backend == "bare":
					want = "DOWN L7STS 400"
				case h == s.master.Host:
					want = "UP L7OK 200"
				}
				if !strings.HasPrefix(got, want) {
					return fmt.Errorf("%s of %s: %q, want %s", backend, h.Name, got, want)
				}
			}
		}
		return nil
	})
	logged := haproxy.Text()
	if said := regexp.MustCompile("the log `([^`]+)`").FindSubmatch(doc); said == nil || !strings.Contains(logged, string(said[1])) {
		t.Errorf("docs/http.md has %q of HAProxy's log, which is:\n%s", said, logged)
	}
	s.undisturbed()
}
