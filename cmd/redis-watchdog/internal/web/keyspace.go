package web

// What the newest audit of a group's key space says, as a map and the keys that would
// stall the longest: the area is bytes, the colour is what would happen.

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// Audit is the newest one that is known of a group.
type Audit struct {
	Kept    keyspace.Kept
	Longest []time.Duration // that each of Kept.Worst could hold the Redis here up; nil: its settings are not known
	Left    int             // entries of it that make no sense: keys may be among them
}

// What a group's map and table have at the most: a page may have many groups.
const (
	mostBoxes     = 24
	mostKeys      = 5
	mapWide       = 1000.0
	mapHigh       = 180.0
	letter        = 8.5 // width of one in the map, on the average
	roomForLetter = 16.0
)

type auditView struct {
	Summary, Settings string
	Class             string // of the worst key
	Boxes             []box
	Keys              []keyView
	More              int // keys that are not shown
}

// box is an area of the map.
type box struct {
	Class, Name, Title string
	Bytes              float64
	x, y, wide, high   float64
}

type keyView struct {
	Class, Name, Where, Elements, Bytes, Stall string
}

// lookAudit puts an audit into words. Bears is how long the group can do without its
// master; zero: not known.
func lookAudit(a *Audit, bears time.Duration, now time.Time) *auditView {
	if a == nil {
		return nil
	}
	k := a.Kept
	part := "all of it"
	if !k.Complete {
		part = "only a part of it"
	}
	v := &auditView{Class: "cool", Summary: fmt.Sprintf("%s keys, %s; %s was read %s ago, at %s, out of the %s", grouped(k.Keys), size(k.Bytes), part, aged(now.Sub(k.At)), k.At.UTC().Format("2006-01-02 15:04 MST"), k.Source)}
	if k.Beyond > 0 {
		v.Summary += fmt.Sprintf("; %d keys that could stall found no room in it", k.Beyond)
	}
	if a.Left > 0 {
		v.Summary += fmt.Sprintf("; %d entries of it make no sense", a.Left)
	}
	// Of what the audit does not name nothing stalls, if it names all that could.
	whole, known := k.Complete && k.Beyond == 0 && a.Left == 0, len(a.Longest) == len(k.Worst)
	switch {
	case !known:
		v.Settings = "The settings of the Redis here are not known yet: what would stall is not either."
	case bears > 0:
		v.Settings = fmt.Sprintf("Red: removing it could take longer than the %.1f s for which this group bears a Redis that stands still. Yellow: longer than %.1f s.", bears.Seconds(), keyspace.ShortestKept.Seconds())
	default:
		v.Settings = fmt.Sprintf("Yellow: removing it could take longer than %.1f s. How long this group bears a Redis that stands still is not known.", keyspace.ShortestKept.Seconds())
	}
	rest := map[string]uint64{} // by encoding, of keys that have no box of their own
	stalls := map[string]bool{} // whether one of these is not known to be cool
	for _, s := range k.Shares {
		rest[s.Type+"/"+s.Encoding] += s.Bytes
	}
	for i, key := range k.Worst {
		kv := keyView{Class: "unsure", Name: key.Name, Where: fmt.Sprintf("db%d, %s %s", key.DB, key.Type, key.Encoding), Elements: grouped(key.Elements), Bytes: size(key.Bytes), Stall: "?"}
		if !key.Counted {
			kv.Elements = "?"
		}
		if known {
			kv.Class, kv.Stall = risk(a.Longest[i], bears), fmt.Sprintf("up to %.1f s", a.Longest[i].Seconds())
		}
		if rank(kv.Class) > rank(v.Class) {
			v.Class = kv.Class
		}
		if len(v.Keys) < mostKeys {
			v.Keys = append(v.Keys, kv)
		} else {
			v.More++
		}
		encoding := key.Type + "/" + key.Encoding
		if i >= mostBoxes || key.Bytes > rest[encoding] {
			stalls[encoding] = stalls[encoding] || kv.Class != "cool"
			continue
		}
		rest[encoding] -= key.Bytes
		v.Boxes = append(v.Boxes, box{Class: kv.Class, Name: key.Name, Title: key.Name + ": " + kv.Where + ", " + kv.Elements + " elements, " + kv.Bytes + ", " + kv.Stall, Bytes: float64(key.Bytes)})
	}
	v.More += k.Beyond
	if v.Class == "cool" && !whole {
		v.Class = "unsure"
	}
	for encoding, bytes := range rest {
		if bytes == 0 {
			continue
		}
		other := box{Class: "cool", Name: "other " + encoding, Bytes: float64(bytes)}
		other.Title = other.Name + ": " + size(bytes)
		if !whole || !known || stalls[encoding] {
			other.Class, other.Title = "unsure", other.Title+", what of it would stall is not shown"
		}
		v.Boxes = append(v.Boxes, other)
	}
	squarify(v.Boxes, mapWide, mapHigh)
	return v
}

// risk is the colour of a stall.
func risk(longest, bears time.Duration) string {
	switch {
	case bears > 0 && longest > bears:
		return "hot"
	case longest >= keyspace.ShortestKept:
		return "warm"
	}
	return "cool"
}

// dots are the words' colours by those of the map.
var dots = map[string]string{"cool": "good", "unsure": "none", "warm": "warn", "hot": "bad"}

func rank(class string) int { return slices.Index([]string{"cool", "unsure", "warm", "hot"}, class) }

// squarify gives every box its place in an area: squarified, each row along the shorter
// side for as long as its boxes become squarer by it (Bruls, Huizing, van Wijk 2000).
func squarify(boxes []box, wide, high float64) {
	slices.SortFunc(boxes, func(a, b box) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name)) })
	rest, x, y := 0.0, 0.0, 0.0
	for _, b := range boxes {
		rest += b.Bytes
	}
	for len(boxes) > 0 {
		side, area := min(wide, high), wide*high
		n, sum, worst := 0, 0.0, 0.0
		for ; n < len(boxes); n++ {
			s := sum + boxes[n].Bytes
			thick, ratio := s/rest*area/side, 0.0
			for _, b := range boxes[:n+1] {
				l := b.Bytes / s * side
				ratio = max(ratio, l/thick, thick/l)
			}
			if n > 0 && ratio > worst {
				break
			}
			sum, worst = s, ratio
		}
		thick, at := sum/rest*area/side, 0.0
		for i := range boxes[:n] {
			b, l := &boxes[i], boxes[i].Bytes/sum*side
			if wide >= high {
				b.x, b.y, b.wide, b.high = x, y+at, thick, l
			} else {
				b.x, b.y, b.wide, b.high = x+at, y, l, thick
			}
			at += l
		}
		if wide >= high {
			x, wide = x+thick, wide-thick
		} else {
			y, high = y+thick, high-thick
		}
		rest -= sum
		boxes = boxes[n:]
	}
}

// part lays it out, folded away until somebody wants to look.
func (v *auditView) part(section, group string) g.Node {
	word := map[string]string{"cool": "nothing that would stall", "unsure": "what would stall is not known", "warm": "keys that would stall", "hot": "keys that would stall too long"}[v.Class]
	return g.Group{
		h.H3(h.ID(section+"-keyspace"), g.Text("Key space")),
		h.P(h.Span(h.Class("word "+dots[v.Class]), g.Text(word)), g.Text(" · "+v.Summary+" · "), h.A(h.Href("/keyspace/"+url.PathEscape(group)), g.Text("as JSON"))),
		h.Details(h.ID(section+"-audit"), h.Class("audit"), h.Summary(g.Text("Map and largest stalls")),
			h.P(h.Small(g.Text("The area is bytes. "+v.Settings))),
			h.SVG(h.Class("map"), g.Attr("viewBox", fmt.Sprintf("0 0 %.0f %.0f", mapWide, mapHigh)), h.Role("img"), h.Aria("label", "Bytes by key and encoding; the largest stalls are in the table"),
				each(v.Boxes, box.shape)),
			g.Iff(len(v.Keys) > 0, func() g.Node {
				return table("keys", h.Aria("labelledby", section+"-keyspace"), []string{"Key", "Kind", "Elements", "Memory", "Would stall"}, each(v.Keys, keyView.row))
			}),
			g.If(v.More > 0, h.P(h.Small(g.Text(fmt.Sprintf("%d more keys: ", v.More)), code("redis-watchdog preflight "+group)))),
		),
	}
}

func (b box) shape(int) g.Node {
	number := func(f float64) string { return fmt.Sprintf("%.1f", f) }
	name, room := []rune(b.Name), max(0, int((b.wide-6)/letter))
	if len(name) > room {
		name = append(name[:max(0, room-1)], '…')
	}
	return g.El("g",
		g.El("rect", h.Class(b.Class), g.Attr("x", number(b.x)), g.Attr("y", number(b.y)), g.Attr("width", number(b.wide)), g.Attr("height", number(b.high)), g.El("title", g.Text(b.Title))),
		g.If(room > 3 && b.high > roomForLetter, g.El("text", g.Attr("x", number(b.x+4)), g.Attr("y", number(b.y+14)), g.Text(string(name)))),
	)
}

func (v keyView) row(int) g.Node {
	return row("", rowHeader(h.Class("key"), g.Text(v.Name)), cell("Kind", g.Text(v.Where)), number("Elements", v.Elements), number("Memory", v.Bytes),
		cell("Would stall", h.Span(h.Class("word "+dots[v.Class]), g.Text(v.Stall))))
}

// keyspaceOf answers with what is kept of the group's newest audit.
func (s *Server) keyspaceOf(w http.ResponseWriter, r *http.Request) {
	for _, record := range s.records(r.Context()) {
		if record.Group.Name == r.PathValue("group") && record.Audit != nil {
			reply(w, http.StatusOK, record.Audit.Kept)
			return
		}
	}
	reply(w, http.StatusNotFound, answer{Reason: "no_audit", Text: "no audit of that group is known here: redis-watchdog keyspace --keep GROUP makes one; a new one is read within ten minutes"})
}

// bearsOf is how long a group with that down-after can do without its master.
func bearsOf(downAfter float64) time.Duration {
	return stall.Limits{DownAfter: time.Duration(downAfter * float64(time.Second))}.Bears()
}

func aged(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%.0f minutes", max(0, d.Minutes()))
}

// grouped is a number with its thousands apart.
func grouped(n uint64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func size(n uint64) string {
	value, unit := float64(n), 0
	for value >= 1024 && unit < 4 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.4g %s", value, []string{"B", "KiB", "MiB", "GiB", "TiB"}[unit])
}
