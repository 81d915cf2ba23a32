package field

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// initOn runs init on a host and is what it would write, and all it says.
func initOn(t *testing.T, d *watched.Watchdog, more ...string) (written watched.Config, text string, code int) {
	t.Helper()
	binary, err := watched.Binary()
	if err != nil {
		t.Fatal(err)
	}
	p := d.Host.Run(lab.Command{Name: "init", Path: binary, Args: append([]string{"init", "--dry-run", "--config", d.Dir + "/init.yaml"}, more...)})
	code, text = p.Wait(), p.Text()
	var lines []string
	for line := range strings.Lines(text) { // both of its outputs are in there
		if !strings.HasPrefix(line, "note: ") && !strings.HasPrefix(line, "redis-watchdog: ") {
			lines = append(lines, line)
		}
	}
	if err := yaml.Unmarshal([]byte(strings.Join(lines, "")), &written); err != nil {
		t.Errorf("what init prints is no YAML: %v\n%s", err, text)
	}
	return written, text, code
}

func endpointsOf(c watched.Config) (all []string) {
	list, _ := c.Etcd["endpoints"].([]any)
	for _, one := range list {
		text, _ := one.(string)
		all = append(all, text)
	}
	return all
}

// TestInitAmongMembersThatAdvertiseLocalhost: etcd as many roles leave it, each
// member advertising localhost to its clients. The same URL three times would
// have been one member for all hosts.
func TestInitAmongMembersThatAdvertiseLocalhost(t *testing.T) {
	w := start(t, watched.Options{Paused: true,
		Cluster: lab.EtcdConfig{Args: []string{"--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://localhost:2379"}}})
	d := w.Watchdogs[1]
	c, text, code := initOn(t, d)
	want := slices.Sorted(slices.Values(w.Etcd.Endpoints()))
	if got := endpointsOf(c); code != 0 || !slices.Equal(got, want) {
		t.Errorf("init ended with %d and found %q, want %q:\n%s", code, got, want, text)
	}
	w.Etcd.Members[2].Kill()
	c, text, code = initOn(t, d)
	if got := endpointsOf(c); code != 0 || !slices.Equal(got, want) || !strings.Contains(text, "does not answer now") {
		t.Errorf("with a member that is down init ended with %d and found %q:\n%s", code, got, text)
	}
	// What it wrote before does not pass any more.
	for _, endpoints := range [][]string{{"http://localhost:2379", "http://localhost:2379", "http://localhost:2379"}, {"http://0.0.0.0:2379"}} {
		c := d.Config()
		c.Etcd["endpoints"] = endpoints
		d.Write(c)
		if text, code := d.CLI("check-config"); code == 0 {
			t.Errorf("%q passes: %s", endpoints, text)
		}
	}
}
