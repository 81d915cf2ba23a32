package resp

import (
	"bufio"
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func FuzzReadNeverPanics(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "-ERR x\r\n", ":1\r\n", "$-1\r\n", "$2\r\nab\r\n", "*2\r\n:1\r\n*0\r\n", "*-1\r\n", "HTTP/1.1 400\r\n", "$99999999999\r\n", "*1048577\r\n", strings.Repeat("*1\r\n", 100)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for range 100 {
			if _, err := Read(r); err != nil {
				return
			}
		}
	})
}

func TestReadTakesWhatRedisSends(t *testing.T) {
	const all = "+OK\r\n-ERR unknown command 'x'\r\n:-7\r\n$0\r\n\r\n$4\r\na\r\nb\r\n$-1\r\n*-1\r\n*0\r\n*3\r\n:1\r\n*1\r\n+a\r\n-MASTERDOWN no\r\n"
	want := []Reply{
		{Kind: '+', Text: "OK"},
		{Kind: '-', Text: "ERR unknown command 'x'"},
		{Kind: ':', Num: -7, Text: "-7"},
		{Kind: '$'},
		{Kind: '$', Text: "a\r\nb"},
		{Kind: '$', Null: true},
		{Kind: '*', Null: true},
		{Kind: '*', Elems: []Reply{}},
		{Kind: '*', Elems: []Reply{{Kind: ':', Num: 1, Text: "1"}, {Kind: '*', Elems: []Reply{{Kind: '+', Text: "a"}}}, {Kind: '-', Text: "MASTERDOWN no"}}},
	}
	r := bufio.NewReader(strings.NewReader(all))
	for _, w := range want {
		if got, err := Read(r); err != nil || !reflect.DeepEqual(got, w) {
			t.Errorf("got %+v, %v, want %+v", got, err, w)
		}
	}
	if !want[0].OK() || !want[1].UnknownCommand() || !want[8].Elems[2].ErrorIs("BUSY", "MASTERDOWN") || want[0].Err() != nil {
		t.Error("what a reply is was not seen")
	}
	if e, ok := errors.AsType[Error](want[1].Err()); !ok || e.Error() != want[1].Text {
		t.Errorf("as an error: %v", want[1].Err())
	}
}

func TestWhatRedisNeverSendsIsGarbage(t *testing.T) {
	for _, line := range []string{"HTTP/1.1 400 Bad Request\r\n", "+\n", "x\n", ":x\r\n", "$-2\r\n", "*-2\r\n", "$33554433\r\n", "*1048577\r\n", "$1\r\nabc", strings.Repeat("*1\r\n", 9), "+" + strings.Repeat("x", 5000) + "\r\n"} {
		if r, err := Read(bufio.NewReader(strings.NewReader(line))); !errors.Is(err, ErrGarbage) {
			t.Errorf("%.30q: got %+v, %v, want garbage", line, r, err)
		}
	}
}

func TestAppendSurvivesAnyByte(t *testing.T) {
	words := []string{"SET", "", "a\r\n$1\r\n\x00"}
	r, err := Read(bufio.NewReader(bytes.NewReader(Append(nil, words...))))
	if err != nil || len(r.Elems) != len(words) {
		t.Fatalf("got %+v, %v", r, err)
	}
	for i, w := range words {
		if r.Elems[i].Text != w {
			t.Errorf("word %d: got %q, want %q", i, r.Elems[i].Text, w)
		}
	}
}
