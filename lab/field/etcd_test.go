package field

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// pasteAll runs what was printed, on the host, in one shell and as it is, with etcd's tools in
// the path and root's password where etcdctl would ask for it.
func (s *story) pasteAll(h *lab.Host, commands string) {
	s.t.Helper()
	etcdctl, err := lab.EtcdctlBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("done, as printed:\n%s", commands)
	p := h.Run(lab.Command{Name: "remedy", Path: "/bin/sh", Args: []string{"-ec", commands}, Env: []string{
		"PATH=" + filepath.Dir(etcdctl) + ":" + os.Getenv("PATH"), "ETCDCTL_PASSWORD=" + rootSecret}})
	if code := p.Wait(); code != 0 {
		s.t.Fatalf("the remedy ended with %d: %s", code, p.Text())
	}
	s.t.Logf("it said: %s", p.Text())
}

const rootSecret = "root's own"

// freeOf waits until no watchdog has the fault and every one is guarded.
func (s *story) freeOf(fault string) {
	s.t.Helper()
	for _, d := range s.Watchdogs {
		d.WaitFor("says "+fault+" no more", func(st agent.Status) bool {
			return st.Guarded && !slices.ContainsFunc(st.Faults, func(f agent.Fault) bool { return f.ID == fault })
		})
	}
}

// serves waits until the master, whose etcd takes no writes, is seen to serve
// under the row.
func (s *story) serves(row int) {
	s.t.Helper()
	s.master.WaitFor(fmt.Sprintf("serves by row %d", row), func(st agent.Status) bool { return st.Phase == "serve" && st.Row == row })
}

// TestEtcdRunsFull: another application fills the etcd of the group, as we did
// ourselves once.
func TestEtcdRunsFull(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Cluster: lab.EtcdConfig{Args: []string{"--quota-backend-bytes=16777216"}}})
	s := begin(t, w)
	other := w.Others(s.master)[0]

	s.done("another application fills etcd to 85 % of its quota")
	w.Etcd.Fill(0.85)
	for _, d := range w.Watchdogs {
		s.told(d, "etcd_quota", "quota", "etcdctl defrag")
	}
	s.done("and then to its end")
	w.Etcd.Fill(1)
	for _, d := range w.Watchdogs {
		s.told(d, "etcd_nospace", "NOSPACE", "stays locked", "etcdctl alarm disarm")
	}
	s.serves(9) // the grant is renewed all the same
	if text, code := s.master.CLI("preflight", "mymaster"); code == 0 || !strings.Contains(text, "coordinator_writable") {
		t.Errorf("a preflight ended with %d and does not name coordinator_writable: %s", code, text)
	}
	s.done("a watchdog is restarted: it cannot say that it is there")
	other.Term()
	other.Restart()
	w.Eventually("status blames etcd for it, not the host", time.Minute, func() error {
		w.Pause(time.Second)
		text, code := s.master.CLI("status")
		if code != 1 || !strings.Contains(text, other.Redis.Address+": etcd has no report") || !strings.Contains(text, "takes no writes (etcd_nospace)") {
			return fmt.Errorf("it ended with %d: %s", code, text)
		}
		if strings.Contains(text, "nobody guards it") {
			t.Errorf("status blames the host: %s", text)
		}
		return nil
	})
	s.undisturbed()

	s.pasteAll(other.Host, remedyOf(s.master.Status(), "etcd_nospace"))
	s.freeOf("etcd_nospace")
	s.freeOf("etcd_quota")
	w.Eventually("every watchdog reports again", time.Minute, func() error {
		var groups []struct{ Silent, Problems []string }
		if err := s.master.JSON("/groups", &groups); err != nil {
			return err
		}
		if len(groups) != 1 || len(groups[0].Silent)+len(groups[0].Problems) > 0 {
			return fmt.Errorf("etcd says %+v", groups)
		}
		return nil
	})
	s.done("the master dies: the failover that would have stayed locked")
	s.master.Redis.Kill()
	if now := w.WaitServing(w.Others(s.master)...); now == s.master {
		t.Errorf("%s serves, which was killed", now.Name)
	}
}

// guardedAsUser is a group whose watchdogs have a user in etcd, as docs/install.md has
// it, and what lets etcdctl speak to it as root.
func guardedAsUser(t *testing.T) (w *watched.World, as string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	w = start(t, watched.Options{Paused: true,
		Cluster: lab.EtcdConfig{RootPassword: rootSecret, Args: []string{"--bcrypt-cost=4"}},
		Config:  func(c *watched.Config) { c.Etcd["username"], c.Etcd["password_file"] = "redis-watchdog", file }})
	as = "export ETCDCTL_ENDPOINTS=" + strings.Join(w.Etcd.Endpoints(), ",") + " ETCDCTL_USER=root\n"
	(&story{World: w, t: t}).pasteAll(w.Hosts[0], as+linesOf(t, "../../docs/install.md", "etcdctl", "redis-watchdog", "secret"))
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()
	return w, as
}

// linesOf are the indented lines of a document that begin with a command and
// name a user, whose password is given in the place of the prompt for it.
func linesOf(t *testing.T, document, command, user, password string) string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		bare := strings.TrimSpace(line)
		if !strings.HasPrefix(line, "    ") || !strings.HasPrefix(bare, command) || !strings.Contains(bare, user) {
			continue
		}
		out.WriteString(strings.Replace(bare, "user add "+user, "user add "+user+":"+password, 1) + "\n")
	}
	if out.Len() == 0 {
		t.Fatalf("%s has no line of %s about %s", document, command, user)
	}
	return out.String()
}

// TestEtcdRoleMayOnlyRead: somebody tightens the role.
func TestEtcdRoleMayOnlyRead(t *testing.T) {
	t.Parallel()
	w, as := guardedAsUser(t)
	s := begin(t, w)

	s.done("the role may only read from now on")
	s.pasteAll(w.Hosts[1], as+"etcdctl role grant-permission redis-watchdog read --prefix=true /redis-watchdog/v1/")
	for _, d := range w.Watchdogs {
		s.told(d, "etcd_read_only", `"redis-watchdog"`, "/redis-watchdog/v1/", "stays locked", "readwrite")
	}
	s.serves(11) // nothing is renewed, and the Sentinels certify it
	s.undisturbed()
	// Before a failover, which would leave the next master locked.
	if text, code := s.master.CLI("preflight", w.Group.Name); code == 0 || !strings.Contains(text, "coordinator_writable") || !strings.Contains(text, "permission denied") {
		t.Errorf("a preflight ended with %d and does not name coordinator_writable, or not why: %s", code, text)
	}
	if text, code := s.master.CLI("failover", w.Group.Name, "--yes"); code == 0 {
		t.Errorf("a planned failover was begun: %s", text)
	}
	s.pasteAll(w.Hosts[1], remedyOf(w.Others(s.master)[0].Status(), "etcd_read_only"))
	s.freeOf("etcd_read_only")
	s.serves(9)
	w.Eventually("preflight lets a failover go", time.Minute, func() error {
		if text, code := s.master.CLI("preflight", w.Group.Name); code != 0 {
			return fmt.Errorf("it ended with %d: %s", code, text)
		}
		return nil
	})
}

// TestEtcdEndpointIsALearner: a member was added as a learner, named in the
// watchdogs' configuration and never promoted.
func TestEtcdEndpointIsALearner(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Paused: true, Etcd: []string{"a", "b"}})
	learner := w.Etcd.Learner(w.Host("learner"))
	for _, d := range w.Watchdogs {
		c := d.Config()
		c.Etcd["endpoints"] = append([]string{learner.Endpoint}, w.Etcd.Endpoints()...)
		d.Write(c)
		d.Restart()
	}
	w.WaitGuarded()
	s := begin(t, w)
	for _, d := range w.Watchdogs {
		s.told(d, "etcd_learner", learner.Endpoint, "no vote", "etcdctl member promote")
	}
	if text, code := s.master.CLI("preflight", "mymaster"); !strings.Contains(text, "it is a learner") {
		t.Errorf("a preflight ended with %d and does not say that a member is a learner: %s", code, text)
	}
	s.pasteAll(w.Hosts[2], remedyOf(s.master.Status(), "etcd_learner"))
	s.freeOf("etcd_learner")
	s.undisturbed()
}

// TestEtcdSaysItIsCorrupt: etcd's own check has found that its members differ.
func TestEtcdSaysItIsCorrupt(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{})
	s := begin(t, w)
	s.done("the alarm CORRUPT is raised")
	w.Etcd.Raise(pb.AlarmType_CORRUPT)
	for _, d := range w.Watchdogs {
		s.told(d, "etcd_corrupt", "CORRUPT", "certify", "alarm disarm")
	}
	s.serves(11)
	s.undisturbed()
	s.pasteAll(w.Hosts[2], remedyOf(w.Others(s.master)[0].Status(), "etcd_corrupt"))
	s.freeOf("etcd_corrupt")
	s.serves(9)
}
