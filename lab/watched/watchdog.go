package watched

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Config is a watchdog's configuration, as its YAML has it.
type Config struct {
	Etcd       map[string]any   `yaml:"etcd"`
	HTTP       map[string]any   `yaml:"http"`
	Log        map[string]any   `yaml:"log"`
	StateDir   string           `yaml:"state_dir"`
	RuntimeDir string           `yaml:"runtime_dir"`
	Hooks      []map[string]any `yaml:"hooks,omitempty"`
	Groups     []map[string]any `yaml:"groups"`
}

// Watchdog is a watchdog beside one Redis.
type Watchdog struct {
	*lab.Process
	Redis      *lab.Redis
	HTTP       string // "ip:port" of its pages, on its own host
	ConfigFile string
	Binary     string        // of the next start
	Systemd    *Manager      // stands in for the service manager's descriptor store; nil: none
	Config     func() Config // the configuration it was made with, anew at every call

	client *http.Client
	lab    *lab.Lab
	t      lab.T
}

var build = struct {
	once sync.Once
	path string
	err  error
}{}

// Binary builds the watchdog with its failpoints, once a process, and is its
// path.
func Binary() (string, error) {
	build.once.Do(func() {
		root, err := lab.ModuleRoot()
		if err != nil {
			build.err = fmt.Errorf("build the watchdog: %w", err)
			return
		}
		build.path = filepath.Join(root, ".tools", "redis-watchdog-lab")
		fresh := fmt.Sprintf("%s.%d", build.path, os.Getpid())
		cmd := exec.Command("go", "build", "-trimpath", "-tags=grpcnotrace,failpoints", "-o", fresh, "./cmd/redis-watchdog")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("build the watchdog: %w: %s", err, out)
			return
		}
		// Replaced as a whole: another lab may be starting the one before.
		build.err = os.Rename(fresh, build.path)
	})
	return build.path, build.err
}

func (w *World) newWatchdog(h *lab.Host, r *lab.Redis, o Options) *Watchdog {
	w.T.Helper()
	d := prepare(w.Lab, w.T, h)
	d.Redis = r
	if o.Systemd {
		d.Systemd = newManager(w.T, d.Dir)
	}
	d.Config = func() Config { return w.config(d, o) }
	d.Write(d.Config())
	return d
}

// prepare makes a watchdog that has no configuration yet.
func prepare(l *lab.Lab, t lab.T, h *lab.Host) *Watchdog {
	t.Helper()
	binary, err := Binary()
	if err != nil {
		t.Fatalf("%v", err)
	}
	d := &Watchdog{Binary: binary, lab: l, t: t}
	d.Process = h.Prepare(lab.Command{
		Name: "watchdog", Path: binary, Args: []string{"run", "--config", "config.yaml"},
		Env: []string{"REDIS_WATCHDOG_FAILPOINT_FILE=" + failpointFile},
		Before: func(cmd *exec.Cmd) (func(), error) {
			cmd.Path, cmd.Args[0] = d.Binary, d.Binary
			return d.Systemd.before(cmd)
		},
	})
	d.HTTP = net.JoinHostPort("127.0.0.1", fmt.Sprint(h.Port(26380)))
	d.client = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true}}
	d.ConfigFile = filepath.Join(d.Dir, "config.yaml")
	return d
}

// config is what a person would write for this host.
func (w *World) config(d *Watchdog, o Options) Config {
	var sentinels []string
	for _, s := range w.Group.Sentinels {
		sentinels = append(sentinels, s.Address)
	}
	policy := map[string]any{}
	for k, v := range o.Policy {
		policy[k] = v
	}
	c := Config{
		Etcd: map[string]any{"endpoints": w.Etcd.Endpoints()},
		HTTP: map[string]any{"listen": d.HTTP},
		Log:  map[string]any{"level": "debug"},
		// Relative paths would be taken from where the file is.
		StateDir: filepath.Join(d.Dir, "state"), RuntimeDir: filepath.Join(d.Dir, "run"),
		Groups: []map[string]any{{
			"name": w.Group.Name, "sentinels": sentinels, "policy": policy,
			"nodes": []map[string]any{{"name": "default", "address": d.Redis.Address}},
		}},
	}
	if o.Config != nil {
		o.Config(&c)
	}
	return c
}

// Write replaces the configuration; a running watchdog goes on with the old.
func (d *Watchdog) Write(c Config) {
	d.t.Helper()
	for _, dir := range []string{c.StateDir, c.RuntimeDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			d.t.Fatalf("make directory of %s: %v", d.Name, err)
		}
	}
	b, err := yaml.Marshal(c)
	if err == nil {
		err = os.WriteFile(d.ConfigFile, b, 0o600)
	}
	if err != nil {
		d.t.Fatalf("write configuration of %s: %v", d.Name, err)
	}
}

// TryStatus asks the watchdog for its node's status.
func (d *Watchdog) TryStatus() (agent.Status, error) {
	var all []agent.Status
	if err := d.get("/status", &all); err != nil {
		return agent.Status{}, err
	}
	if len(all) == 0 {
		return agent.Status{}, fmt.Errorf("%s shows no node", d.Name)
	}
	return all[0], nil
}

func (d *Watchdog) get(path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.HTTP+path, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", d.Name, err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", d.Name, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("ask %s: decode %s: %w", d.Name, path, err)
	}
	return nil
}

// JSON asks for a page that is JSON.
func (d *Watchdog) JSON(path string, into any) error { return d.get(path, into) }

// Page is what a browser gets at "/"; empty: no answer.
func (d *Watchdog) Page() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.HTTP+"/", nil)
	if err != nil {
		return ""
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(page)
}

// Get is the status code a page answers with; 0: none.
func (d *Watchdog) Get(path string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.HTTP+path, nil)
	if err != nil {
		return 0
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Status is TryStatus, and no answer ends the test.
func (d *Watchdog) Status() agent.Status {
	d.t.Helper()
	s, err := d.TryStatus()
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	return s
}

// WaitFor waits until the node's status satisfies what is asked.
func (d *Watchdog) WaitFor(what string, is func(agent.Status) bool) agent.Status {
	d.t.Helper()
	var s agent.Status
	d.lab.Eventually(d.Name+" "+what, time.Minute, func() error {
		var err error
		if s, err = d.TryStatus(); err != nil {
			return err
		}
		if !is(s) {
			return fmt.Errorf("phase %s, wanted %s, row %d %s, guarded %v, D %.1f s, E in %.2f s, L in %.2f s, deadline in %.2f s, faults %v",
				s.Phase, s.Wanted, s.Row, s.Reason, s.Guarded, s.DownAfter, s.EarliestPromotion, s.GrantRemaining, s.Deadline, s.Faults)
		}
		return nil
	})
	return s
}

// WaitPhase waits until the phase is seen.
func (d *Watchdog) WaitPhase(phase string) agent.Status {
	d.t.Helper()
	return d.WaitFor("shows phase "+phase, func(s agent.Status) bool { return s.Phase == phase })
}

// CLI runs a command of the watchdog's binary on its host, and is its output
// and exit code.
func (d *Watchdog) CLI(args ...string) (string, int) {
	d.t.Helper()
	binary, err := Binary()
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	p := d.Host.Run(lab.Command{Name: "cli", Path: binary, Args: append(args, "--config", d.ConfigFile)})
	code := p.Wait()
	return p.Text(), code
}

// Decisions are the log's lines of decisions so far.
func (d *Watchdog) Decisions() []string {
	var out []string
	for line := range strings.Lines(d.Text()) {
		if strings.Contains(line, " decision: ") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}
