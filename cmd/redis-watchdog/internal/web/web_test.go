package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/bcrypt"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

type fake struct {
	nodes   []agent.Status
	stuck   bool
	records []Record
	fleet   string
}

func (f fake) Fleet() string { return f.fleet }

func (f fake) Records(context.Context) []Record { return f.records }

func (f fake) Status() []agent.Status { return f.nodes }
func (f fake) Roles() []agent.Status  { return f.nodes }
func (f fake) Alive() bool            { return !f.stuck }

func master() agent.Status {
	return agent.Status{Group: "m1", Node: "a", Address: "10.0.0.1:6379", Role: "master", Answer: "up", Phase: "serve", Wanted: "serve",
		Row: 9, Reason: "granted", Guarded: true, Enrolled: true, GrantOurs: true, GrantRemaining: 3, Master: "10.0.0.1:6379", LagSeconds: -1}
}

func replica() agent.Status {
	return agent.Status{Group: "m1", Node: "b", Address: "10.0.0.2:6379", Role: "replica", Answer: "up", Phase: "follow", Wanted: "follow",
		Row: 3, Guarded: true, Following: "10.0.0.1:6379", LinkUp: true, LagSeconds: 2, Master: "10.0.0.1:6379"}
}

func with(s agent.Status, edit func(*agent.Status)) agent.Status { edit(&s); return s }

func get(t *testing.T, source Source, method, target string, header ...string) *http.Response {
	t.Helper()
	s := &Server{source: source, page: newPage(), options: Options{Version: "1.2.3", Gatherer: prometheus.NewRegistry()}}
	request := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	s.Handler().ServeHTTP(recorder, request)
	return recorder.Result()
}

func TestRoleChecksFollowTheGrant(t *testing.T) {
	one := func(s agent.Status) Source { return fake{nodes: []agent.Status{s}} }
	for _, test := range []struct {
		name   string
		source Source
		target string
		code   int
		reason string
	}{
		{"granted master", one(master()), "/master", 200, "serving"},
		{"master by name", one(master()), "/master/m1/a", 200, "serving"},
		{"master by query", one(master()), "/master?group=m1&node=a", 200, "serving"},
		{"held", one(with(master(), func(s *agent.Status) { s.Phase = "hold" })), "/master", 503, "not_serving"},
		{"locked", one(with(master(), func(s *agent.Status) { s.Phase = "lock" })), "/master", 503, "not_serving"},
		{"about to be fenced", one(with(master(), func(s *agent.Status) { s.Wanted = "refuse" })), "/master", 503, "closing"},
		{"fenced", one(with(master(), func(s *agent.Status) { s.Phase, s.Role = "refuse", "nowhere" })), "/master", 503, "not_master"},
		{"silent", one(with(master(), func(s *agent.Status) { s.Answer = "silent" })), "/master", 503, "not_answering"},
		{"master without a grant", one(with(master(), func(s *agent.Status) { s.GrantOurs, s.Row, s.Wanted = false, 14, "leave" })), "/master", 503, "no_grant"},
		{"grant lapsed", one(with(master(), func(s *agent.Status) { s.GrantRemaining, s.Row = 0, 13 })), "/master", 503, "no_grant"},
		{"certified by the Sentinels", one(with(master(), func(s *agent.Status) { s.GrantRemaining, s.Row = 0, 11 })), "/master", 200, "serving"},
		{"maintenance", one(with(master(), func(s *agent.Status) { s.GrantOurs, s.GrantRemaining, s.Row, s.Wanted = false, 0, 2, "leave" })), "/master", 200, "serving"},
		{"replica is no master", one(replica()), "/master", 503, "not_master"},
		{"replica", one(replica()), "/replica", 200, "following"},
		{"replica near enough", one(replica()), "/replica?max_lag=2", 200, "following"},
		{"replica lags", one(replica()), "/replica?max_lag=1.9", 503, "lagging"},
		{"lag unknown", one(with(replica(), func(s *agent.Status) { s.LagSeconds = -1 })), "/replica?max_lag=5", 503, "lag_unknown"},
		{"link down", one(with(replica(), func(s *agent.Status) { s.LinkUp = false })), "/replica", 503, "link_down"},
		{"follows a name that was never resolved", one(with(replica(), func(s *agent.Status) { s.Following = "" })), "/replica", 200, "following"},
		{"follows another", one(with(replica(), func(s *agent.Status) { s.Following = "10.0.0.9:6379" })), "/replica", 503, "wrong_master"},
		{"master is no replica", one(master()), "/replica", 503, "not_replica"},
		{"bad lag", one(replica()), "/replica?max_lag=x", 400, "bad_max_lag"},
		{"negative lag", one(replica()), "/replica?max_lag=-1", 400, "bad_max_lag"},
		{"NaN lag", one(replica()), "/replica?max_lag=NaN", 400, "bad_max_lag"},
		{"lag of a master", one(master()), "/master?max_lag=1", 400, "bad_max_lag"},
		{"ambiguous", fake{nodes: []agent.Status{master(), replica()}}, "/master", 400, "ambiguous"},
		{"ambiguous in a group", fake{nodes: []agent.Status{master(), replica()}}, "/master/m1", 400, "ambiguous"},
		{"one of two", fake{nodes: []agent.Status{master(), replica()}}, "/replica/m1/b", 200, "following"},
		{"no such node", one(master()), "/master/m1/x", 404, "no_such_node"},
		{"nothing yet", fake{}, "/master", 503, "starting"},
		{"loop stuck", fake{nodes: []agent.Status{master()}, stuck: true}, "/master", 503, "loop_stuck"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
				response := get(t, test.source, method, test.target)
				if response.StatusCode != test.code {
					t.Errorf("%s: got %d, want %d", method, response.StatusCode, test.code)
				}
				var body answer
				if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
					t.Fatal(err)
				}
				if body.Reason != test.reason || body.OK != (test.code == 200) {
					t.Errorf("%s: got %+v, want reason %s", method, body, test.reason)
				}
			}
		})
	}
}

func TestNothingChangesOverHTTP(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
		for _, target := range []string{"/", "/status", "/master", "/metrics", "/readyz", "/fence", "/-/quit"} {
			response := get(t, fake{nodes: []agent.Status{master()}}, method, target)
			if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
				t.Errorf("%s %s: got %d, Allow %q", method, target, response.StatusCode, response.Header.Get("Allow"))
			}
		}
	}
}

func TestReadyzSaysWhichNodeIsUnguarded(t *testing.T) {
	bad := with(replica(), func(s *agent.Status) {
		s.Guarded = false
		s.Faults = []agent.Fault{{ID: "fence_rights", Severity: agent.SeverityError, Text: "no rights", Remedy: "ACL SETUSER x"}}
	})
	response := get(t, fake{nodes: []agent.Status{master(), bad}}, "GET", "/readyz")
	var body readiness
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 503 || len(body.Problems) != 1 || body.Problems[0].Node != "b" || body.Problems[0].Faults[0].ID != "fence_rights" {
		t.Errorf("got %d %+v", response.StatusCode, body)
	}
	if got := get(t, fake{nodes: []agent.Status{master()}}, "GET", "/readyz").StatusCode; got != 200 {
		t.Errorf("all guarded: got %d", got)
	}
	if got := get(t, fake{}, "GET", "/readyz").StatusCode; got != 503 {
		t.Errorf("nothing yet: got %d", got)
	}
	plain := get(t, fake{nodes: []agent.Status{bad}}, "GET", "/readyz", "Accept", "text/plain")
	text := make([]byte, 1000)
	n, _ := plain.Body.Read(text)
	if got := string(text[:n]); !strings.Contains(got, "not ready: m1/b") || !strings.Contains(got, "ACL SETUSER x") {
		t.Errorf("got %q", got)
	}
}

func TestPages(t *testing.T) {
	source := fake{nodes: []agent.Status{master()}}
	for target, code := range map[string]int{"/": 200, "/livez": 200, "/status": 200, "/groups": 200, "/metrics": 200, "/nowhere": 404} {
		if got := get(t, source, "GET", target).StatusCode; got != code {
			t.Errorf("%s: got %d, want %d", target, got, code)
		}
	}
	if got := get(t, fake{stuck: true}, "GET", "/livez").StatusCode; got != 503 {
		t.Errorf("stuck: got %d", got)
	}
	var nodes []agent.Status
	if err := json.NewDecoder(get(t, fake{}, "GET", "/status").Body).Decode(&nodes); err != nil || nodes == nil {
		t.Errorf("no node: got %v, %v, want []", nodes, err)
	}
}

// certificate is one for 127.0.0.1, and what trusts it.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, filepath.Join(dir, "cert.pem"), public)
	write(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRunServesTLSAndBasicAuthAndTheSocketWithout(t *testing.T) {
	dir := t.TempDir()
	pool := certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "web.yaml"), []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"+
		"basic_auth_users: {alice: '"+string(hash)+"'}\n"))
	socket := filepath.Join(dir, "run", SocketName)
	server, err := Listen(fake{nodes: []agent.Status{master()}}, Options{Listen: "127.0.0.1:0", WebConfigFile: filepath.Join(dir, "web.yaml"),
		Socket: socket, Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("the test is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()

	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	ask := func(client *http.Client, url, password string) int {
		request, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			request.SetBasicAuth("alice", password)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			return 0
		}
		response.Body.Close()
		return response.StatusCode
	}
	base := "https://" + server.Addr().String()
	for password, want := range map[string]int{"": 401, "wrong": 401, "secret": 200} {
		if got := ask(client, base+"/master", password); got != want {
			t.Errorf("password %q: got %d, want %d", password, got, want)
		}
	}
	if got := ask(&http.Client{Timeout: 5 * time.Second}, "http://"+server.Addr().String()+"/master", "secret"); got != 400 {
		t.Errorf("plain http: got %d, want 400", got)
	}
	local := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer local.CloseIdleConnections()
	if got := ask(local, "http://local/status", ""); got != 200 {
		t.Errorf("socket: got %d, want 200", got)
	}
	if _, err := Listen(fake{}, Options{Socket: socket, Log: hclog.NewNullLogger()}); err == nil || !strings.Contains(err.Error(), "another redis-watchdog") {
		t.Errorf("second one: got %v", err)
	}
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}

func TestListenRefusesBadWebConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yaml")
	write(t, path, []byte("tls_sever_config: {}\n"))
	if s, err := Listen(fake{}, Options{Listen: "127.0.0.1:0", WebConfigFile: path, Log: hclog.NewNullLogger()}); err == nil {
		s.Close()
		t.Error("got no error")
	}
}

// Redis is guarded whether or not a page can be shown.
func TestAddressThatIsTakenIsWaitedFor(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := taken.Addr().String()
	s, err := Listen(fake{nodes: []agent.Status{master()}}, Options{Listen: address, Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	if s.Waiting() == nil || s.Addr() != nil {
		t.Errorf("an address that is taken: waiting %v, listening on %v", s.Waiting(), s.Addr())
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + address + "/livez")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not answered once the address was free: %v", err)
		}
	}
	if s.Waiting() != nil {
		t.Errorf("it listens, and still waits: %v", s.Waiting())
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("run ended with %v", err)
	}

	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	waits, err := Listen(fake{}, Options{Listen: address, Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop = context.WithCancel(t.Context())
	go func() { ended <- waits.Run(ctx) }()
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("run that only waited ended with %v", err)
	}
}
