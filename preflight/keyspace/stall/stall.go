package stall

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Op is something that may be done to a key.
type Op string

// Operations, and which setting of the server has a part of their work done by
// another thread.
const (
	Del     Op = "del"     // DEL: lazyfree-lazy-user-del
	Unlink  Op = "unlink"  // UNLINK: always asked for
	Expire  Op = "expire"  // its time to live passes: lazyfree-lazy-expire
	Evict   Op = "evict"   // maxmemory: lazyfree-lazy-eviction
	Rename  Op = "rename"  // RENAME, SET or *STORE over it: lazyfree-lazy-server-del
	Migrate Op = "migrate" // MIGRATE, SLOTSMGRT*: DUMP, the way, RESTORE at the target, and lazyfree-lazy-server-del
	Restore Op = "restore" // at the target of that
	Resync  Op = "resync"  // a replica drops it before a full sync: replica-lazy-flush
)

// Ops are all of them, in the order they are shown in.
func Ops() []Op { return []Op{Del, Unlink, Expire, Evict, Rename, Migrate, Restore, Resync} }

// Range is how long it takes at the least and at the most.
type Range struct {
	Low  time.Duration `json:"low"` // nanoseconds
	High time.Duration `json:"high"`
}

func (r Range) plus(o Range) Range { return Range{r.Low + o.Low, r.High + o.High} }

func (r Range) String() string {
	return Text(r.Low) + " to " + Text(r.High)
}

// Text is a time as exact as these are.
func Text(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "0 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}

// Against is what a range is worth held against a limit.
type Against uint8

// A limit of zero is none.
const (
	Below  Against = iota // even the most is shorter
	Around                // the most is longer: it may happen
	Above                 // even the least is longer: it will
)

// Against holds a range against a limit.
func (r Range) Against(limit time.Duration) Against {
	switch {
	case limit <= 0 || r.High < limit:
		return Below
	case r.Low >= limit:
		return Above
	}
	return Around
}

// Cost is what one operation would do.
type Cost struct {
	Op Op `json:"op"`
	Range
	// Known is false where nothing can be said: a module's value.
	Known bool `json:"known"`
	// Lazy: another thread frees it; what is left is the time to unlink it.
	Lazy bool `json:"lazy"`
}

// Lazyfree is which removals a server leaves to another thread.
type Lazyfree struct {
	Expire    bool `json:"expire"`
	Eviction  bool `json:"eviction"`
	ServerDel bool `json:"server_del"`
	UserDel   bool `json:"user_del"`
	Flush     bool `json:"replica_flush"` // replica-lazy-flush
	Asked     bool `json:"asked"`         // by CONFIG GET; false: the defaults of that build
}

// Parameters are the settings that Lazyfree is made of.
func Parameters() []string {
	return []string{"lazyfree-lazy-expire", "lazyfree-lazy-eviction", "lazyfree-lazy-server-del", "lazyfree-lazy-user-del", "replica-lazy-flush"}
}

// DefaultLazyfree is what a build does where nothing is configured; server is
// "redis 7.0.15". Redis leaves nothing to another thread, Valkey from 8.0 on all
// of it (valkey#913).
func DefaultLazyfree(server string) Lazyfree {
	name, version, _ := strings.Cut(server, " ")
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	lazy := name == "valkey" && err == nil && n >= 8
	return Lazyfree{Expire: lazy, Eviction: lazy, ServerDel: lazy, UserDel: lazy, Flush: lazy}
}

// String names what another thread does.
func (l Lazyfree) String() string {
	var all []string
	for i, lazy := range []bool{l.Expire, l.Eviction, l.ServerDel, l.UserDel, l.Flush} {
		if lazy {
			all = append(all, Parameters()[i])
		}
	}
	text := "off"
	if all != nil {
		text = "on by " + strings.Join(all, ", ")
	}
	if !l.Asked {
		text += " (that build's default: it was not asked)"
	}
	return text
}

// LazyfreeOf reads CONFIG GET's answers; what is not among them is the build's
// default.
func LazyfreeOf(server string, config map[string]string) Lazyfree {
	l := DefaultLazyfree(server)
	for name, to := range map[string]*bool{
		"lazyfree-lazy-expire": &l.Expire, "lazyfree-lazy-eviction": &l.Eviction, "lazyfree-lazy-server-del": &l.ServerDel,
		"lazyfree-lazy-user-del": &l.UserDel, "replica-lazy-flush": &l.Flush,
	} {
		if v, ok := config[name]; ok {
			*to, l.Asked = v == "yes", true
		}
	}
	return l
}

// unlink is what is left of a removal that another thread does.
func unlink() Range { return Range{0, time.Millisecond} }

// The way of a value to another node, in nanoseconds a byte: 10 Gbit/s and
// 1 Gbit/s.
const (
	fastWay = 0.9
	slowWay = 9
)

// Of is what each operation on a key would cost.
func Of(k Key, l Lazyfree, r Rates) []Cost {
	var all []Cost
	for _, op := range Ops() {
		all = append(all, One(op, k, l, r))
	}
	return all
}

// One is what one operation would cost.
func One(op Op, k Key, l Lazyfree, r Rates) Cost {
	c, known := k.class()
	if !known {
		return Cost{Op: op}
	}
	switch op {
	case Restore:
		return Cost{Op: op, Known: true, Range: k.span(c, r.Restore)}
	case Migrate:
		removal := k.removal(c, l.ServerDel, r)
		size := k.Stored
		way := Range{nanoseconds(float64(size) * fastWay), nanoseconds(float64(max(size, k.Bytes)) * slowWay)}
		all := k.span(c, r.Dump).plus(way).plus(k.span(c, r.Restore)).plus(removal.Range)
		return Cost{Op: op, Known: true, Range: all}
	}
	cost := k.removal(c, l.asks(op), r)
	cost.Op = op
	return cost
}

// asks is whether another thread is asked to free what an operation removes.
func (l Lazyfree) asks(op Op) bool {
	switch op {
	case Del:
		return l.UserDel
	case Unlink:
		return true
	case Expire:
		return l.Expire
	case Evict:
		return l.Eviction
	case Rename:
		return l.ServerDel
	case Resync:
		return l.Flush
	}
	panic(fmt.Sprintf("stall: no removal is called %q", op))
}

// removal of a key. Where it is not certain that another thread may free it, the
// range has both.
func (k Key) removal(c Class, asked bool, r Rates) Cost {
	at := k.span(c, r.Free)
	certainly, perhaps := k.lazily()
	switch {
	case asked && certainly:
		return Cost{Known: true, Lazy: true, Range: unlink()}
	case asked && perhaps:
		at.Low = 0
	}
	return Cost{Known: true, Range: at}
}
