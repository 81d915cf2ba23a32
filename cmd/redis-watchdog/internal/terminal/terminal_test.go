package terminal

import (
	"errors"
	"strings"
	"testing"
)

func TestTableAlignsWhatItCleans(t *testing.T) {
	var out strings.Builder
	New(&out, "").Table("  ", [][]Cell{{{Text: "A"}, {Text: "B"}}, {{Text: "lång\x1b"}, {Text: "x", Colour: Red}}})
	if got, want := out.String(), "  A      B\n  lång?  x\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLineCleansErrorsAndColoursOnlyTerminals(t *testing.T) {
	var out strings.Builder
	New(&out, "").Line(Red, "%s %d", errors.New("a\r\n\u202eb\xff"), 1)
	if got, want := out.String(), "a? ?b? 1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p := &Printer{w: &out, colours: true}
	if got, want := p.Paint(Red, "x"), "\x1b[31mx\x1b[0m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
