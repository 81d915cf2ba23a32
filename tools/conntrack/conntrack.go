// Package conntrack stands for github.com/mwitkow/go-conntrack, by the replace
// line in go.mod. The HTTP client of prometheus/common dials through it, and
// exporter-toolkit, which gives our pages TLS and passwords, brings that client
// along; nothing here ever dials by it. The original counts connections and
// traces them with golang.org/x/net/trace, whose pages execute templates: these
// call methods by name, so that the linker must keep every method of the whole
// program, 3 MB of 20. This one dials as the original does, and counts and
// traces nothing.
package conntrack

import (
	"context"
	"net"
)

type dialContext = func(ctx context.Context, network, address string) (net.Conn, error)

// Option of a dialer.
type Option func(dial *dialContext)

// DialWithDialContextFunc dials by dial.
func DialWithDialContextFunc(dial dialContext) Option {
	return func(d *dialContext) { *d = dial }
}

// DialWithName named the dialer in the original's metrics.
func DialWithName(string) Option { return func(*dialContext) {} }

// DialWithTracing asked the original for traces.
func DialWithTracing() Option { return func(*dialContext) {} }

// NewDialContextFunc dials by the operating system, or by what the options say.
func NewDialContextFunc(options ...Option) dialContext {
	dial := (&net.Dialer{}).DialContext
	for _, o := range options {
		o(&dial)
	}
	return dial
}
