// Package keydata makes data of every type and encoding, the same for the same
// seed, as commands for a real server: the tests and benchmarks of the key-space
// audit stand on it.
package keydata

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Options of the data. The zero value is 1,000 keys of plain Redis 6.0.
type Options struct {
	Seed      uint64
	Keys      int  // zero: 1,000
	FieldTTLs bool // Redis 7.4 and Valkey 9: HPEXPIREAT
	Streams   bool
	Strings   bool // short strings only, a quarter of them with a TTL
	Large     bool // some collections of thousands of elements, strings of a megabyte
	Databases int  // zero: 1
}

// Far is the time at which keys and fields with a TTL end: in the year 2100.
const Far = 4102444800000

// Commands hands over one command after the other, and ends with the first
// error of do.
func Commands(o Options, do func(args ...string) error) error {
	if o.Keys == 0 {
		o.Keys = 1000
	}
	g := &generator{o: o, r: rand.New(rand.NewPCG(o.Seed, 1)), do: do}
	for db := range max(o.Databases, 1) {
		if db > 0 {
			g.send("SELECT", strconv.Itoa(db))
		}
		for i := range o.Keys {
			g.key(db, i)
		}
	}
	return g.err
}

type generator struct {
	o   Options
	r   *rand.Rand
	do  func(args ...string) error
	err error
}

func (g *generator) send(args ...string) {
	if g.err == nil {
		g.err = g.do(args...)
	}
}

var tenants = []string{"user", "cart", "session", "feed", "{shop}", "inventory"}

func (g *generator) key(db, i int) {
	name := fmt.Sprintf("%s:%d:%s", tenants[g.r.IntN(len(tenants))], i, []string{"profile", "items", "seen", "score"}[g.r.IntN(4)])
	if g.r.IntN(50) == 0 {
		name = strings.Repeat("long", 10+g.r.IntN(60)) + strconv.Itoa(i)
	}
	if g.o.Strings {
		g.send("SET", name, g.text())
		g.expiry(name)
		return
	}
	n := g.size()
	switch kind := g.r.IntN(100); {
	case kind < 45:
		g.str(name)
	case kind < 60:
		g.many("HSET", name, n, true)
	case kind < 72:
		g.many("SADD", name, n, false)
	case kind < 80:
		g.integers(name, n)
	case kind < 90:
		g.list(name, n)
	case kind < 98 || !g.o.Streams:
		g.zset(name, n)
	default:
		g.stream(name, n)
	}
	g.expiry(name)
}

// expiry gives a quarter of the keys a TTL.
func (g *generator) expiry(name string) {
	if g.r.IntN(4) == 0 {
		g.send("PEXPIREAT", name, strconv.FormatInt(Far-g.r.Int64N(1e9), 10))
	}
}

// size is a number of elements, often at the edges of the encodings' limits.
func (g *generator) size() int {
	if g.o.Large && g.r.IntN(500) == 0 {
		return 2000 + g.r.IntN(6000)
	}
	if g.r.IntN(20) == 0 {
		return []int{127, 128, 129, 511, 512, 513}[g.r.IntN(6)]
	}
	return 1 + g.r.IntN(12)
}

// text is bytes of all kinds; some compress, some are numbers, some as long as a
// limit.
func (g *generator) text() string {
	switch g.r.IntN(12) {
	case 0:
		return strconv.FormatInt(g.r.Int64()>>g.r.IntN(63), 10)
	case 1:
		return strings.Repeat(string(rune('a'+g.r.IntN(26))), 1+g.r.IntN(200))
	case 2:
		return strings.Repeat("x", []int{63, 64, 65}[g.r.IntN(3)])
	}
	b := make([]byte, 1+g.r.IntN(40))
	for i := range b {
		b[i] = byte(g.r.Uint32())
	}
	return string(b)
}

func (g *generator) str(name string) {
	switch {
	case g.o.Large && g.r.IntN(2000) == 0:
		b := make([]byte, 1<<20+g.r.IntN(1<<19))
		for i := range b {
			b[i] = byte(g.r.Uint32())
		}
		g.send("SET", name, string(b))
	case g.r.IntN(10) == 0:
		b := make([]byte, g.r.IntN(2000))
		for i := range b {
			b[i] = byte(g.r.Uint32())
		}
		g.send("SET", name, string(b))
	case g.r.IntN(100) == 0:
		g.send("SET", name, "")
	default:
		g.send("SET", name, g.text())
	}
}

const batch = 500

func (g *generator) many(command, name string, n int, pairs bool) {
	args := []string{command, name}
	fields := []string{}
	for i := range n {
		f := strconv.Itoa(i) + ":" + g.text()
		args = append(args, f)
		if pairs {
			args = append(args, g.text())
			fields = append(fields, f)
		}
		if len(args) > batch {
			g.send(args...)
			args = args[:2]
		}
	}
	if len(args) > 2 {
		g.send(args...)
	}
	if pairs && g.o.FieldTTLs && g.r.IntN(5) == 0 {
		some := fields[:1+g.r.IntN(len(fields))]
		some = some[:min(len(some), batch)]
		g.send(append([]string{"HPEXPIREAT", name, strconv.FormatInt(Far, 10), "FIELDS", strconv.Itoa(len(some))}, some...)...)
	}
}

func (g *generator) integers(name string, n int) {
	args := []string{"SADD", name}
	shift := []int{60, 40, 20, 0}[g.r.IntN(4)]
	for range n {
		args = append(args, strconv.FormatInt(g.r.Int64()>>shift, 10))
	}
	for len(args) > 2 {
		k := min(len(args), batch)
		g.send(args[:k]...)
		args = append([]string{"SADD", name}, args[k:]...)
	}
}

func (g *generator) list(name string, n int) {
	args := []string{"RPUSH", name}
	for range n {
		args = append(args, g.text())
		if len(args) > batch {
			g.send(args...)
			args = args[:2]
		}
	}
	if len(args) > 2 {
		g.send(args...)
	}
	if g.r.IntN(40) == 0 {
		g.send("RPUSH", name, strings.Repeat("big", 3000+g.r.IntN(3000))) // a node of its own
	}
}

func (g *generator) zset(name string, n int) {
	args := []string{"ZADD", name}
	for i := range n {
		args = append(args, strconv.FormatFloat(g.r.NormFloat64()*1e6, 'g', -1, 64), strconv.Itoa(i)+g.text())
		if len(args) > batch {
			g.send(args...)
			args = args[:2]
		}
	}
	if len(args) > 2 {
		g.send(args...)
	}
}

func (g *generator) stream(name string, n int) {
	for i := range n {
		g.send("XADD", name, fmt.Sprintf("%d-1", i+1), "field", g.text(), "other", "x")
	}
	if n > 3 {
		g.send("XDEL", name, "2-1")
		g.send("XGROUP", "CREATE", name, "workers", "0")
		g.send("XREADGROUP", "GROUP", "workers", "one", "COUNT", "2", "STREAMS", name, ">")
	}
}
