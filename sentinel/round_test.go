package sentinel

// What one group is answered is that group's alone: lies, garbage and names that
// take long to look up.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// honestOf is a Sentinel of the groups, each of whose masters is at the same
// address; spoilt answers what begins with the name of its group instead.
func honestOf(groups []string, spoilt map[string]func(command string) string) func(string) string {
	truth := honest(1, "127.0.0.1:1", 4)
	return func(command string) string {
		for _, g := range groups {
			if before, ok := strings.CutSuffix(command, " "+g); ok {
				if say := spoilt[g]; say != nil {
					return say(before)
				}
				return strings.ReplaceAll(truth(before+" mymaster"), "$8\r\nmymaster", fmt.Sprintf("$%d\r\n%s", len(g), g))
			}
		}
		return truth(command)
	}
}

// One group of three is answered what no Sentinel sends. The two others are
// answered all the same, whoever is asked first.
func TestOneGroupsGarbageIsItsOwn(t *testing.T) {
	t.Parallel()
	groups := []string{"g0", "g1", "g2"}
	for name, say := range map[string]func(string) string{
		"it announces a gigabyte": func(string) string { return "$1000000000\r\n" },
		"it sends without end":    func(string) string { return "$1000000\r\n" + strings.Repeat("x", 1000000) + "\r\n" },
		"it nests without end":    func(string) string { return strings.Repeat("*1\r\n", 100) },
		"it is silent about one":  func(string) string { return "*2\r\n" },
		"it speaks another language": func(string) string {
			return "HTTP/1.1 400 Bad Request\r\n\r\n"
		},
		"it is answered for another": func(command string) string {
			return honestOf([]string{"g9"}, nil)(command + " g9")
		},
		"it is told a word too many": func(command string) string {
			return honestOf([]string{"g1"}, nil)(command+" g1") + "+OK\r\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.Loopback(t)
			at := newLiar(t, honestOf(groups, map[string]func(string) string{"g1": say})).Addr().String()
			shared := newShared(t)
			var all []*seen
			for _, g := range groups {
				all = append(all, watch(t, Config{Group: g, Sentinels: []string{at}, PollEvery: pollMin, Conversations: shared}, nil))
			}
			l.Eventually("the garbage is noticed", 20*time.Second, func() error {
				if v := all[1].View().Sentinels[0]; v.Garbage+v.Failures < 4 || v.Answering {
					return fmt.Errorf("%+v", v)
				}
				return nil
			})
			for _, i := range []int{0, 2} {
				n := all[i].View().Sentinels[0].Polls
				l.Eventually("the others are answered", 20*time.Second, func() error {
					if v := all[i].View().Sentinels[0]; !v.Answering || v.Polls < n+5 {
						return fmt.Errorf("group %d: %+v", i, v)
					}
					return nil
				})
			}
		})
	}
}

// What a hostile Sentinel sends one group after another is kept until the last is
// answered: it has a bound, whatever number of groups it is sent to.
func TestAnswersOfManyAreBounded(t *testing.T) {
	t.Parallel()
	const groups, size = 40, 300_000
	long := fmt.Sprintf("$%d\r\n%s\r\n", size, strings.Repeat("x", size))
	client, server := net.Pipe()
	defer client.Close()
	sent := make(chan int, 1)
	go func() {
		defer server.Close()
		taken := 0
		defer func() { sent <- taken }()
		room := make([]byte, 2*maxWrite)
		if _, err := server.Read(room); err != nil {
			return
		}
		if _, err := server.Write([]byte("*0\r\n")); err != nil { // to HELLO
			return
		}
		if _, err := server.Read(room); err != nil {
			return
		}
		for range groups {
			n, err := server.Write([]byte("*-1\r\n" + long))
			if taken += n; err != nil {
				return
			}
		}
	}()
	var commands [][]any
	for i := range groups {
		lean, _ := polls(fmt.Sprint(i))
		commands = append(commands, lean.commands...)
	}
	l := newLink(client, "", "", false)
	answers, err := l.ask(t.Context(), time.Minute, commands...)
	if len(answers) < 10 || len(answers) == len(commands) || !isGarbage(err) {
		t.Errorf("got %d answers of %d, and %v, want those of the first few", len(answers), len(commands), err)
	}
	l.close()
	if n := <-sent; n < maxBurst/2 || n > maxBurst+size {
		t.Errorf("%d bytes were read, want no more than %d", n, maxBurst)
	}
}

// take asks no more in one write than Sentinel reads at once, in the order in which
// they were due, and those whose answers broke the connection when nobody else is.
func TestTakeBoundsAWrite(t *testing.T) {
	set := NewConversations(lab.Now)
	c := &conversation{set: set, ask: signal.New(), groups: map[string][]*party{}}
	var all []*party
	for i := range 100 {
		w, err := New(Config{Group: fmt.Sprintf("%0100d", i), Sentinels: []string{"127.0.0.1:1"}, Now: lab.Now, Conversations: set})
		if err != nil {
			t.Fatal(err)
		}
		p := &party{w: w}
		set.enter(c, p)
		p.poll(i%2 == 0)
		p.poll(false) // is one poll with the one before, and as full
		all = append(all, p)
	}
	all[3].spoil()
	all[3].until = time.Time{}
	all[4].spoil()
	all[4].until = time.Now().Add(time.Hour)
	all[5].reading = true
	var taken []*party
	for {
		c.take()
		if len(c.batch) == 0 {
			break
		}
		size := 0
		for _, a := range c.batch {
			size += a.poll().bytes
			taken = append(taken, a.p)
			if i := slices.Index(all, a.p); a.full != (i%2 == 0) {
				t.Errorf("%d is asked full: %v", i, a.full)
			}
		}
		if size > maxWrite {
			t.Errorf("%d bytes in one write", size)
		}
		if slices.Contains(taken, all[3]) && len(c.batch) != 1 {
			t.Errorf("who broke the connection is asked with %d others", len(c.batch)-1)
		}
	}
	want := slices.DeleteFunc(slices.Clone(all), func(p *party) bool { return p == all[3] || p == all[4] || p == all[5] })
	want = append(want, all[3])
	if !slices.Equal(taken, want) {
		t.Errorf("taken %d of %d, want all but three in order, and the one that spoilt it last", len(taken), len(all))
	}
	if len(c.due) != 2 || c.due[0] != all[4] || c.due[1] != all[5] {
		t.Errorf("%d are due still", len(c.due))
	}
	// Alone it is nobody's burden, and a group as long as it likes is asked alone.
	for _, p := range all[:99] {
		set.exit(p)
	}
	all[99].spoil()
	all[99].w.lean.bytes = 2 * maxWrite
	all[99].poll(false)
	if c.take(); len(c.batch) != 1 || c.batch[0].p != all[99] {
		t.Errorf("the batch is %+v", c.batch)
	}
}

// A message goes to the groups it names, whatever they are called.
func TestMessagesGoToWhomTheyName(t *testing.T) {
	names := []string{"g1", "g11", "my master", "my", "a\tb", "@", "slave", "ünïcode", "x y z", "%s", "master my"}
	set := NewConversations(lab.Now)
	c := &conversation{set: set, ask: signal.New(), groups: map[string][]*party{}}
	for _, name := range append(names, "g1") { // two Watchers of one group
		w, err := New(Config{Group: name, Sentinels: []string{"127.0.0.1:1"}, Now: lab.Now, Conversations: set})
		if err != nil {
			t.Fatal(err)
		}
		set.enter(c, &party{w: w})
	}
	for _, tt := range []struct {
		channel, text string
		want          []string
	}{
		{"+switch-master", "g1 10.0.0.1 6379 10.0.0.2 6379", []string{"g1", "g1"}},
		{"+switch-master", "g11 10.0.0.1 6379 10.0.0.2 6379", []string{"g11"}},
		{"+switch-master", "my master 10.0.0.1 6379 10.0.0.2 6379", []string{"my master", "my"}},
		{"+sdown", "master my master 10.0.0.1 6379", []string{"my master", "my", "master my"}},
		{"+slave", "slave 10.0.0.2:6379 10.0.0.2 6379 @ a\tb 10.0.0.1 6379", []string{"a\tb", "@", "slave"}},
		{"+odown", "master ünïcode 10.0.0.1 6379 #quorum 2/2", []string{"ünïcode"}},
		{"+odown", "master xx y zz 10.0.0.1 6379 x y z", []string{"x y z"}},
		{"+odown", "master %s 10.0.0.1 6379", []string{"%s"}},
		{"+odown", "master unheard-of 10.0.0.1 6379", nil},
		{"+tilt", "#tilt mode entered", append(names[:len(names):len(names)], "g1")},
		{"-tilt", "#tilt mode exited", append(names[:len(names):len(names)], "g1")},
	} {
		c.hand(tt.channel, tt.text)
		var got []string
		for _, p := range c.parties {
			select {
			case <-p.w.pollNow:
				got = append(got, p.w.cfg.Group)
			default:
			}
		}
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s %q goes to %q, want %q", tt.channel, tt.text, got, tt.want)
		}
	}
}

// A name that is looked up for the first time takes as long as the name server
// does. Only the group that it is of waits for it.
func TestLookupOfOneGroupDelaysNoOther(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	truth := honest(1, "redis.example:6379", 4)
	at := newLiar(t, honestOf([]string{"g0", "g1"}, map[string]func(string) string{
		"g1": func(before string) string {
			return strings.ReplaceAll(truth(before+" mymaster"), "$8\r\nmymaster", "$2\r\ng1")
		},
	})).Addr().String()
	shared := newShared(t)
	quick := watch(t, Config{Group: "g0", Sentinels: []string{at}, PollEvery: pollMin, Conversations: shared}, nil)
	l.Eventually("the first is answered", 20*time.Second, func() error {
		if !quick.View().Sentinels[0].Answering {
			return errors.New("it is not")
		}
		return nil
	})
	var looking atomic.Bool
	found := make(chan struct{})
	w, err := New(Config{Group: "g1", Sentinels: []string{at}, PollEvery: pollMin, Now: lab.Now, Conversations: shared})
	if err != nil {
		t.Fatal(err)
	}
	w.names.lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
		looking.Store(true)
		<-found // a name server that takes its time
		return []netip.Addr{netip.MustParseAddr("127.0.0.7")}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	l.Eventually("the name is being looked up", 20*time.Second, func() error {
		if !looking.Load() {
			return errors.New("it is not")
		}
		return nil
	})
	n := quick.View().Sentinels[0].Polls
	l.Eventually("the other is answered meanwhile", 20*time.Second, func() error {
		if got := quick.View().Sentinels[0].Polls; got < n+5 {
			return fmt.Errorf("%d polls more", got-n)
		}
		return nil
	})
	if v := w.View(); v.Sentinels[0].Polls != 0 {
		t.Errorf("it was answered before its name was found: %+v", v)
	}
	close(found)
	l.Eventually("the name is found", 20*time.Second, func() error {
		if v := w.View().Sentinels[0]; v.Master != watchdog.Address("127.0.0.7:6379") || v.Polls < 2 {
			return fmt.Errorf("%+v", v)
		}
		return nil
	})
}

// A group that polls more often than the others is answered as often.
func TestEachGroupKeepsItsPace(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	groups := []string{"g0", "g1"}
	at := newLiar(t, honestOf(groups, nil)).Addr().String()
	shared := newShared(t)
	slow := watch(t, Config{Group: "g0", Sentinels: []string{at}, PollEvery: 10 * pollMin, Conversations: shared}, nil)
	quick := watch(t, Config{Group: "g1", Sentinels: []string{at}, PollEvery: pollMin, Conversations: shared}, nil)
	polls := func(s *seen) uint64 { return s.View().Sentinels[0].Polls }
	l.Eventually("both are answered", 20*time.Second, func() error {
		if polls(slow) == 0 || polls(quick) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	s, q := polls(slow), polls(quick)
	l.Eventually("five polls of the slow one", 60*time.Second, func() error {
		if got := polls(slow) - s; got < 5 {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
	s, q = polls(slow)-s, polls(quick)-q
	if q < 2*s {
		t.Errorf("%d polls of the one that polls every %v, to %d of the one that polls every %v", q, pollMin, s, 10*pollMin)
	}
}
