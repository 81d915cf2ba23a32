package field

// A Redis that is taken out for good.

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// clean waits until status, asked on a host, finds nothing wrong.
func (s *story) clean(d *watched.Watchdog) {
	s.t.Helper()
	s.Eventually("status is clean at "+d.Name, 2*patience, func() error {
		s.Pause(time.Second) // a process each time
		if out, code := d.CLI("status"); code != 0 {
			return fmt.Errorf("exit %d\n%s", code, out)
		}
		return nil
	})
}

// commands are the lines of an output that are there to be pasted.
func commands(out string) string {
	var lines []string
	for _, m := range regexp.MustCompile(`(?m)^ {4}(\S.*)$`).FindAllStringSubmatch(out, -1) {
		lines = append(lines, m[1])
	}
	return strings.Join(lines, "\n")
}

// aDayPasses ends what etcd's lease counts for a node. Who still lists or hears the
// node makes it anew.
func (s *story) aDayPasses(client *clientv3.Client, address string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	resp, err := client.Get(ctx, "/redis-watchdog/v1/seen/"+s.Group.Name+"/"+address)
	if err == nil && len(resp.Kvs) > 0 {
		_, err = client.Revoke(ctx, clientv3.LeaseID(resp.Kvs[0].Lease))
	}
	if err != nil {
		s.t.Fatalf("a day passes for %s: %v", address, err)
	}
}

// A replica's watchdog and Redis are stopped for good. Nobody guards that Redis,
// which is a fault until it is forgotten; forget says what has to be done first,
// and that is done as it is printed.
func TestNodeTakenOutIsForgotten(t *testing.T) {
	t.Parallel()
	w := start(t, unhurried())
	s := begin(t, w)
	others := w.Others(s.master)
	gone, stays := others[0], others[1]
	address := gone.Redis.Address

	if out, code := stays.CLI("forget", w.Group.Name, s.master.Redis.Address); code != 1 || !strings.Contains(out, "redis-watchdog failover") {
		t.Errorf("the master: exit %d\n%s", code, out)
	}
	gone.Term()
	gone.Wait()
	gone.Redis.Term()
	gone.Redis.Wait()
	s.done("the watchdog and the Redis of " + gone.Host.Name + " are stopped for good")
	s.Eventually("status misses it", 2*patience, func() error {
		s.Pause(time.Second)
		if out, code := stays.CLI("status"); code != 1 || !strings.Contains(out, address+": its watchdog does not report") {
			return fmt.Errorf("exit %d\n%s", code, out)
		}
		return nil
	})
	out, code := stays.CLI("forget", w.Group.Name, address)
	remedy := commands(out)
	if code != 1 || strings.Count(remedy, "SENTINEL RESET") != len(w.Group.Sentinels) {
		t.Fatalf("while the Sentinels list it: exit %d\n%s", code, out)
	}
	s.paste(stays, remedy)
	s.done("SENTINEL RESET, as printed")
	client := w.Etcd.Client(nil)
	s.Eventually("a day later it is gone, and no fault", 2*patience, func() error {
		s.aDayPasses(client, address)
		s.Pause(time.Second)
		if out, code := stays.CLI("status"); code != 0 || !strings.Contains(out, address+": gone:") ||
			!strings.Contains(out, "redis-watchdog forget "+w.Group.Name+" "+address) {
			return fmt.Errorf("exit %d\n%s", code, out)
		}
		return nil
	})
	// A watchdog keeps what was listed for half a minute, which is more than a process
	// of the lab is waited for.
	s.Eventually("it is forgotten, as status prints it", 2*patience, func() error {
		if out, code := stays.CLI("forget", w.Group.Name, address, "--reason", "sold", "--timeout", "10s"); code != 0 {
			return fmt.Errorf("exit %d\n%s", code, out)
		}
		return nil
	})
	s.clean(s.master)
	s.clean(stays)
	if g := w.Record(); slices.Contains(g.Record.Nodes, watchdog.Address(address)) {
		t.Errorf("etcd still has it: %v", g.Record.Nodes)
	}
	if out, code := s.master.CLI("history", w.Group.Name); code != 0 || !strings.Contains(out, "forgotten by ") || !strings.Contains(out, "sold") {
		t.Errorf("history: exit %d\n%s", code, out)
	}

	gone.Redis.Restart()
	gone.Restart()
	s.done("both come back")
	gone.WaitFor("is guarded and in step", func(st agent.Status) bool { return st.Guarded && st.LinkUp && st.Data == "in_step" })
	s.Eventually("it has joined again", time.Minute, func() error {
		if g := w.Record(); !slices.Contains(g.Record.Nodes, watchdog.Address(address)) {
			return fmt.Errorf("the nodes are %v", g.Record.Nodes)
		}
		return nil
	})
	s.clean(stays)
	s.unrefused()
}
