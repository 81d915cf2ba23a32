package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// LoadConfig is a client that stands on a host and asks at a rate. It has
// either a fixed Redis to talk to (To, Address) or Sentinels to follow.
type LoadConfig struct {
	Name        string      // in keys and on the timeline; empty: the host's name
	To          *Redis      // always this one; or
	Address     string      // always this "host:port"; or
	Sentinels   []*Sentinel // whomever the first of these that answers names,
	Group       string      // as the master of this group; empty: "mymaster"
	Connections int         // 0: 4, each with one command in flight
	Rate        float64     // commands a second over all connections; 0: 200
	Timeout     time.Duration
	// Timeout is how long an answer is waited for (0: 5 s, so that a held write
	// is seen to be answered late); the connection is dropped then.

	User, Password string // empty: those of To, or of As
	As             *Redis // whose credentials and TLS do for all that are found by Sentinels
}

// Load is a running Writer or Reader.
type Load struct {
	Name string

	host   *Host
	config LoadConfig
	read   bool
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu    sync.Mutex
	trace Trace
}

// Writer starts to SET unique keys. A command that got no answer is never
// repeated. It ends with Stop, or with the lab.
func (h *Host) Writer(c LoadConfig) *Load {
	h.lab.t.Helper()
	return h.load(c, false)
}

// Reader starts to GET; a missing key is as good an answer as any.
func (h *Host) Reader(c LoadConfig) *Load {
	h.lab.t.Helper()
	return h.load(c, true)
}

func (h *Host) load(c LoadConfig, read bool) *Load {
	h.lab.t.Helper()
	if c.Name == "" {
		c.Name = h.Name
	}
	if c.To != nil {
		c.Address, c.As = c.To.Address, c.To
	}
	if c.As != nil && c.Password == "" {
		as := c.As.sideDoor()
		c.User, c.Password = as.user, as.password
	}
	if c.Address == "" && len(c.Sentinels) == 0 {
		h.lab.t.Fatalf("lab: load %q has neither an address nor Sentinels", c.Name)
	}
	if c.Group == "" {
		c.Group = "mymaster"
	}
	if c.Connections == 0 {
		c.Connections = 4
	}
	if c.Rate == 0 {
		c.Rate = 200
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	ctx, cancel := context.WithCancel(h.lab.ctx)
	d := &Load{Name: c.Name, host: h, config: c, read: read, cancel: cancel}
	for n := range c.Connections {
		d.work.Add(1)
		h.lab.background.Go(func() {
			defer d.work.Done()
			d.run(ctx, n)
		})
	}
	return d
}

// Stop ends the load, after the answers in flight, and is all its answers.
func (d *Load) Stop() Trace {
	d.cancel()
	d.work.Wait()
	return d.Trace()
}

// Trace is the answers so far, in the order they were received.
func (d *Load) Trace() Trace {
	d.mu.Lock()
	trace := slices.Clone(d.trace)
	d.mu.Unlock()
	slices.SortStableFunc(trace, func(a, b Answer) int { return int(a.Received - b.Received) })
	return trace
}

// WaitOK waits until an OK that was sent after t has been received.
func (d *Load) WaitOK(after watchdog.Instant, limit time.Duration) Answer {
	l := d.host.lab
	l.t.Helper()
	var found Answer
	l.Eventually("an OK for "+d.Name, limit, func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, a := range slices.Backward(d.trace) {
			if a.Kind == OK && a.Sent > after {
				found = a
				return nil
			}
		}
		if n := len(d.trace); n > 0 {
			return fmt.Errorf("the last of %d answers is %s %s", n, d.trace[n-1].Kind, d.trace[n-1].Text)
		}
		return errors.New("there is no answer at all")
	})
	return found
}

// run is one connection: a command at every turn, or none where the last is
// still unanswered (turns that passed meanwhile are not made up for).
func (d *Load) run(ctx context.Context, n int) {
	interval := time.Duration(float64(d.config.Connections) / d.config.Rate * float64(time.Second))
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var w *wire
	address := ""
	defer func() {
		if w != nil {
			w.close()
		}
	}()
	for sequence := 0; ; sequence++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Only sending is frozen with the host: what has arrived is received
		// when it arrived.
		if d.host.awake(ctx) != nil {
			return
		}
		if w == nil {
			if w, address = d.connect(ctx); w == nil {
				continue
			}
		}
		answer, usable := d.ask(w, address, fmt.Sprintf("%s:%d:%d", d.Name, n, sequence))
		d.add(answer)
		if !usable || answer.Kind != OK && len(d.config.Sentinels) > 0 {
			w.close()
			w = nil
		}
	}
}

// connect resolves and dials; what goes wrong is an answer too.
func (d *Load) connect(ctx context.Context) (*wire, string) {
	const limit = time.Second
	sent := Now()
	address, err := d.config.Address, error(nil)
	if address == "" {
		address, err = d.follow(ctx, limit)
	}
	var w *wire
	if err == nil {
		dial := dialFunc(d.host.Dial)
		if ca := d.ca(); ca != nil {
			dial = tlsDialer(dial, ca.ClientConfig())
		}
		w, err = dialWire(ctx, dial, "tcp", address, login{d.config.User, d.config.Password}, limit)
	}
	if err == nil {
		return w, address
	}
	if ctx.Err() == nil {
		d.add(Answer{Redis: address, Sent: sent, Received: Now(), Kind: NotConnected, Text: err.Error()})
	}
	return nil, ""
}

func (d *Load) ca() *CA {
	if d.config.As == nil {
		return nil
	}
	return d.config.As.config.TLS
}

// follow asks the Sentinels in turn, as a client library does.
func (d *Load) follow(ctx context.Context, limit time.Duration) (string, error) {
	var errs []error
	for _, s := range d.config.Sentinels {
		dial := dialFunc(d.host.Dial)
		if s.config.TLS != nil {
			dial = tlsDialer(dial, s.config.TLS.ClientConfig())
		}
		w, err := dialWire(ctx, dial, "tcp", s.Address, login{"", s.config.Password}, limit)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		reply, err := w.do(limit, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", d.config.Group)
		w.close()
		if address := joinAddress(reply); err == nil && address != "" {
			return address, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("ask Sentinels: %w", errors.Join(errs...))
}

// ask sends one command; usable says whether the connection still is.
func (d *Load) ask(w *wire, address, key string) (answer Answer, usable bool) {
	answer = Answer{Key: key, Redis: address, Sent: Now()}
	var reply any
	var err error
	if d.read {
		reply, err = w.do(d.config.Timeout, "GET", "lab:"+d.Name)
	} else {
		reply, err = w.do(d.config.Timeout, "SET", key, key)
	}
	answer.Received = Now()
	var refused replyError
	var timeout net.Error
	switch {
	case err == nil && (d.read || reply == "OK"):
		answer.Kind = OK
	case err == nil:
		answer.Kind, answer.Text = Refused, fmt.Sprint(reply)
	case errors.As(err, &refused):
		answer.Kind, answer.Text = Refused, refused.class()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		answer.Kind = TimedOut
		return answer, false
	default:
		answer.Kind, answer.Text = Reset, err.Error()
		return answer, false
	}
	return answer, true
}

func (d *Load) add(a Answer) {
	d.mu.Lock()
	d.trace = append(d.trace, a)
	d.mu.Unlock()
}
