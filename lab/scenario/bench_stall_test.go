package scenario

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// stalled is what one stall of a master did to its clients.
type stalled struct {
	cut   bool          // the script's own connection was ended
	late  time.Duration // from the stall's end until a write that came in during it was answered well
	ok    bool          // it was, and on the same connection
	moved bool          // another Redis is the master now
	again time.Duration // from the stall's end until a new write was taken, on any connection; zero: none was in stallAgain
}

// stallAgain is how long a master that has woken is asked to take a write.
const stallAgain = 10 * time.Second

// stall has the group's master do one thing for so long, a script or (asleep) DEBUG
// SLEEP, beside a write that comes in meanwhile, and waits for what becomes of it.
func stall(w *watched.World, d time.Duration, asleep bool) stalled {
	master := w.Group.Master()
	o := *master.Client().Options()
	o.ReadTimeout, o.MaxRetries = time.Minute, -1
	client := redis.NewClient(&o)
	defer client.Close()
	// One connection each, opened before the stall.
	script, writer := client.Conn(), client.Conn()
	defer script.Close()
	defer writer.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := writer.Ping(ctx).Err(); err != nil {
		w.T.Fatalf("%v", err)
	}
	begun, ended := lab.Now(), make(chan error, 1)
	go func() {
		if asleep {
			ended <- script.Do(ctx, "DEBUG", "SLEEP", fmt.Sprint(d.Seconds())).Err()
			return
		}
		ended <- script.Eval(ctx, `local t = redis.call('TIME') local till = t[1] * 1000 + t[2] / 1000 + ARGV[1]
			repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > till return 1`, nil, d.Milliseconds()).Err()
	}()
	time.Sleep(d / 4)
	err := writer.Set(ctx, "stall", fmt.Sprint(begun), 0).Err()
	s := stalled{late: lab.Now().Sub(begun) - d, ok: err == nil}
	woken := begun.Add(d)
	for ; s.again == 0 && lab.Now().Sub(woken) < stallAgain; time.Sleep(time.Millisecond) {
		if err = client.Set(ctx, "stall", fmt.Sprint(woken), 0).Err(); err == nil {
			s.again = lab.Now().Sub(woken)
		}
	}
	s.cut = <-ended != nil
	return s
}

// BenchmarkStall is the table of docs/performance.md: how a group fares whose
// master stands still for a part of down-after-milliseconds, with the watchdog and
// with Sentinel alone, side by side. ROUNDS is how many stalls of each length (10),
// DOWN_AFTER down-after-milliseconds (5s), STALLS the lengths ("1s,2.5s"; without it
// a fifth to 19 twentieths of D). BY=sleep has the master sleep: a script takes a
// processor from everybody, and is answered for with BUSY from its fifth second on.
func BenchmarkStall(b *testing.B) {
	rounds, down := 10, 5*time.Second
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil {
		rounds = n
	}
	if d, err := time.ParseDuration(os.Getenv("DOWN_AFTER")); err == nil {
		down = d
	}
	binary := shipped(b)
	lengths := []time.Duration{down / 5, down * 2 / 5, down / 2, down * 3 / 5, down * 7 / 10, down * 8 / 10, down * 9 / 10, down * 19 / 20}
	if text := os.Getenv("STALLS"); text != "" {
		lengths = nil
		for one := range strings.SplitSeq(text, ",") {
			d, err := time.ParseDuration(one)
			if err != nil {
				b.Fatal(err)
			}
			lengths = append(lengths, d)
		}
	}
	asleep := os.Getenv("BY") == "sleep"
	o := watched.Options{Group: lab.GroupConfig{DownAfter: down, FailTimeout: 20 * time.Second}}
	o.Group.Redis.Lines = []string{"enable-debug-command yes"}
	guarded := watched.Start(b, o)
	for _, d := range guarded.Watchdogs {
		d.Binary = binary
		d.Restart()
	}
	guarded.WaitGuarded()
	o.Unguarded = true
	alone := watched.Start(b, o)
	for _, s := range lengths {
		b.Run(s.String(), func(b *testing.B) {
			fired, opened, held := 0, 0, 0
			var with, without []stalled
			var opening []time.Duration // of those that were fenced
			for range rounds {
				before := guarded.WaitServing()
				decided := len(before.Decided())
				f, op, h := total(before, "stall_fences_total", `result="fired"`), total(before, "stall_fences_total", `result="opened"`), total(before, "holds_total", "")
				one := make(chan stalled, 1)
				named := alone.Group.Master()
				go func() { one <- stall(alone, s, asleep) }()
				ours := stall(guarded, s, asleep)
				theirs := <-one
				// A failover comes after down-after, counted from before the stall, or not at all.
				guarded.Pause(max(down-s, 0) + 2*time.Second)
				ours.moved = guarded.WaitServing() != before
				theirs.moved = alone.Group.Master() != named
				if f = total(before, "stall_fences_total", `result="fired"`) - f; f > 0 {
					opening = append(opening, ours.again)
				}
				fired += f
				opened += total(before, "stall_fences_total", `result="opened"`) - op
				held += total(before, "holds_total", "") - h
				b.Logf("%+v, alone %+v; so far %d fired, %d opened, %d holds", ours, theirs, fired, opened, held)
				for _, why := range before.Decided()[decided:] {
					b.Logf("decided: %s", why.Line)
				}
				with, without = append(with, ours), append(without, theirs)
				guarded.WaitGuarded()
				guarded.Group.WaitReplicas()
				alone.Group.WaitReplicas()
				guarded.Eventually("no Sentinel remembers the fence", time.Minute, func() error {
					for _, one := range guarded.Group.Sentinels {
						if role := one.State(guarded.Group.Name)["role-reported"]; role != "master" {
							return fmt.Errorf("%s was told that the master is a %q", one.Name, role)
						}
					}
					return nil
				})
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(rounds), "stalls")
			b.ReportMetric(float64(fired), "fenced")
			b.ReportMetric(float64(opened), "opened")
			b.ReportMetric(float64(held), "holds")
			if slices.Sort(opening); len(opening) > 0 {
				b.ReportMetric(float64(opening[len(opening)/2].Microseconds())/1000, "open-ms")
				b.ReportMetric(float64(opening[len(opening)-1].Microseconds())/1000, "open-ms-max")
			}
			report := func(of []stalled, suffix string) {
				cut, refused, moved := 0, 0, 0
				var late []time.Duration
				for _, s := range of {
					if s.cut {
						cut++
					}
					if s.moved {
						moved++
					}
					if s.ok {
						late = append(late, s.late)
					} else {
						refused++
					}
				}
				slices.Sort(late)
				b.ReportMetric(float64(cut), "cut"+suffix)
				b.ReportMetric(float64(refused), "refused"+suffix)
				b.ReportMetric(float64(moved), "failovers"+suffix)
				if len(late) > 0 {
					b.ReportMetric(float64(late[len(late)/2].Microseconds())/1000, "late-ms"+suffix)
				}
			}
			report(with, "")
			report(without, "-alone")
		})
	}
}

// total is the sum of a counter's series with these labels next to each other.
func total(d *watched.Watchdog, name, labels string) int {
	line := regexp.MustCompile(`(?m)^redis_watchdog_` + name + `\{[^}]*` + regexp.QuoteMeta(labels) + `[^}]*\} (\S+)$`)
	sum := 0.0
	for _, found := range line.FindAllStringSubmatch(d.Metrics(), -1) {
		v, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			panic(fmt.Sprintf("metric %s: %v", name, err))
		}
		sum += v
	}
	return int(sum)
}
