// Package web shows what the watchdog knows over HTTP: status, health, metrics,
// and role checks for load balancers that follow the grant. It changes nothing.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Source is where the pages get what they show. Status, Roles and Alive must
// answer at once, without waiting for the decision loop: a loop that hangs is what they show.
type Source interface {
	Status() []agent.Status // of every node of this host, copies
	Roles() []agent.Status  // likewise, without faults, Sentinels, data and veto: for load balancers, which ask often
	Alive() bool            // the decision loop of every node turns

	// Records is what etcd holds of every group, as it was read last. It may
	// wait for etcd until ctx ends, and then answers all the same.
	Records(ctx context.Context) []Record

	// Fleet is a line about an audit of the whole fleet, as it was read last; empty:
	// there is none, or it is over.
	Fleet() string
}

// SocketName is the socket below the runtime directory on which the same pages
// are served to the command line: by the rights of the file, whatever TLS and
// passwords the configured address asks for.
const SocketName = "status.sock"

// Options of a Server.
type Options struct {
	Listen        string // host:port; empty: only the socket
	WebConfigFile string // TLS and basic auth; empty: neither
	Socket        string // path; empty: none
	Version       string
	Host          string // for the page's title; empty: none
	Gatherer      prometheus.Gatherer
	Log           hclog.Logger
}

// Server serves the pages.
type Server struct {
	options Options
	source  Source
	page    *page
	socket  net.Listener

	mu      sync.Mutex
	tcp     net.Listener
	waiting error // why Options.Listen is not listened on yet; nil: it is, or is not to be
}

// Listen takes the addresses. Run serves them; a Server that is not run must be
// closed. An address that cannot be had now (another program has it, or the host
// has not got it yet) is waited for by Run: what guards Redis does not depend on
// a page.
func Listen(source Source, options Options) (*Server, error) {
	s := &Server{options: options, source: source, page: newPage()}
	if err := toolkit.Validate(options.WebConfigFile); err != nil {
		return nil, fmt.Errorf("read web configuration: %w", err)
	}
	if options.Listen != "" {
		if err := s.take(); err != nil {
			options.Log.Error("http: not listening", "listen", options.Listen, "error", err)
		}
	}
	if options.Socket != "" {
		l, err := listenSocket(options.Socket)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("listen for http: %w", err)
		}
		s.socket = l
	}
	return s, nil
}

// listenSocket replaces a socket that a killed process left behind, and no
// other: two watchdogs beside one Redis would work against each other.
func listenSocket(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("%s is served by another redis-watchdog already", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("set rights of socket: %w", err)
	}
	return l, nil
}

// take listens on the configured address.
func (s *Server) take() error {
	l, err := net.Listen("tcp", s.options.Listen)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tcp, s.waiting = l, err
	if err != nil {
		s.tcp = nil
	}
	return err
}

// takeAgain is how often an address is tried that could not be had.
const takeAgain = time.Second

// taken is the listener of the configured address, once it can be had.
func (s *Server) taken(ctx context.Context) (net.Listener, error) {
	for s.Waiting() != nil {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(takeAgain):
		}
		if s.take() == nil {
			s.options.Log.Info("http: listening at last", "listen", s.options.Listen)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tcp, nil
}

// Waiting is why the configured address is not listened on; nil: it is.
func (s *Server) Waiting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// Addr is the address that is listened on; nil without one.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tcp == nil {
		return nil
	}
	return s.tcp.Addr()
}

// Close gives the addresses back.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tcp != nil {
		s.tcp.Close()
	}
	if s.socket != nil {
		s.socket.Close()
	}
}

// Run serves until ctx ends, then lets requests under way finish for a second,
// and returns context.Cause(ctx), or why it could not go on serving.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	handler := s.Handler()
	var servers []*http.Server
	ended := make(chan error, 2)
	if s.options.Listen != "" {
		server := s.newServer(handler)
		servers = append(servers, server)
		flags := &toolkit.FlagConfig{WebConfigFile: &s.options.WebConfigFile}
		go func() {
			l, err := s.taken(ctx)
			if err == nil {
				err = toolkit.Serve(l, server, flags, slog.New(slog.DiscardHandler))
			}
			ended <- err
		}()
	}
	if s.socket != nil {
		server := s.newServer(handler)
		servers = append(servers, server)
		go func() { ended <- server.Serve(s.socket) }()
	}

	var failed error
	running := len(servers)
	select {
	case <-ctx.Done():
	case failed = <-ended:
		running--
	}
	bye, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, server := range servers {
		if server.Shutdown(bye) != nil {
			server.Close()
		}
	}
	for range running {
		<-ended
	}
	if failed != nil && ctx.Err() == nil {
		return fmt.Errorf("serve http: %w", failed)
	}
	return context.Cause(ctx)
}

func (s *Server) newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 3 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(s.options.Log.StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}), "", 0),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// Handler is all pages. Methods other than GET, HEAD and OPTIONS are refused.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", s.index)
	mux.HandleFunc("/page/{file}", s.asset)
	mux.HandleFunc("/status", s.status)
	mux.HandleFunc("/groups", s.groups)
	mux.HandleFunc("/history/{group}", s.history)
	mux.HandleFunc("/keyspace/{group}", s.keyspaceOf)
	mux.HandleFunc("/livez", s.livez)
	mux.HandleFunc("/readyz", s.readyz)
	for _, role := range []string{"master", "replica"} {
		check := s.roleCheck(role)
		mux.HandleFunc("/"+role, check)
		mux.HandleFunc("/"+role+"/{group}", check)
		mux.HandleFunc("/"+role+"/{group}/{node}", check)
	}
	if s.options.Gatherer != nil {
		mux.Handle("/metrics", promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{
			MaxRequestsInFlight: 4, Timeout: 5 * time.Second}))
	}
	return readOnly(mux)
}

// readOnly lets nothing but questions through.
func readOnly(next http.Handler) http.Handler {
	const allowed = "GET, HEAD, OPTIONS"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			next.ServeHTTP(w, r)
		case http.MethodOptions:
			// HAProxy's option httpchk asks with OPTIONS by default and wants
			// the answer of the check, not of the method.
			if r.URL.Path == "*" || r.URL.Path == "/" {
				w.Header().Set("Allow", allowed)
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.Header().Set("Allow", allowed)
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Allow", allowed)
			reply(w, http.StatusMethodNotAllowed, answer{Reason: "method_not_allowed",
				Text: "nothing can be changed over HTTP; use the command line: redis-watchdog fence, unfence, release"})
		}
	})
}
