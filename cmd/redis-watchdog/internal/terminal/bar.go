package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Bar shows how far something is, on one line of a terminal; anywhere else it
// writes nothing.
type Bar struct {
	w     io.Writer
	on    bool
	begun time.Time
	shown time.Time
}

// NewBar begins one.
func NewBar(w io.Writer) *Bar { return &Bar{w: w, on: isTerminal(w), begun: time.Now()} }

const barWidth = 30

// Show draws it anew, ten times a second at most. of is zero where the whole is
// not known.
func (b *Bar) Show(done, of int64) {
	now := time.Now()
	if !b.on || now.Sub(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown = now
	speed := float64(done) / max(now.Sub(b.begun).Seconds(), 0.001) / (1 << 20)
	if of <= 0 {
		fmt.Fprintf(b.w, "\r\x1b[K%d MiB, %.0f MiB/s", done>>20, speed)
		return
	}
	full := int(min(int64(barWidth), done*barWidth/of))
	fmt.Fprintf(b.w, "\r\x1b[K[%s%s] %d %%, %.0f MiB/s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), min(100, done*100/of), speed)
}

// End takes it away.
func (b *Bar) End() {
	if b.on && !b.shown.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
