package lab

import (
	"fmt"
	"slices"
	"strings"
)

// Cut drops every packet that a sends to b; b's still reach a.
func (l *Lab) Cut(a, b *Host) {
	l.t.Helper()
	l.cut(fmt.Sprintf("cut %s -> %s", a.Name, b.Name), pair(a, b, "drop"))
}

// CutBoth drops every packet between a and each of the others.
func (l *Lab) CutBoth(a *Host, others ...*Host) {
	l.t.Helper()
	var cuts []cut
	for _, b := range others {
		cuts = append(cuts, pair(a, b, "drop"), pair(b, a, "drop"))
	}
	l.cut(fmt.Sprintf("cut %s <-> %s", a.Name, names(others)), cuts...)
}

// Partition drops every packet between the hosts of one side and those of the
// other. Hosts in neither go on reaching all.
func (l *Lab) Partition(one, other []*Host) {
	l.t.Helper()
	var cuts []cut
	for _, a := range one {
		for _, b := range other {
			cuts = append(cuts, pair(a, b, "drop"), pair(b, a, "drop"))
		}
	}
	l.cut(fmt.Sprintf("partition %s | %s", names(one), names(other)), cuts...)
}

// Isolate drops every packet between h and all others, also those made later,
// but the excepted.
func (l *Lab) Isolate(h *Host, except ...*Host) {
	l.t.Helper()
	what, set := "isolate "+h.Name, ""
	if len(except) > 0 {
		what += " except " + names(except)
		var ports []string
		for _, e := range except {
			ports = append(ports, fmt.Sprintf("%q", port(e.index)))
		}
		set = strings.Join(ports, ", ")
	}
	out, in := fmt.Sprintf("iifname %q", port(h.index)), fmt.Sprintf("oifname %q", port(h.index))
	if set != "" {
		out += " oifname != { " + set + " }"
		in += " iifname != { " + set + " }"
	}
	l.cut(what, cut{from: h.index, rule: out + " drop"}, cut{to: h.index, rule: in + " drop"})
}

// CutPorts drops, both ways, what TCP carries between a and b from or to one
// of the ports: only etcd's traffic, for instance.
func (l *Lab) CutPorts(a, b *Host, ports ...int) {
	l.t.Helper()
	var cuts []cut
	for _, end := range []string{"sport", "dport"} {
		match := fmt.Sprintf("tcp %s { %s } drop", end, strings.Trim(strings.ReplaceAll(fmt.Sprint(ports), " ", ", "), "[]"))
		cuts = append(cuts, pair(a, b, match), pair(b, a, match))
	}
	l.cut(fmt.Sprintf("cut %s <-> %s ports %v", a.Name, b.Name, ports), cuts...)
}

// Loss drops a share of the packets that a sends to b, chosen by chance.
func (l *Lab) Loss(a, b *Host, percent int) {
	l.t.Helper()
	l.cut(fmt.Sprintf("lose %d%% of %s -> %s", percent, a.Name, b.Name),
		pair(a, b, fmt.Sprintf("numgen random mod 100 < %d drop", percent)))
}

// Mend ends the cuts made between a and b by name, whichever way. It leaves
// what Isolate did.
func (l *Lab) Mend(a, b *Host) {
	l.t.Helper()
	l.remove(fmt.Sprintf("mend %s <-> %s", a.Name, b.Name), func(c cut) bool {
		return c.from == a.index && c.to == b.index || c.from == b.index && c.to == a.index
	})
}

// Rejoin ends every cut that h has a part in.
func (l *Lab) Rejoin(h *Host) {
	l.t.Helper()
	l.remove("rejoin "+h.Name, func(c cut) bool { return c.from == h.index || c.to == h.index })
}

// Heal ends every cut and plugs every cable in.
func (l *Lab) Heal() {
	l.t.Helper()
	l.mu.Lock()
	hosts := slices.Clone(l.hosts)
	l.mu.Unlock()
	for _, h := range hosts {
		if h.unplugged {
			h.LinkUp()
		}
	}
	l.remove("heal", func(cut) bool { return true })
}

// LinkDown pulls h's cable: unlike a cut, h's kernel notices.
func (h *Host) LinkDown() {
	h.lab.t.Helper()
	h.setLink("down")
	h.unplugged = true
}

// LinkUp plugs it in again.
func (h *Host) LinkUp() {
	h.lab.t.Helper()
	h.setLink("up")
	h.unplugged = false
}

func (h *Host) setLink(state string) {
	h.lab.t.Helper()
	if err := h.lab.needNetwork().setLink(h.index, state); err != nil {
		h.lab.t.Fatalf("lab: host %q: %v", h.Name, err)
	}
	h.lab.Mark("link of %s %s", h.Name, state)
}

func (l *Lab) cut(what string, cuts ...cut) {
	l.t.Helper()
	if err := l.needNetwork().add(cuts...); err != nil {
		l.t.Fatalf("lab: %s: %v", what, err)
	}
	l.Mark("%s", what)
}

func (l *Lab) remove(what string, match func(cut) bool) {
	l.t.Helper()
	if err := l.needNetwork().remove(match); err != nil {
		l.t.Fatalf("lab: %s: %v", what, err)
	}
	l.Mark("%s", what)
}

func (l *Lab) needNetwork() *network {
	l.t.Helper()
	if l.network == nil {
		l.t.Fatalf("lab: nothing can be cut on loopback: use lab.New")
	}
	return l.network
}

func pair(a, b *Host, verdict string) cut {
	return cut{from: a.index, to: b.index, rule: fmt.Sprintf("iifname %q oifname %q %s", port(a.index), port(b.index), verdict)}
}

func names(hosts []*Host) string {
	all := make([]string, 0, len(hosts))
	for _, h := range hosts {
		all = append(all, h.Name)
	}
	return strings.Join(all, ",")
}
