// Package fit measures what removing and moving values costs on this host: a
// throw-away server of the program that runs, which listens on a socket nobody
// else can reach, is filled, asked and killed.
package fit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
	"github.com/redis-watchdog/redis-watchdog/preflight/shadow"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// Config is one fit.
type Config struct {
	Binary     string // of the server, as seen in Root
	Root       string // see shadow.Config
	Credential *syscall.Credential
	Server     string        // "redis 7.0.15": what the binary must be
	Temporary  string        // where its directory is made; empty: the system's
	Deadline   time.Duration // of all of it; 0: 20 s. Half a minute is the most of processor time a shadow gets
	Progress   func(done, of int64)
}

const defaultDeadline = 20 * time.Second

// text is the throw-away server's configuration. It holds some 150 MB at the
// most, and removes nothing on another thread: that is what is measured.
const text = "maxmemory 512mb\nmaxmemory-policy noeviction\nsave \"\"\n" +
	"lazyfree-lazy-user-del no\nlazyfree-lazy-server-del no\nproto-max-bulk-len 512mb\n"

// file is that as a file.
type file struct{}

func (file) Read(string) ([]byte, error)           { return []byte(text), nil }
func (file) List(string) ([]string, error)         { return nil, nil }
func (file) Exists(string) bool                    { return false }
func (file) Directory(name string) (string, error) { return name, nil }

// Run measures. An error says why nothing could be.
func Run(ctx context.Context, c Config) (stall.Rates, error) {
	product, version, _ := strings.Cut(c.Server, " ")
	build, err := redisconf.ForVersion(product, version)
	if err != nil {
		return stall.Rates{}, err
	}
	read, err := redisconf.Evaluate(build, file{}, redisconf.Start{File: "/fit.conf", Dir: "/"})
	if err != nil {
		return stall.Rates{}, fmt.Errorf("configure the throw-away server: %w", err)
	}
	if c.Deadline == 0 {
		c.Deadline = defaultDeadline
	}
	s := shadow.Config{Binary: c.Binary, Root: c.Root, Credential: c.Credential, Temporary: c.Temporary, Build: build, Read: read, Deadline: c.Deadline}
	var rates stall.Rates
	err = shadow.Use(ctx, s, func(ctx context.Context, client *redisclient.Client) (err error) {
		rates, err = (&fitter{Config: c, ctx: ctx, client: client}).all()
		return err
	})
	if err != nil {
		return stall.Rates{}, fmt.Errorf("measure with a throw-away server: %w", err)
	}
	return rates, nil
}

// fitter is one measurement under way.
type fitter struct {
	Config
	ctx    context.Context // ends with the deadline
	client *redisclient.Client
}

// keys of one class are filled side by side, so that the memory of each lies
// scattered as that of values which grow together does.
const keys = 3

func (f *fitter) all() (stall.Rates, error) {
	info, err := f.info()
	if err != nil {
		return stall.Rates{}, err
	}
	is := "redis " + info["redis_version"]
	if v := info["valkey_version"]; v != "" {
		is = "valkey " + v
	}
	if is != f.Server {
		return stall.Rates{}, fmt.Errorf("%s is %s, and the server is %s", f.Binary, is, f.Server)
	}
	rates := stall.Rates{Fitted: true, From: "a throw-away server of the same program on this host, " + is,
		Free: map[stall.Class]stall.Rate{}, Dump: map[stall.Class]stall.Rate{}, Restore: map[stall.Class]stall.Rate{}}
	for i, class := range stall.Classes() {
		if f.Progress != nil {
			f.Progress(int64(i), int64(len(stall.Classes())))
		}
		var few, large measured
		if few, err = f.class(class, stall.Small); err == nil {
			large, err = f.class(class, stall.Large)
		}
		if err != nil {
			return stall.Rates{}, fmt.Errorf("%s: %w", class, err)
		}
		if class == stall.Flat {
			// The allocator gives pages back when it likes to, at times much later.
			large.free.processor = append(large.free.processor, few.free.processor...)
		}
		rates.Free[class], rates.Dump[class], rates.Restore[class] = rate(few.free, large.free), rate(few.dump, large.dump), rate(few.restore, large.restore)
	}
	return rates, nil
}

// measured is what a unit took, in each round.
type measured struct{ free, dump, restore spent }

// spent is time of the processor and of the clock, in nanoseconds a unit.
type spent struct{ processor, clock []float64 }

func (s *spent) add(processor, clock, units float64) {
	s.processor, s.clock = append(s.processor, processor/units), append(s.clock, clock/units)
}

func rate(few, large spent) stall.Rate {
	r := stall.Rate{Few: least(few.processor), Low: least(large.processor)}
	for _, all := range [][]float64{few.processor, large.processor, large.clock} {
		for _, x := range all {
			r.High = max(r.High, stall.Aged*x)
		}
	}
	r.Low = min(r.Low, r.High)
	r.Few = min(r.Few, r.Low)
	return r
}

func least(all []float64) float64 {
	low := all[0]
	for _, x := range all {
		low = min(low, x)
	}
	return low
}

// class measures one, with values of n units.
func (f *fitter) class(class stall.Class, n int) (m measured, err error) {
	units, err := f.fill(class, n)
	if err != nil {
		return m, fmt.Errorf("fill: %w", err)
	}
	for i := range keys {
		key := "k" + strconv.Itoa(i)
		payload, err := f.timed(&m.dump, units, "DUMP", key)
		if err != nil {
			return m, fmt.Errorf("DUMP: %w", err)
		}
		if _, err := f.timed(&m.restore, units, "RESTORE", "copy", "0", payload.Text()); err != nil {
			return m, fmt.Errorf("RESTORE: %w", err)
		}
		if _, err := f.timed(&m.free, units, "DEL", key); err != nil {
			return m, fmt.Errorf("DEL: %w", err)
		}
		if _, err := f.ask("DEL", "copy"); err != nil {
			return m, fmt.Errorf("DEL: %w", err)
		}
	}
	return m, nil
}

// timed is one command, and what it took of the server.
func (f *fitter) timed(to *spent, units float64, words ...string) (redisclient.Answer, error) {
	before, err := f.used()
	if err != nil {
		return redisclient.Answer{}, err
	}
	if _, err := f.ask("CONFIG", "RESETSTAT"); err != nil {
		return redisclient.Answer{}, err
	}
	answer, err := f.ask(words...)
	if err != nil {
		return redisclient.Answer{}, err
	}
	info, err := f.info()
	if err != nil {
		return redisclient.Answer{}, err
	}
	_, usec, ok := strings.Cut(info["cmdstat_"+strings.ToLower(words[0])], "usec=")
	usec, _, _ = strings.Cut(usec, ",")
	clock, err := strconv.ParseFloat(usec, 64)
	if !ok || err != nil {
		return redisclient.Answer{}, fmt.Errorf("INFO commandstats does not say how long %s took", words[0])
	}
	after, err := f.used()
	if err != nil {
		return redisclient.Answer{}, err
	}
	// Processor time has the question and the answer in it; the clock has whatever
	// else ran on this host meanwhile. The smaller one is the command's.
	to.add(1000*min(clock, max(0, after-before)), 1000*clock, units)
	return answer, nil
}

// used is the processor time of the main thread, in microseconds; of Redis 6.0,
// of all threads, of which the others are idle.
func (f *fitter) used() (float64, error) {
	info, err := f.info()
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, kind := range []string{"user", "sys"} {
		text, ok := info["used_cpu_"+kind+"_main_thread"]
		if !ok {
			text = info["used_cpu_"+kind]
		}
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, errors.New("INFO does not tell processor time")
		}
		total += seconds * 1e6
	}
	return total, nil
}

func (f *fitter) info() (map[string]string, error) {
	answer, err := f.ask("INFO", "all")
	if err != nil {
		return nil, fmt.Errorf("INFO: %w", err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(answer.Text()) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

func (f *fitter) ask(words ...string) (redisclient.Answer, error) {
	answers, err := f.client.Ask(f.ctx, words)
	if err != nil {
		return redisclient.Answer{}, err
	}
	return answers[0], answers[0].Err
}

// fill makes the keys of a class, and says how many units each has.
func (f *fitter) fill(class stall.Class, n int) (units float64, err error) {
	most := 100 // elements of one command
	if class == stall.Stream {
		most = 1
	}
	var batch [][]string
	bytes := 0
	flush := func() error {
		answers, err := f.client.Ask(f.ctx, batch...)
		for _, a := range answers {
			err = cmp.Or(err, a.Err)
		}
		batch, bytes = batch[:0], 0
		return err
	}
	add := func(words ...string) error {
		batch = append(batch, words)
		for _, w := range words {
			bytes += len(w)
		}
		if len(batch) < 64 && bytes < 1<<20 {
			return nil
		}
		return flush()
	}
	if class == stall.Flat {
		n *= 40 // bytes: 8 MB
		for i := range keys {
			value := noise(n)
			if i == 0 { // what compresses well is written and read faster
				value = strings.Repeat("\x00", n)
			}
			if err := add("SET", "k"+strconv.Itoa(i), value); err != nil {
				return 0, err
			}
		}
		return float64(n), flush()
	}
	for from := 0; from < n; from += most {
		for i := range keys {
			if err := add(elements(class, "k"+strconv.Itoa(i), from, min(from+most, n), n)...); err != nil {
				return 0, err
			}
		}
	}
	if err := flush(); err != nil {
		return 0, err
	}
	switch class {
	case stall.List:
		return max(1, float64(n)*elementBytes/(8<<10)), nil
	case stall.Stream:
		return max(1, float64(n)/100), nil // stream-node-max-entries
	}
	return float64(n), nil
}

// elementBytes of a list's elements.
const elementBytes = 64

// noise is text that LZF finds nothing in.
func noise(n int) string {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return string(b)
}

// elements is the command that adds some, in no order of their names.
func elements(class stall.Class, key string, from, to, n int) []string {
	words := []string{map[stall.Class]string{stall.List: "RPUSH", stall.Set: "SADD", stall.Hash: "HSET", stall.Zset: "ZADD", stall.Stream: "XADD"}[class], key}
	for i := from; i < to; i++ {
		name := fmt.Sprintf("member:%09d", i*7919%n)
		switch class {
		case stall.List:
			words = append(words, name+":"+strings.Repeat("v", elementBytes-len(name)-4))
		case stall.Set:
			words = append(words, name)
		case stall.Hash:
			words = append(words, name, "value:"+name)
		case stall.Zset:
			words = append(words, strconv.Itoa(i), name)
		case stall.Stream:
			words = append(words, "*", "field", name)
		}
	}
	return words
}
