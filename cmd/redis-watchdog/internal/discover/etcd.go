package discover

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// ErrNoEtcd is a host without a member of etcd that answers.
var ErrNoEtcd = errors.New("no etcd answers at http://127.0.0.1:2379: name its members with --etcd http://HOST:2379,…")

// localEtcd is where a member on this host listens by default.
const localEtcd = "http://127.0.0.1:2379"

// memberTimeout bounds one question to one member.
const memberTimeout = 2 * time.Second

// member is one of a cluster as etcd's gateway (3.4 and later) lists it.
type member struct {
	ID         string   `json:"ID"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

// Etcd asks the member of etcd on this host for all of them, and is the URL at
// which each serves clients of every host. What a member advertises is believed
// where that very member answers there; one that advertises an address of its
// own host alone (localhost, 0.0.0.0) is looked for where its peers reach it.
// notes is what was not found, or could not be tried.
func Etcd(ctx context.Context) (urls, notes []string, err error) {
	var list struct {
		Members []member
	}
	if err := askEtcd(ctx, localEtcd, "/v3/cluster/member/list", &list); err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", ErrNoEtcd, err)
	}
	sorted.By(list.Members, func(a, b member) int { return cmp.Compare(a.Name, b.Name) })
	for _, m := range list.Members {
		at, note := m.find(ctx)
		if note != "" {
			notes = append(notes, note)
		}
		if at != "" && !slices.Contains(urls, at) {
			urls = append(urls, at)
		}
	}
	if len(urls)*2 <= len(list.Members) {
		return nil, notes, fmt.Errorf("of %d members of etcd %d can be named: name all with --etcd http://HOST:2379,…", len(list.Members), len(urls))
	}
	slices.Sort(urls)
	return urls, notes, nil
}

// find is the URL of a member, and what is to be said about it. One that cannot
// be tried, or does not answer at a good address just now, is named all the same.
func (m member) find(ctx context.Context) (at, note string) {
	var unanswered string
	var tried error
	for _, candidate := range m.candidates() {
		var status struct {
			Header struct {
				MemberID string `json:"member_id"`
			}
		}
		if unanswered == "" {
			unanswered = candidate
		}
		if u, err := url.Parse(candidate); err == nil && u.Scheme == "https" {
			return candidate, fmt.Sprintf("%s, the member %s of etcd, was not asked: it speaks TLS; see etcd.tls", candidate, m.Name)
		}
		err := askEtcd(ctx, candidate, "/v3/maintenance/status", &status)
		if err == nil && status.Header.MemberID == m.ID {
			return candidate, ""
		}
		if err == nil {
			err = errors.New("another member answers there")
			unanswered = ""
		}
		tried = err
	}
	if unanswered != "" {
		return unanswered, fmt.Sprintf("%s, the member %s of etcd, does not answer now: %v", unanswered, m.Name, tried)
	}
	return "", fmt.Sprintf("the member %s of etcd is left out: it advertises %q, where no client of another host finds it (%v); correct its --advertise-client-urls, or name all members with --etcd",
		m.Name, m.ClientURLs, tried)
}

// candidates are where clients of other hosts may find a member: where it says,
// and where its peers reach it, at the port it says.
func (m member) candidates() (all []string) {
	port := "2379"
	for _, text := range m.ClientURLs {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		port = cmp.Or(u.Port(), port)
		if !ownHostOnly(u.Hostname()) {
			all = append(all, text)
		}
	}
	for _, text := range m.PeerURLs {
		if u, err := url.Parse(text); err == nil && !ownHostOnly(u.Hostname()) {
			scheme := "http"
			if len(m.ClientURLs) > 0 {
				if client, err := url.Parse(m.ClientURLs[0]); err == nil {
					scheme = client.Scheme
				}
			}
			if at := scheme + "://" + net.JoinHostPort(u.Hostname(), port); !slices.Contains(all, at) {
				all = append(all, at)
			}
		}
	}
	return all
}

// ownHostOnly is whether a host means whichever host asks.
func ownHostOnly(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// EtcdAnswers is nil where a member answers at an endpoint, whatever it answers;
// secure is for https://.
func EtcdAnswers(ctx context.Context, endpoint string, secure *tls.Config) error {
	transport := &http.Transport{TLSClientConfig: secure}
	defer transport.CloseIdleConnections()
	var lost *url.Error
	if err := ask(ctx, &http.Client{Transport: transport}, endpoint, "/v3/maintenance/status", new(any)); errors.As(err, &lost) {
		return lost.Err
	}
	return nil
}

// askEtcd asks the gateway of a member in plain text.
func askEtcd(ctx context.Context, endpoint, path string, into any) error {
	return ask(ctx, http.DefaultClient, endpoint, path, into)
}

func ask(ctx context.Context, client *http.Client, endpoint, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+path, bytes.NewBufferString("{}"))
	if err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answered %s", resp.Status)
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	return nil
}
