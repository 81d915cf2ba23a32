package preflight

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/drift"
)

// TestDriftFailsAndPassesOnRealServers compares with the file as a watchdog
// does, and then fails over.
func TestDriftFailsAndPassesOnRealServers(t *testing.T) {
	w := newWorld(t)
	w.drift = true
	w.ignore = append(drift.DefaultIgnore(), "hz")
	for _, f := range []failure{
		set("drift_running", candidate, "timeout", "77", "0", "timeout 77", "timeout 0"),
		set("drift_allowed", candidate, "hz", "50", "10", "hz 50", "hz 10"),
		set("drift_running", master, "maxmemory", "2gb", "1gb", "2147483648", "1073741824").judgedAt(ofMaster),
		badFile("drift_running", func(string) error { return nil }, "would not start again: "),
		badFile("drift_running", rubbish, "holds NUL bytes: it is no configuration"),
		badFile("memory_limit_file", rubbish, "holds NUL bytes: it is no configuration"),
		badFile("drift_running", text("maxmemory lots\n"), "redis.conf:1: maxmemory"),
		badFile("memory_limit_file", func(path string) error { return os.Mkdir(path, 0o755) }, "is a directory"),
		inPlace(failure{check: "drift_starts", shows: []string{"is not there"}}, func(string) error { return nil }),
		inPlace(failure{check: "drift_starts", shows: []string{"redis.conf:1: maxmemory"}}, text("maxmemory lots\n")),
		inAnInclude("drift_starts", "user app on >secret ~app:* +get\n", "user app of included.conf:1 would stand in redis.conf as well", "duplicate user"),
		inAnInclude("drift_starts", "loadmodule "+buildModule(t, 1)+"\n", "of included.conf:1 would stand in redis.conf as well", "is loaded twice"),
		rewrittenAlready(),
		inAnInclude("drift_rewrite", "replicaof 127.0.0.1 1\n", "replicaof", "once it is a master"),
		unwritable(),
		anotherFile(),
		withoutFile(),
	} {
		w.check(f)
	}
	w.switches()
}

func rubbish(path string) error {
	return os.WriteFile(path, []byte{0x7f, 'E', 'L', 'F', 0, 1, 0xff, '\n'}, 0o644)
}

func text(lines string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(lines), 0o644) }
}

// inPlace puts something where the candidate's redis.conf is, and takes it away.
func inPlace(f failure, put func(path string) error) failure {
	aside := func(w *world) (file, good string) {
		return w.candidate().ConfigFile, w.candidate().ConfigFile + ".good"
	}
	f.spoil = func(w *world) {
		file, good := aside(w)
		if err := os.Rename(file, good); err != nil {
			w.t.Fatal(err)
		}
		if err := put(file); err != nil {
			w.t.Fatal(err)
		}
	}
	f.mend = func(w *world) {
		file, good := aside(w)
		if err := os.RemoveAll(file); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Rename(good, file); err != nil {
			w.t.Fatal(err)
		}
	}
	return f
}

// badFile is one that tells nothing: the check cannot find out, and says why.
func badFile(check string, put func(path string) error, shows string) failure {
	return inPlace(failure{check: check, unsure: true, shows: []string{shows}}, put)
}

// paste does what a finding says is to be done, line by line, as a person on
// that host would.
func (w *world) paste(f preflight.Finding) {
	w.t.Helper()
	for line := range strings.Lines(f.Remedy) {
		_, command, found := strings.Cut(strings.TrimSpace(line), ": ")
		if !found {
			command = line
		}
		if out, err := exec.CommandContext(w.lab.Context(), "sh", "-ec", command).CombinedOutput(); err != nil {
			w.t.Fatalf("paste %q: %v: %s", command, err, out)
		}
	}
}

// inAnInclude has the candidate's redis.conf include a file with these lines,
// as if it had been started on it, and mends that by the remedy that is shown,
// where there is one to be pasted.
func inAnInclude(check, lines string, shows ...string) failure {
	var good []byte
	included := func(w *world) string { return filepath.Join(w.candidate().Dir, "included.conf") }
	return failure{check: check, shows: shows,
		spoil: func(w *world) {
			r := w.candidate()
			var err error
			if good, err = os.ReadFile(r.ConfigFile); err != nil {
				w.t.Fatal(err)
			}
			w.write("/", included(w), lines)
			w.write("/", r.ConfigFile, "include "+included(w)+"\n"+string(good))
		},
		mend: func(w *world) {
			f := w.finding(check, w.candidate().Address)
			w.t.Logf("remedy: %s", f.Remedy)
			if strings.Contains(f.Remedy, "sed ") {
				w.paste(f)
				w.expect(check, w.candidate().Address, preflight.Passed)
			}
			w.write("/", w.candidate().ConfigFile, string(good))
		}}
}

// rewrittenAlready is the file as Sentinel's CONFIG REWRITE has left it.
func rewrittenAlready() failure {
	f := inAnInclude("drift_starts", "user app on >secret ~app:* +get\n", "user app", "duplicate user", "would not start again")
	before := f.spoil
	f.spoil = func(w *world) {
		before(w)
		r := w.candidate()
		r.Do("ACL", "SETUSER", "app", "on", ">secret", "~app:*", "+get")
		r.Do("CONFIG", "REWRITE")
		r.Do("ACL", "DELUSER", "app")
	}
	return f
}

// unwritable is a file that is mounted by itself, as containers have it. This
// one is root's, who may write any directory.
func unwritable() failure {
	return failure{check: "drift_rewrite", shows: []string{"is a mount of its own"},
		spoil: func(w *world) {
			file := w.candidate().ConfigFile
			if err := unix.Mount(file, file, "", unix.MS_BIND, ""); err != nil {
				w.t.Fatal(err)
			}
			w.t.Cleanup(func() { _ = unix.Unmount(file, unix.MNT_DETACH) }) // if the test ended here
			if answer, err := w.candidate().Try("CONFIG", "REWRITE"); err == nil {
				w.t.Errorf("CONFIG REWRITE says %v", answer)
			}
		},
		mend: func(w *world) {
			if err := unix.Unmount(w.candidate().ConfigFile, 0); err != nil {
				w.t.Fatal(err)
			}
		}}
}

// anotherFile is a good one, and not the one it was started with.
func anotherFile() failure {
	return inPlace(failure{check: "drift_running", shows: []string{"databases 16", "databases 4"}}, text("databases 4\nmaxmemory 1gb\n"))
}

// withoutFile is the candidate started with options and no file.
func withoutFile() failure {
	var bare *lab.Process
	return failure{check: "drift_file", shows: []string{"without a redis.conf"},
		spoil: func(w *world) {
			r := w.candidate()
			r.Kill()
			bare = r.Host.Run(lab.Command{Name: "bare", Path: "redis-server", Args: []string{
				"--port", port(r), "--unixsocket", r.Socket, "--maxmemory", "1gb", "--save", "",
				"--replicaof", w.master().Host.IP + " " + port(w.master()), "--dir", r.Dir}})
		},
		mend: func(w *world) {
			bare.Kill()
			w.candidate().Restart()
			w.group.WaitReplicas()
		}}
}

func port(r *lab.Redis) string { return strconv.Itoa(r.Port) }

// switches fails over to the candidate for real, and makes each check of what
// came of it fail, and pass.
func (w *world) switches() {
	before, r := w.facts(), w.candidate()
	old, other := w.master(), w.group.Redis[2]
	w.after("after_master", "", preflight.Failed, before, "still the master")

	// Which of two good replicas a Sentinel takes is its own affair.
	other.Do("CONFIG", "SET", "replica-priority", "0")
	w.lab.Eventually("no Sentinel would take the other replica", time.Minute, func() error { return w.allShow(other, "0") })

	// Its directory is elsewhere while Sentinel has it write its file, and does
	// not hear that it could not.
	away := r.Dir + ".away"
	if err := os.Rename(r.Dir, away); err != nil {
		w.t.Fatal(err)
	}
	w.group.Failover()
	w.lab.Eventually("every Sentinel names the candidate", time.Minute, func() error { return w.allName(r) })
	if err := os.Rename(away, r.Dir); err != nil {
		w.t.Fatal(err)
	}
	other.Do("CONFIG", "SET", "replica-priority", "100")
	w.group.WaitReplicas()
	w.named = r
	w.after("after_files", r.Address, preflight.Failed, before, "was not rewritten in the failover", filepath.Base(r.ConfigFile))
	r.Do("CONFIG", "REWRITE")
	w.after("after_files", r.Address, preflight.Passed, before)
	w.after("after_files", old.Address, preflight.Passed, before)
	w.after("after_master", "", preflight.Passed, before)

	for _, f := range []failure{
		{check: "after_replicas", of: group, shows: []string{other.Address + " is not attached"},
			spoil: func(*world) { other.Kill() },
			mend:  func(*world) { other.Restart(); w.group.WaitReplicas() }},
		{check: "after_serves", shows: []string{"min-replicas-to-write 1000000"},
			spoil: func(*world) { r.Do("CONFIG", "SET", "min-replicas-to-write", "1000000") },
			mend:  func(*world) { r.Do("CONFIG", "SET", "min-replicas-to-write", "0") }},
		{check: "after_keys", shows: []string{"db0: 100 before, 50 after"},
			spoil: func(*world) { w.fifty("DEL") }, mend: func(*world) { w.fifty("SET") }},
		{check: "after_evictions", shows: []string{"evicted_keys"},
			spoil: func(*world) {
				r.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", "1")
				_, _ = r.Try("SET", "one", "more") // refused, or not: others went for it
			},
			mend: func(*world) {
				r.Do("CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "noeviction")
				r.Do("CONFIG", "RESETSTAT")
			}},
	} {
		of := r.Address
		if f.of != nil {
			of = f.of(w)
		}
		w.lab.Mark("%s is made to fail", f.check)
		f.spoil(w)
		w.after(f.check, of, preflight.Failed, before, f.shows...)
		f.mend(w)
		w.after(f.check, of, preflight.Passed, before)
	}
}

// fifty keys are deleted at the new master, or set again.
func (w *world) fifty(command string) {
	for i := range 50 {
		args := []any{command, fmt.Sprintf("key:%d", i)}
		if command == "SET" {
			args = append(args, "again")
		}
		w.master().Do(args...)
	}
}

func (w *world) allName(r *lab.Redis) error {
	for _, s := range w.group.Sentinels {
		if at := s.Master(w.group.Name); at != r.Address {
			return fmt.Errorf("%s names %s", s.Name, at)
		}
	}
	return nil
}

// allShow: every Sentinel has been told that priority by the replica, whom it
// asks every 10 s.
func (w *world) allShow(r *lab.Redis, priority string) error {
	for _, s := range w.group.Sentinels {
		for _, shown := range s.Replicas(w.group.Name) {
			if shown["ip"]+":"+shown["port"] == r.Address && shown["slave-priority"] != priority {
				return fmt.Errorf("%s shows priority %s", s.Name, shown["slave-priority"])
			}
		}
	}
	return nil
}

// after waits until a check after the switch says so.
func (w *world) after(id, address string, want preflight.Outcome, before preflight.Facts, texts ...string) {
	w.t.Helper()
	w.lab.Eventually(fmt.Sprintf("%s of %q is %s", id, address, want), time.Minute, func() error {
		for _, f := range preflight.PostSwitch(before, w.facts()) {
			if f.Check == id && f.Node == address {
				return is(f, want, texts)
			}
		}
		return errors.New("it was not judged")
	})
}
