package discover

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// protocol is what a listening port of a server speaks.
type protocol uint8

const (
	silence protocol = iota // nothing of these, or nobody answered
	plain
	secured // TLS
)

// door is where a process on this host answers.
type door struct {
	address string // host:port; empty: it listens on a unix socket only
	speaks  protocol
	named   string // whom its certificate is for, where that is not the address; with TLS only
}

// knock asks a port. With TLS the certificate is only looked at for whom it is, and
// nothing is said behind the handshake.
func knock(ctx context.Context, at string) door {
	d := door{address: at}
	if (gather.Server{Address: at}).Speaks(ctx) {
		d.speaks = plain
		return d
	}
	conn, err := dial(ctx, at)
	if err != nil {
		return d
	}
	defer conn.Close()
	var leaf *x509.Certificate
	err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		leaf = s.PeerCertificates[0]
		return nil
	}}).HandshakeContext(ctx)
	var alert *net.OpError
	if leaf != nil || err == nil || errors.As(err, &alert) && alert.Op == "remote error" { // it may ask for a certificate
		d.speaks = secured
		d.named = nameFor(leaf, at)
	}
	return d
}

// nameFor is by which name a certificate is to be asked for at an address; empty:
// by that address, or there is none.
func nameFor(leaf *x509.Certificate, at string) string {
	host, _, _ := net.SplitHostPort(at)
	if leaf == nil || leaf.VerifyHostname(host) == nil {
		return ""
	}
	for _, name := range leaf.DNSNames {
		if leaf.VerifyHostname(name) == nil { // not a wildcard
			return name
		}
	}
	for _, ip := range leaf.IPAddresses {
		return ip.String()
	}
	return ""
}

func dial(ctx context.Context, at string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, gather.DefaultTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(gather.DefaultTimeout))
}

// door is where a process is to be asked: in plain text where it answers so at
// all, and on loopback before anything else. Which of its ports is which its file
// says only of the next start. Where it answers nowhere it is the first address
// at which it listens.
func (p Process) door(ctx context.Context) door {
	var first, secure door
	for i, at := range p.reachable() {
		d := knock(ctx, at)
		if i == 0 {
			first = d
		}
		switch {
		case d.speaks == plain:
			return d
		case d.speaks == secured && (secure.address == "" || secure.named != "" && d.named == ""):
			secure = d
		}
	}
	if secure.address != "" {
		return secure
	}
	return first
}

// reachable is where a process on this host is reached, loopback first.
func (p Process) reachable() (all []string) {
	var others []string
	for _, at := range p.Listens {
		switch ip := at.Addr(); {
		case ip.IsUnspecified() && ip.Is6(): // takes IPv4, too, unless bindv6only is set
			others = append(others, netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()).String())
			fallthrough
		case ip.IsUnspecified():
			ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
			all = append(all, netip.AddrPortFrom(ip, at.Port()).String())
		case ip.IsLoopback():
			all = append(all, at.String())
		default:
			others = append(others, at.String())
		}
	}
	return merged(nil, append(all, others...))
}
