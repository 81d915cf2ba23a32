package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
)

//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page load its own script and style and nothing else, run
// nothing that is written into it, and be shown in no other page.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// renderEvery is how long a rendering is shown to everybody who asks: many
// browsers cost no more than one.
const renderEvery = 500 * time.Millisecond

// page renders what is shown at "/". Without a script it is complete and is
// loaded again every few seconds; with one it is brought up to date in place.
type page struct {
	tag string // of the script and the style: a new version is loaded anew

	mu   sync.Mutex
	at   time.Time
	body []byte
}

func newPage() *page {
	sum := sha256.New()
	for _, name := range []string{"page/page.css", "page/page.js"} {
		b, err := pageFiles.ReadFile(name)
		if err != nil {
			panic("embedded file is missing: " + name)
		}
		sum.Write(b)
	}
	return &page{tag: hex.EncodeToString(sum.Sum(nil))[:12]}
}

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	body, err := s.page.render(s, r)
	if err != nil {
		reply(w, http.StatusInternalServerError, answer{Reason: "page", Text: err.Error()})
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	serveContent(w, r, "text/html; charset=utf-8", body)
}

// render is the page as it is now, or was half a second ago.
func (p *page) render(s *Server, r *http.Request) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < renderEvery {
		return p.body, nil
	}
	nodes, records := s.source.Status(), s.records(r.Context())
	v := look(nodes, records, time.Now())
	v.Version, v.Host, v.Stuck = s.options.Version, s.options.Host, !s.source.Alive()
	v.Fleet = s.source.Fleet()
	var out bytes.Buffer
	if err := v.document(p.tag).Render(&out); err != nil {
		return nil, fmt.Errorf("render page: %w", err)
	}
	p.body, p.at = bytes.Map(visible, out.Bytes()), time.Now()
	return p.body, nil
}

// visible replaces what a name could use to look like something else:
// control characters, and those that turn the direction of writing.
func visible(r rune) rune {
	if r == '\n' || unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}

// asset serves the script, the style and the icons.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	types := map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
	_, extension, _ := strings.Cut(name, ".")
	body, err := pageFiles.ReadFile("page/" + name)
	kind, known := types[extension]
	if err != nil || !known {
		http.NotFound(w, r)
		return
	}
	if r.URL.Query().Get("v") == s.page.tag {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	// Also where it is looked at by itself.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	serveTagged(w, r, kind, body)
}

// serveContent lets a browser keep what it got, but ask each time.
func serveContent(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	w.Header().Set("Cache-Control", "no-cache")
	serveTagged(w, r, kind, body)
}

// serveTagged answers HEAD, and 304 to who has it.
func serveTagged(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	sum := sha256.Sum256(body)
	w.Header().Set("Content-Type", kind)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
