package grant

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// A member of the etcd cluster that is frozen, or cut off, keeps its TCP
// connection; these bound how long one that came back is not tried again. etcd
// refuses pings more often than every 5 s (--grpc-keepalive-min-time).
const (
	pingEvery        = 10 * time.Second
	pingTimeout      = 2 * time.Second // also TCP_USER_TIMEOUT: unacknowledged data this old ends the connection
	dialTimeout      = time.Second
	redialAtMost     = 500 * time.Millisecond
	firstRedialAfter = 50 * time.Millisecond
)

const (
	buffer = 4 << 10
	window = 256 << 10 // bytes that may be under way to us
)

// A member is one endpoint with a client of its own. One client for all of
// them would spread requests evenly, and go on sending every third request to
// a member that is frozen, for as long as its connection lives.
type member struct {
	endpoint       string
	user, password string
	tls            bool

	client      *clientv3.Client
	lease       pb.LeaseClient
	maintenance pb.MaintenanceClient // the client's own dials anew for every question

	authenticating chan struct{} // holds one: who has it may ask for a token
	renewing       chan renewals // holds one: the stream that renewals share; who has it may use it

	answered atomic.Int64 // instant of its last answer to ask of the Store; 0: none

	mu      sync.Mutex
	token   string
	noAuth  bool   // the cluster has authentication off, although we have a user
	dialled error  // why the last dial or TLS handshake failed; nil: it did not
	failing error  // why its last status could not be had; nil: it was
	state   health // as its last status showed it; the zero health: there was none
}

func newMember(endpoint string, cfg Config) (*member, error) {
	m := &member{
		endpoint:       endpoint,
		user:           cfg.Username,
		password:       cfg.Password,
		authenticating: make(chan struct{}, 1),
		renewing:       make(chan renewals, 1),
	}
	m.renewing <- renewals{}
	creds, err := m.credentials(cfg.TLS)
	if err != nil {
		return nil, err
	}
	dial := cfg.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	m.client, err = clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint},
		TLS:       cfg.TLS,
		// The client logs through zap to stderr otherwise.
		Logger:               zap.NewNop(),
		MaxUnaryRetries:      1, // one attempt: another belongs to another member
		DialKeepAliveTime:    pingEvery,
		DialKeepAliveTimeout: pingTimeout,
		// No Username: the client would authenticate in New, and again for
		// every keep-alive, which costs the server a bcrypt each.
		DialOptions: []grpc.DialOption{
			grpc.WithTransportCredentials(creds),
			grpc.WithPerRPCCredentials(tokenOf{m}),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				conn, err := dial(ctx, "tcp", address)
				if err != nil || !m.tls {
					m.noteDial(err) // with TLS the handshake says when all is well
				}
				return conn, err
			}),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: firstRedialAfter, Multiplier: 1.6, Jitter: 0.2, MaxDelay: redialAtMost},
				MinConnectTimeout: dialTimeout,
			}),
			grpc.WithChainUnaryInterceptor(failFast),
			// A few hundred bytes a second: small buffers, and a window that is
			// not measured anew, with a ping, at every answer.
			grpc.WithReadBufferSize(buffer), grpc.WithWriteBufferSize(buffer),
			grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", endpoint, err)
	}
	m.lease = pb.NewLeaseClient(m.client.ActiveConnection())
	m.maintenance = pb.NewMaintenanceClient(m.client.ActiveConnection())
	return m, nil
}

// failFast lets a request to a member that cannot be dialled fail with the
// reason at once; etcd's client would wait for the connection, and then say
// only that time was up.
func failFast(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, cc, append(opts, grpc.WaitForReady(false))...)
}

func (m *member) credentials(cfg *tls.Config) (credentials.TransportCredentials, error) {
	switch scheme, _, found := strings.Cut(m.endpoint, "://"); {
	case found && scheme == "http":
		if cfg != nil {
			return nil, fmt.Errorf("open %s: TLS is configured, but the endpoint is http://; write https://", m.endpoint)
		}
		return insecure.NewCredentials(), nil
	case found && scheme == "https":
		if cfg == nil {
			cfg = &tls.Config{}
		}
	case found:
		return nil, fmt.Errorf("open %s: scheme %q is neither http nor https", m.endpoint, scheme)
	case cfg == nil:
		return insecure.NewCredentials(), nil
	}
	m.tls = true
	return notedHandshake{credentials.NewTLS(cfg), m, cfg.ServerName}, nil
}

// notedHandshake keeps why a handshake failed: gRPC passes on its text only,
// and not even that to a request that ran out of time.
type notedHandshake struct {
	credentials.TransportCredentials
	m    *member
	name string // tls.Config.ServerName; etcd's resolver puts the endpoint's in its place
}

func (n notedHandshake) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if n.name != "" {
		authority = n.name
	}
	conn, info, err := n.TransportCredentials.ClientHandshake(ctx, authority, raw)
	switch {
	case err == nil:
		n.m.noteDial(nil)
	case ctx.Err() == nil:
		n.m.noteDial(&HandshakeError{Endpoint: n.m.endpoint, Err: err})
	}
	return conn, info, err
}

func (n notedHandshake) Clone() credentials.TransportCredentials {
	return notedHandshake{n.TransportCredentials.Clone(), n.m, n.name}
}

// HandshakeError is a TLS handshake with an etcd endpoint that failed.
type HandshakeError struct {
	Endpoint string
	Err      error
}

func (e *HandshakeError) Error() string { return fmt.Sprintf("TLS handshake: %v", e.Err) }
func (e *HandshakeError) Unwrap() error { return e.Err }

// AuthError is a user or a right that etcd refused.
type AuthError struct {
	User string // empty: none was given
	Err  error
}

func (e *AuthError) Error() string {
	if e.User == "" {
		return fmt.Sprintf("refused without a user: %v", e.Err)
	}
	return fmt.Sprintf("refused user %q: %v", e.User, e.Err)
}
func (e *AuthError) Unwrap() error { return e.Err }

func (m *member) noteDial(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dialled = err
}

// tokenOf puts the member's token on every request.
type tokenOf struct{ m *member }

func (t tokenOf) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if token := t.m.currentToken(); token != "" {
		return map[string]string{rpctypes.TokenFieldNameGRPC: token}, nil
	}
	return nil, nil
}

func (t tokenOf) RequireTransportSecurity() bool { return false }

func (m *member) currentToken() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.token
}

// ask runs one request, with a token where there is a user, and once again
// when etcd forgot the token (it does after five idle minutes, and over a
// restart). The error says which endpoint, and why.
func (m *member) ask(ctx context.Context, request func(context.Context) error) error {
	token := m.currentToken()
	if m.user != "" && token == "" && !m.authOff() {
		if err := m.authenticate(ctx, token); err != nil {
			return m.explain(err)
		}
		token = m.currentToken()
	}
	err := rpctypes.Error(request(ctx))
	if m.user != "" && tokenForgotten(err) {
		if err := m.authenticate(ctx, token); err != nil {
			return m.explain(err)
		}
		err = rpctypes.Error(request(ctx))
	}
	if err != nil {
		return m.explain(err)
	}
	return nil
}

func (m *member) authOff() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.noAuth
}

// authenticate replaces the token old, once for all who found it refused.
func (m *member) authenticate(ctx context.Context, old string) error {
	select {
	case m.authenticating <- struct{}{}:
		defer func() { <-m.authenticating }()
	case <-ctx.Done():
		return fmt.Errorf("authenticate: %w", context.Cause(ctx))
	}
	if m.currentToken() != old {
		return nil
	}
	resp, err := m.client.Authenticate(ctx, m.user, m.password)
	err = rpctypes.Error(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case errors.Is(err, rpctypes.ErrAuthNotEnabled):
		m.token, m.noAuth = "", true
		return nil
	case err != nil:
		return fmt.Errorf("authenticate: %w", err)
	}
	m.token, m.noAuth = resp.Token, false
	return nil
}

func tokenForgotten(err error) bool {
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) ||
		errors.Is(err, rpctypes.ErrUserEmpty) ||
		errors.Is(err, rpctypes.ErrAuthOldRevision)
}

func refused(err error) bool {
	return errors.Is(err, rpctypes.ErrAuthFailed) ||
		errors.Is(err, rpctypes.ErrPermissionDenied) ||
		errors.Is(err, rpctypes.ErrPermissionNotGranted) ||
		tokenForgotten(err)
}

// explain adds what is known about the connection, and the endpoint.
func (m *member) explain(err error) error {
	if refused(err) {
		err = &AuthError{User: m.user, Err: err}
	} else if connection := m.dialError(); connection != nil {
		err = connection
	}
	return fmt.Errorf("%s: %w", m.endpoint, err)
}

func (m *member) dialError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dialled
}
