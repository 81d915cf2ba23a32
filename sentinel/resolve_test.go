package sentinel

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func TestResolverSpellsAddressesOneWay(t *testing.T) {
	now := t0
	ips := map[string][]string{"a.example": {"2001:db8::1", "10.0.0.2", "10.0.0.1"}}
	names := newResolver(context.Background(), func() watchdog.Instant { return now })
	names.lookup = func(_ context.Context, name string) (found []netip.Addr, err error) {
		if len(ips[name]) == 0 {
			return nil, errors.New("no such host")
		}
		for _, ip := range ips[name] {
			found = append(found, netip.MustParseAddr(ip))
		}
		return found, nil
	}
	check := func(host, port string, want watchdog.Address) {
		t.Helper()
		if got := names.Address(host, port); got != want {
			t.Errorf("%q port %q is %q, want %q", host, port, got, want)
		}
	}
	check("10.0.0.1", "6379", "10.0.0.1:6379")
	check("::ffff:10.0.0.1", "6379", "10.0.0.1:6379")
	check("2001:DB8:0::1", "6379", "[2001:db8::1]:6379")
	check("a.example", "6379", "10.0.0.1:6379")
	check("Unknown.Example.", "6379", "unknown.example:6379")
	check("10.0.0.1", "0", "")
	check("10.0.0.1", "65536", "")
	check("10.0.0.1", "x", "")
	check("", "6379", "")

	// Of several the one we know, as long as it is among them; the lookup runs
	// in the background.
	again := func() {
		now = now.Add(lookupAgain)
		names.Address("a.example", "1")
		names.wg.Wait()
	}
	ips["a.example"] = []string{"10.0.0.0", "10.0.0.1"}
	again()
	check("a.example", "6379", "10.0.0.1:6379")
	ips["a.example"] = nil // the name server is gone
	again()
	check("a.example", "6379", "10.0.0.1:6379")
	ips["a.example"] = []string{"10.0.0.9"} // it moved
	again()
	check("a.example", "6379", "10.0.0.9:6379")
	ips["unknown.example"] = []string{"10.0.0.7"}
	ips["Unknown.Example."] = []string{"10.0.0.7"}
	now = now.Add(lookupRetry)
	check("Unknown.Example.", "6379", "unknown.example:6379")
	names.wg.Wait()
	check("Unknown.Example.", "6379", "10.0.0.7:6379")
}
