// Package terminal writes for people: aligned, coloured where a person looks,
// and without the control characters a server may have sent.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Colour of a cell or a word.
type Colour string

// The colours there are; the empty one is plain.
const (
	Plain  Colour = ""
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Bold   Colour = "1"
	Faint  Colour = "2"
)

// Printer writes to one place.
type Printer struct {
	w       io.Writer
	colours bool
	screen  bool
}

// New finds out whether a person looks. noColour is $NO_COLOR (no-color.org):
// anything but empty is no.
func New(w io.Writer, noColour string) *Printer {
	screen := isTerminal(w)
	return &Printer{w: w, screen: screen, colours: screen && noColour == ""}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Screen is whether the output is a terminal.
func (p *Printer) Screen() bool { return p.screen }

// Clear begins a new page on a terminal, and a new paragraph elsewhere.
func (p *Printer) Clear() {
	if p.screen {
		fmt.Fprint(p.w, "\x1b[H\x1b[2J")
		return
	}
	fmt.Fprintln(p.w)
}

// Paint colours a text, where a person looks.
func (p *Printer) Paint(c Colour, text string) string {
	if !p.colours || c == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Line writes one line; its arguments are cleaned, its format is ours.
func (p *Printer) Line(c Colour, format string, args ...any) {
	for i, a := range args {
		switch v := a.(type) {
		case string:
			args[i] = Clean(v)
		case error:
			args[i] = Clean(v.Error())
		case fmt.Stringer:
			args[i] = Clean(v.String())
		}
	}
	fmt.Fprintln(p.w, p.Paint(c, fmt.Sprintf(format, args...)))
}

// Lines prints a text of several lines, such as commands to be pasted, each at the
// indent. Empty ones are left out.
func (p *Printer) Lines(c Colour, indent, text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.Line(c, indent+"%s", line)
		}
	}
}

// Cell of a Table.
type Cell struct {
	Text   string
	Colour Colour
}

// Prompt writes the beginning of a line, for the answer to follow. Its text is
// ours.
func (p *Printer) Prompt(text string) { fmt.Fprint(p.w, text) }

// Table writes rows aligned; the first is the heading.
func (p *Printer) Table(indent string, rows [][]Cell) { p.rows(indent, rows, true) }

// List writes rows aligned, without a heading.
func (p *Printer) List(indent string, rows [][]Cell) { p.rows(indent, rows, false) }

func (p *Printer) rows(indent string, rows [][]Cell, heading bool) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(Clean(cell.Text)))
		}
	}
	for n, row := range rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, cell := range row {
			text, colour := Clean(cell.Text), cell.Colour
			if n == 0 && heading {
				colour = Faint
			}
			line.WriteString(p.Paint(colour, text))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
			}
		}
		fmt.Fprintln(p.w, strings.TrimRight(line.String(), " "))
	}
}

// Clean shows what could move the cursor, or hide or turn around text, as a
// question mark: a server's answer must not write on the operator's screen.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
			return '?'
		}
		return r
	}, s)
}
