package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// recording is one failover; all times are seconds after the cut.
type recording struct {
	cut       watchdog.Instant
	old, next nodeRecord
	fence     float64   // the old master was seen to refuse
	promoted  float64   // the next one was seen to be master
	down      []float64 // a Sentinel held the master down
}

// nodeRecord is what one side did.
type nodeRecord struct {
	phases, grants bands
	writes         []float64 // acknowledged
	earliest       float64   // E, as this node knew it last
	end            float64   // of what was recorded
}

// band is a time in which something was so.
type band struct {
	from float64
	what string // empty: nothing
}

type bands []band

func (b bands) add(at float64, what string) bands {
	if len(b) > 0 && b[len(b)-1].what == what {
		return b
	}
	return append(b, band{at, what})
}

// first is when it was so first; NaN: never.
func (b bands) first(what string, from float64) float64 {
	for _, one := range b {
		if one.what == what && one.from >= from {
			return one.from
		}
	}
	return math.NaN()
}

// moments are what the picture marks, in their order.
func (r recording) moments() []moment {
	all := []moment{
		{0, "cut", "the master's host sees nobody any more"},
		{r.old.phases.first("hold", 0), "hold", "its writers wait: neither witness has been heard"},
		{r.fence, "fence", "it refuses everybody"},
		{r.old.earliest, "E", "the earliest instant at which the Sentinels could promote another"},
		{r.promoted, "promotion", "Sentinel has made a replica master: it is born write-locked"},
		{r.next.grants.first("grant", 0), "grant", "its watchdog holds the grant: it is opened"},
	}
	all = slices.DeleteFunc(all, func(m moment) bool { return math.IsNaN(m.at) })
	slices.SortStableFunc(all, func(a, b moment) int { return int(math.Copysign(1, a.at-b.at)) })
	return all
}

type moment struct {
	at         float64
	name, text string
}

func (r recording) story() string {
	var parts []string
	for _, m := range r.moments() {
		parts = append(parts, fmt.Sprintf("%s %.2f s", m.name, m.at))
	}
	return strings.Join(parts, ", ")
}

const (
	width, left, right = 980.0, 170.0, 20.0
	top, lane, gap     = 64.0, 26.0, 10.0
	bucket             = 0.05 // seconds of writes in one bar
)

// colour is that of a phase or of the grant. The picture brings its own ground, for
// light and dark pages.
func colour(what string) string {
	switch what {
	case "serve":
		return "#2e8b57"
	case "hold":
		return "#e0a030"
	case "lock":
		return "#c9a27e"
	case "refuse":
		return "#b8433a"
	case "follow":
		return "#9db4c8"
	case "grant":
		return "#4a78b5"
	}
	return "#d8d8d8"
}

// says is a phase in the clients' words.
func says(phase string) string {
	switch phase {
	case "serve":
		return "serves"
	case "hold":
		return "holds writers"
	case "lock":
		return "locked"
	case "refuse":
		return "refuses"
	case "follow":
		return "replica"
	case "grant":
		return "grant"
	}
	return phase
}

// canvas is the picture in the making.
type canvas struct {
	strings.Builder
	from, to float64
}

func (c *canvas) x(at float64) float64 {
	return left + (min(max(at, c.from), c.to)-c.from)/(c.to-c.from)*(width-left-right)
}

func (c *canvas) text(x, y float64, anchor, style, text string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, style, html.EscapeString(text))
}

func (c *canvas) bands(y float64, b bands) {
	for i, one := range b {
		end := c.to
		if i+1 < len(b) {
			end = b[i+1].from
		}
		if one.what == "" || end <= c.from || one.from >= c.to {
			continue
		}
		x, w := c.x(one.from), c.x(end)-c.x(one.from)
		fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" fill="%s"/>`+"\n", x, y, w, lane, colour(one.what))
		if text := says(one.what); w > 7*float64(len(text)) {
			c.text(x+w/2, y+17, "middle", `fill="#fff"`, text)
		}
	}
}

func (c *canvas) writes(y float64, at []float64, fill string) {
	counts, most := map[int]int{}, 1
	for _, t := range at {
		n := int(math.Floor(t / bucket))
		counts[n]++
		most = max(most, counts[n])
	}
	for n, count := range counts {
		from := float64(n) * bucket
		if from < c.from || from >= c.to {
			continue
		}
		h := lane * float64(count) / float64(most)
		fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", c.x(from), y+lane-h, c.x(from+bucket)-c.x(from)-0.4, h, fill)
	}
}

// draw makes the picture.
func draw(r recording) string {
	c := &canvas{from: -before.Seconds(), to: r.next.end}
	lanes := []struct {
		name string
		draw func(y float64)
	}{
		{"writes acknowledged", func(y float64) { c.writes(y, r.old.writes, "#2e8b57") }},
		{"its Redis", func(y float64) { c.bands(y, r.old.phases) }},
		{"its grant in etcd", func(y float64) { c.bands(y, r.old.grants) }},
		{"Sentinels: down", func(y float64) {
			for _, at := range r.down {
				fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="5" fill="#b8433a"/>`+"\n", c.x(at), y+lane/2)
			}
		}},
		{"its Redis", func(y float64) { c.bands(y, r.next.phases) }},
		{"its grant in etcd", func(y float64) { c.bands(y, r.next.grants) }},
		{"writes acknowledged", func(y float64) { c.writes(y, r.next.writes, "#2e8b57") }},
	}
	y := top
	for i, l := range lanes {
		switch i {
		case 0:
			c.text(left-10, y+4, "end", `font-weight="bold"`, "old master, cut off")
			y += 14
		case 4:
			y += 8
			c.text(left-10, y+4, "end", `font-weight="bold"`, "new master")
			y += 14
		}
		fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", left, y+lane, width-right, y+lane)
		c.text(left-10, y+17, "end", "", l.name)
		l.draw(y)
		y += lane + gap
	}
	bottom := y
	c.axis(bottom)
	c.marks(r.moments(), bottom)
	height := bottom + 34 + 18*float64((len(r.moments())+1)/2) + 8
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12" role="img">
<title>One failover of a guarded group, recorded: %s</title>
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, width, height, html.EscapeString(r.story()), c.String())
}

func (c *canvas) axis(y float64) {
	for s := math.Ceil(c.from); s <= c.to; s++ {
		fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#888"/>`+"\n", c.x(s), y, c.x(s), y+5)
		c.text(c.x(s), y+17, "middle", `fill="#555"`, fmt.Sprintf("%.0f s", s))
	}
}

// marks draws a line for every moment, and says below what each is.
func (c *canvas) marks(all []moment, bottom float64) {
	row, last := 0, -1e9
	for i, m := range all {
		x := c.x(m.at)
		if x-last < 60 {
			row = 1 - row
		} else {
			row = 0
		}
		last = x
		fmt.Fprintf(c, `<line x1="%.1f" y1="%.0f" x2="%.1f" y2="%.1f" stroke="#333" stroke-dasharray="4 3"/>`+"\n", x, top-20, x, bottom)
		c.text(x, top-26-14*float64(row), "middle", `font-weight="bold"`, m.name)
		lx, ly := left-150+float64(i%2)*(width/2-10), bottom+40+18*float64(i/2)
		c.text(lx, ly, "start", `fill="#333"`, fmt.Sprintf("%s, %.2f s: %s", m.name, m.at, m.text))
	}
}
