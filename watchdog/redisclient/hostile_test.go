package redisclient

// Whoever answers may be anybody: bytes on a loopback listener that no Redis
// sends.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile is a peer that answers whatever it is asked with these bytes, and then
// with more of them, until nobody listens.
func hostile(t *testing.T, first, andOn string) Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answer(conn, first, andOn)
			conn.Close()
		}
	}()
	return Server{Address: listener.Addr().String(), Password: "pw"}
}

func answer(conn net.Conn, first, andOn string) {
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Read(make([]byte, 4096)); err != nil {
		return
	}
	// What HELLO 2 answers: a flat list.
	if _, err := io.WriteString(conn, "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n"); err != nil {
		return
	}
	if _, err := conn.Read(make([]byte, 4096)); err != nil {
		return
	}
	if _, err := io.WriteString(conn, first); err != nil || andOn == "" {
		io.Copy(io.Discard, conn) // until it hangs up
		return
	}
	for again := []byte(andOn); ; {
		if _, err := conn.Write(again); err != nil {
			return
		}
	}
}

func TestAHostileAnswerIsAnError(t *testing.T) {
	much := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct{ first, andOn string }{
		"a string longer than a reply":           {"$1000000000\r\n", ""},
		"a negative length":                      {"$-2\r\n", ""},
		"a list longer than a reply":             {"*1048577\r\n", ""},
		"lists that are too much together":       {strings.Repeat("*262144\r\n", 5), ""},
		"a list in a list in a list":             {strings.Repeat("*1\r\n", 2*maxDepth) + ":1\r\n", ""},
		"a line without end":                     {"+", much},
		"a list of long strings":                 {"*1000000\r\n", "$1048576\r\n" + much + "\r\n"},
		"a string that does not end":             {"$3\r\nabcde\r\n", ""},
		"attributes without end (RESP3)":         {"", strings.Repeat("|0\r\n", 1000)},
		"a map (RESP3)":                          {"%1\r\n+a\r\n+b\r\n", ""},
		"a push (RESP3)":                         {">1\r\n+a\r\n", ""},
		"more answers than questions":            {"+OK\r\n+OK\r\n", ""},
		"half an answer more":                    {"+OK\r\n$100\r\n", ""},
		"answers without end":                    {"", strings.Repeat("+OK\r\n", 1000)},
		"an error that would put it out of step": {"*2\r\n-LOADING\r\n+OK\r\n", ""},
		"another protocol":                       {"HTTP/1.1 400 Bad Request\r\n\r\n", ""},
		"no line":                                {"\r\n", ""},
		"no end of line":                         {"+OK\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := hostile(t, c.first, c.andOn)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			answers, err := Ask(ctx, s, []string{"PING"})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrGarbage) || len(answers) > 1 {
				t.Errorf("got %v, %v, want %v", answers, err, ErrGarbage)
			}
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 2*DefaultMaxReply>>20 {
				t.Errorf("it cost %d MB", got)
			}
		})
	}
}

// What was answered before a connection broke stands, and the rest does not.
func TestWhatWasAnsweredBeforeABreakStands(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s := hostile(t, "+one\r\n$-2\r\n", "")
	answers, err := Ask(ctx, s, []string{"PING"}, []string{"PING"})
	if len(answers) != 1 || answers[0].Text() != "one" || !errors.Is(err, ErrGarbage) {
		t.Errorf("got %v, %v, want the first, and why there is no second", answers, err)
	}
	c := Open(s, 2)
	defer c.Close()
	pipe := c.Pipeline()
	theirs := pipe.Do(ctx, "PING")
	pipe.Do(ctx, "PING")
	if _, err := pipe.Exec(ctx); err == nil || theirs.Err() == nil {
		t.Errorf("as it comes: %v, %v, want the error of the second on both", err, theirs.Err())
	}
}

// What a server answered earlier is no answer to what could not be sent for it.
func TestWhatWasNotSentIsNotAnswered(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := Open(hostile(t, "-READONLY no\r\n", ""), 2)
	defer c.Close()
	conn := c.Conn()
	defer conn.Close()
	ask := func() (*Command, error) {
		pipe, cmd := conn.Pipeline(), NewCommand(ctx, "PING")
		_ = pipe.Process(ctx, cmd)
		_, err := pipe.Exec(ctx)
		return cmd, err
	}
	cmd, _ := ask()
	if a, err := cmd.Answer(); err != nil || a.Err == nil || !strings.HasPrefix(a.Err.Error(), "READONLY") {
		t.Errorf("the first: %v, %v", a, err)
	}
	cmd, sent := ask()
	if sent == nil || cmd.Err() != nil {
		t.Errorf("as it comes: %v and %v, want an error that the command does not have", sent, cmd.Err())
	}
	if a, err := cmd.Answer(); err == nil {
		t.Errorf("the second, which was not sent, is answered %v", a)
	}
}

func TestAMessageThatIsNoneIsAnError(t *testing.T) {
	if m, err := guarded(func() (any, error) { panic("index out of range") }); m != nil || !errors.Is(err, ErrGarbage) {
		t.Errorf("got %v, %v", m, err)
	}
	if m, err := guarded(func() (any, error) { return "m", nil }); m != "m" || err != nil {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestATextIsQuotedWithoutTheWordsOfTheCommand(t *testing.T) {
	text := "ERR unknown command `AUTH`, with args beginning with: `user` `secret` "
	if got := WithoutWords(text); strings.Contains(got, "secret") || !strings.Contains(got, "AUTH") {
		t.Errorf("%q", got)
	}
}

// What a Redis may answer passes, however it is cut.
func TestWhatARedisAnswersPasses(t *testing.T) {
	const all = "+OK\r\n-ERR no\r\n:-5\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n$4\r\na\r\nb\r\n*3\r\n*0\r\n*2\r\n$1\r\na\r\n:1\r\n$-1\r\n"
	for size := 1; size <= len(all); size++ {
		f := framing{maxBytes: 100}
		for at := 0; at < len(all); at += size {
			if _, err := f.take([]byte(all[at:min(at+size, len(all))]), math.MaxUint64); err != nil {
				t.Fatalf("in pieces of %d, at %d: %v", size, at, err)
			}
		}
		if f.whole != 9 || f.begun() {
			t.Errorf("in pieces of %d: %d answers, want 9", size, f.whole)
		}
	}
}

// piecemeal is a peer whose bytes come in pieces of a size.
type piecemeal struct {
	net.Conn
	answers io.Reader
	size    int
}

func (p *piecemeal) Read(b []byte) (int, error)       { return p.answers.Read(b[:min(len(b), p.size)]) }
func (p *piecemeal) Write(b []byte) (int, error)      { return len(b), nil }
func (p *piecemeal) Close() error                     { return nil }
func (p *piecemeal) SetDeadline(time.Time) error      { return nil }
func (p *piecemeal) SetReadDeadline(time.Time) error  { return nil }
func (p *piecemeal) SetWriteDeadline(time.Time) error { return nil }
func (p *piecemeal) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// FuzzAsk has a peer answer anything. Nothing it can say ends us, costs more than
// is allowed for one reply, or is taken for more answers than were asked for; and
// one answer that is an error leaves the others.
func FuzzAsk(f *testing.F) {
	for _, seed := range []string{"+OK\r\n+OK\r\n", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n$-1\r\n", "-ERR x\r\n+OK\r\n", "*1\r\n-LOADING x\r\n:1\r\n", "$5\r\nabcde\r\n",
		"*1048577\r\n", "%1\r\n+a\r\n+b\r\n", "|1\r\n+a\r\n+b\r\n+OK\r\n", ">2\r\n+a\r\n+b\r\n", "_\r\n", "#t\r\n", "=5\r\ntxt:a\r\n", "(1\r\n", ",1\r\n", "!3\r\nERR\r\n", "$?\r\n"} {
		f.Add([]byte(seed), 1)
		f.Add([]byte(seed), 4096)
	}
	f.Fuzz(func(t *testing.T, said []byte, size int) {
		if size < 1 || size > 1<<16 {
			return
		}
		s := Server{Address: "x", MaxReply: 1 << 16, Dial: func(context.Context, string, string) (net.Conn, error) {
			return &piecemeal{answers: io.MultiReader(strings.NewReader("*0\r\n"), bytes.NewReader(said)), size: size}, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		answers, err := Ask(ctx, s, []string{"PING"}, []string{"PING"})
		if err == nil && len(answers) != 2 || len(answers) > 2 {
			t.Fatalf("%d answers to 2 questions, %v", len(answers), err)
		}
		whole := framing{maxBytes: 1 << 16}
		if _, sane := whole.take(said, math.MaxUint64); sane == nil && !whole.begun() && whole.whole == 2 && err != nil && !odd(err) {
			t.Fatalf("two answers of a Redis: %v", err)
		}
	})
}

// odd is an answer whose framing is right and that is none all the same.
func odd(err error) bool {
	return strings.Contains(err.Error(), "strconv") || strings.Contains(err.Error(), "invalid") || errors.Is(err, errNoAnswer)
}

func TestTextListAndPairsOfWhatIsThere(t *testing.T) {
	list := []any{"a", int64(1), nil, errors.New("x"), []any{}}
	if got := fmt.Sprint(Text(list[0]), Text(list[1]), Text(list[2]), Text(list[3]), Text(list[4])); got != "a1" {
		t.Errorf("texts: %q", got)
	}
	if List("a") != nil || len(List(list)) != 5 || len(Pairs("a")) != 0 {
		t.Error("a list of what is none")
	}
	if m := Pairs(append(list, "odd")); m["a"] != "1" || len(m) != 2 {
		t.Errorf("pairs: %v", m)
	}
}
