package grant

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// deaf is a connection over which no answer comes once a text was sent for the first
// time, for as long as is says so.
type deaf struct {
	net.Conn
	text   string
	once   *sync.Once
	is     *atomic.Bool
	closed chan struct{}
}

func (c *deaf) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.once.Do(func() { c.is.Store(true) })
	}
	return c.Conn.Write(p)
}

func (c *deaf) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for c.is.Load() && err == nil {
		select {
		case <-c.closed:
			return 0, net.ErrClosed
		case <-time.After(10 * time.Millisecond):
		}
	}
	return n, err
}

func (c *deaf) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return c.Conn.Close()
}

// TestAClaimWhoseAnswerIsLostIsTakenBack: etcd carries it out, and whoever asked for
// it never hears so. It costs the unit nothing, and cannot be made later either.
func TestAClaimWhoseAnswerIsLostIsTakenBack(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	others := openStore(t, nil, etcd.Endpoints()...)
	run, units := unitsOf(t, others, 1)
	var lost atomic.Bool
	var once sync.Once
	s := openStore(t, func(c *Config) {
		c.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &deaf{Conn: conn, text: "fleet/claims/", once: &once, is: &lost, closed: make(chan struct{})}, nil
		}
	}, etcd.Endpoints()...)
	claim := FleetClaim{Run: run, Unit: units[0], Begun: []byte("begun at 1"), Slot: 3, Host: "h"}
	h, err := s.ClaimFleet(t.Context(), claim)
	if err == nil || errors.Is(err, ErrChanged) || h == nil {
		t.Fatalf("claimed %+v, %v: want an answer that does not come", h, err)
	}
	seen := func() (FleetUnit, FleetTaken) {
		t.Helper()
		found, taken, err := others.FleetUnits(t.Context(), run, "h", []string{"g000"})
		if err != nil || len(found) != 1 {
			t.Fatalf("found %+v, %v", found, err)
		}
		return found[0], taken
	}
	if u, taken := seen(); string(u.Value) != "begun at 1" || !u.Claimed || taken.Slots != 1 || !taken.Host {
		t.Fatalf("%s, taken %+v: want it carried out", u.Value, taken)
	}
	lost.Store(false)
	for range 2 { // the answer of the first may be lost too
		if err := others.UnclaimFleet(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if u, taken := seen(); string(u.Value) != "waiting" || u.Claimed || taken.Slots != 0 || taken.Host {
			t.Errorf("%s, taken %+v: want it as it was before", u.Value, taken)
		}
	}
	// The request that was under way arrives only now, as by a member that stood still.
	if _, err := others.transact(t.Context(), "arrive late", commandTimeout, []clientv3.Cmp{absent(others.fleetKey("claims/", "g000"))}, []clientv3.Op{
		clientv3.OpPut(others.fleetKey("units/", "g000"), "begun at 1"), clientv3.OpPut(others.fleetKey("claims/", "g000"), "", clientv3.WithLease(h.lease))}, nil); err == nil {
		t.Error("a claim is made under a lease that was ended")
	}
	now, _ := seen()
	claim.Unit, claim.Begun = now, []byte("begun at 2")
	if _, err := others.ClaimFleet(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if err := s.UnclaimFleet(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if u, _ := seen(); string(u.Value) != "begun at 2" || !u.Claimed {
		t.Errorf("%s: it is another's claim", u.Value)
	}
	if err := others.ChangeFleet(t.Context(), run, []byte("paused")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := others.FleetUnits(t.Context(), run, "h", []string{"g000"}); !errors.Is(err, ErrChanged) {
		t.Errorf("looked at another run: %v", err)
	}
}

// TestTheRunIsToldWithoutBeingAskedFor: whoever watches hears what stands, and each
// change, and asks once.
func TestTheRunIsToldWithoutBeingAskedFor(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	run, _ := unitsOf(t, s, 1)
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan string, 10), make(chan error, 1)
	before := transactions(t, etcd.Members[0])
	go func() { ended <- s.WatchFleet(ctx, func(e FleetEntry) { heard <- string(e.Value) }) }()
	hears := func(want string) {
		t.Helper()
		select {
		case got := <-heard:
			if got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("%q was not heard", want)
		}
	}
	hears("running")
	for _, next := range []string{"paused", "running", "stopped"} {
		if err := s.ChangeFleet(t.Context(), run, []byte(next)); err != nil {
			t.Fatal(err)
		}
		hears(next)
		var err error
		if run, err = s.FleetRun(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if asked := transactions(t, etcd.Members[0]) - before; asked != 7 { // once by the watch, six times by us
		t.Errorf("etcd was asked %v times, want 7", asked)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ended with %v", err)
	}
}
