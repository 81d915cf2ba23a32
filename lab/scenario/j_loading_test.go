package scenario

// Case j, continued: LOADING for long, and a Redis that is full of clients.

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// loadKeys is how many there are to load. Redis answers between two of them: with
// few that take long it is as good as hung, and Sentinel's PINGs find it down.
const loadKeys = 10000

// slowToLoad keeps its data, and takes long to load it again, unless loadFast
// ends it; longer than length where the machine stands still between two keys.
func slowToLoad(length time.Duration) watched.Options {
	o := shortFailover(watched.Options{})
	o.Group.Redis.Lines = []string{
		`save 3600 1000000`, "enable-debug-command yes", // no save of its own accord
		"loading-process-events-interval-bytes 1024",
		fmt.Sprintf("key-load-delay %d", (length / loadKeys).Microseconds()),
	}
	return o
}

func fill(r *lab.Redis) {
	r.Do("EVAL", `for i = 1, tonumber(ARGV[1]) do redis.call('SET', 'filling:' .. i, string.rep('x', 100)) end`, "0", strconv.Itoa(loadKeys))
	r.Do("SAVE")
}

// crash ends it and starts it again, and returns when it says that it loads.
func crash(w *watched.World, r *lab.Redis) {
	w.T.Helper()
	r.Kill()
	r.Process.Restart()
	w.Eventually(r.Name+" loads", 20*time.Second, func() error {
		_, err := r.Try("GET", "k")
		if err == nil {
			return errors.New("it answers")
		}
		if !isLoading(err) {
			return err
		}
		return nil
	})
}

// loadFast has it load the rest, and all that it will ever load, at once. A fence
// on its way may cut this connection too.
func loadFast(w *watched.World, r *lab.Redis) {
	w.T.Helper()
	w.Eventually(r.Name+" loads fast", 20*time.Second, func() error {
		_, err := r.Try("CONFIG", "SET", "key-load-delay", "0")
		return err
	})
}

func isLoading(err error) bool {
	return err != nil && len(err.Error()) > 7 && err.Error()[:7] == "LOADING"
}

// A master that comes back and loads for much longer than down-after is a good
// master to Sentinel (LOADING is as good an answer as PONG), and so it is to
// the watchdog: it answers nobody anyway. It is neither killed nor fenced, and
// serves when it has loaded.
func TestMasterLoadsForLong(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, slowToLoad(15*time.Second))
	master := w.WaitServing()
	fill(master.Redis)
	clients := w.Crowd()
	quiet := w.Churn()
	crash(w, master.Redis)
	pid := master.Redis.PID()
	loading := w.Mark("it loads")
	master.WaitFor("sees it load", func(s agent.Status) bool { return s.Answer == "loading" })
	w.Pause(3 * downAfter)
	loadFast(w, master.Redis)
	clients.WaitOK(loading)
	took := lab.Now().Sub(loading)
	w.WaitGuarded()
	writes, reads := clients.Stop()
	t.Logf("loaded for %.1f D; writes: %s; reads: %s; %s", float64(took)/float64(downAfter), writes, reads, quiet.Counts())
	if took < 2*downAfter {
		t.Fatalf("it loaded for %v only: this shows nothing", took)
	}
	if master.Redis.PID() != pid || !master.Redis.Running() {
		t.Error("it was killed")
	}
	if n := quiet.Counts(); n.Switches != 0 || n.Stopped != 0 {
		t.Errorf("%s; want no failover and nothing refused", n)
	}
}

// The same while it is cut off from all: another is promoted meanwhile, and
// what has loaded at last must answer nobody.
func TestMasterLoadsWhileCutOff(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, slowToLoad(15*time.Second))
	old := w.WaitServing()
	fill(old.Redis)
	c := w.BeforeCut()
	cutOffAtOnce(w, c)
	crash(w, old.Redis)
	pid := old.Redis.PID()
	started := w.Mark("it loads")
	c.WaitWritten()
	w.Eventually("it says that it loads", time.Minute, func() error {
		_, err := old.Redis.Try("GET", "k")
		var reset *net.OpError // the fence ends clients' connections, this one too
		if err != nil && !isLoading(err) && !errors.As(err, &reset) && !errors.Is(err, io.EOF) {
			t.Fatalf("GET: %v: it has loaded before another was promoted", err)
		}
		if err == nil {
			t.Fatal("GET is answered: it has loaded before another was promoted")
		}
		if !isLoading(err) {
			return err
		}
		return nil
	})
	loadFast(w, old.Redis)
	old.WaitPhase("refuse")
	w.Pause(shortOutage)
	change := c.Heal()
	t.Logf("%s", change.Sum(downAfter))
	t.Logf("loaded while another was master: %s", answeredSince(c, change, started))
	if old.Redis.PID() != pid || !old.Redis.Running() {
		t.Error("it was killed")
	}
	noOverlap(t, c, change, watchdog.Never)
	putBack(w, old)
}

// Full of clients: what the watchdog needs to fence it is there already.
func TestMaxclientsReachedThenCut(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, shortFailover(watched.Options{}))
	old := w.WaitServing()
	c := w.BeforeCut()
	quiet := w.Churn()
	full := crowdOut(w, old.Redis)
	w.Pause(2 * downAfter) // several times as long as a fence is armed
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("full of clients: %s; want a healthy master left alone", n)
	}
	if s := old.Status(); s.Phase != "serve" {
		t.Errorf("full of clients: phase %s, row %d %s, faults %v", s.Phase, s.Row, s.Reason, s.Faults)
	}
	cutOffAtOnce(w, c)
	c.WaitWritten()
	full()
	w.Pause(shortOutage)
	change := c.Heal()
	t.Logf("%s", change.Sum(downAfter))
	contractOfFence(t, change)
	putBack(w, old)
}

// crowdOut takes every connection that Redis has left, and whatever comes free.
func crowdOut(w *watched.World, r *lab.Redis) (leave func()) {
	w.T.Helper()
	r.Do("CONFIG", "SET", "maxclients", "100")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var all []net.Conn
		defer func() {
			for _, c := range all {
				c.Close()
			}
		}()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if conn, err := r.Host.Dial(w.Context(), "tcp", r.Address); err == nil {
				all = append(all, conn)
			}
		}
	}()
	leave = func() {
		select {
		case <-stop:
		default:
			close(stop)
		}
		<-done
	}
	w.T.Cleanup(leave)
	w.Eventually("Redis is full", 20*time.Second, func() error {
		reply, err := r.Try("PING")
		if err == nil {
			return fmt.Errorf("PING is answered %v", reply)
		}
		return nil
	})
	w.Mark("%s is full of clients", r.Name)
	return leave
}
