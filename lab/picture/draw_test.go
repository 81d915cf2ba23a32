package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestPictureShowsTheMomentsInTheirOrder(t *testing.T) {
	r := recording{
		old: nodeRecord{
			phases: bands{{-1, "serve"}, {0.5, "hold"}, {2.5, "refuse"}}, grants: bands{{-1, "grant"}, {3, ""}},
			writes: []float64{-0.5, 0.2, 0.4}, earliest: 4, end: 7,
		},
		next: nodeRecord{
			phases: bands{{-1, "follow"}, {5, "lock"}, {6, "serve"}}, grants: bands{{-1, ""}, {6, "grant"}},
			writes: []float64{6.2}, end: 7,
		},
		fence: 2.5, promoted: 5, down: []float64{4.8, 4.9},
	}
	const want = "cut 0.00 s, hold 0.50 s, fence 2.50 s, E 4.00 s, promotion 5.00 s, grant 6.00 s"
	if got := r.story(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	picture := draw(r)
	for _, text := range []string{want, ">holds writers<", ">refuses<", ">locked<", ">grant<"} {
		if !strings.Contains(picture, text) {
			t.Errorf("the picture lacks %q", text)
		}
	}
	for decoder := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("no XML: %v", err)
		}
	}
}

// What did not happen is not marked: nobody was held, nobody was granted.
func TestPictureLeavesOutWhatWasNot(t *testing.T) {
	r := recording{old: nodeRecord{earliest: math.NaN()}, next: nodeRecord{end: 3}, fence: 1, promoted: 2}
	if got, want := r.story(), "cut 0.00 s, fence 1.00 s, promotion 2.00 s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
