package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// ErrNoEtcd is a host without a member of etcd that answers.
var ErrNoEtcd = errors.New("no etcd answers at http://127.0.0.1:2379: name its members with --etcd http://HOST:2379,…")

// Etcd asks the member of etcd on this host for all of them: the URLs at which
// they serve clients.
func Etcd(ctx context.Context) ([]string, error) {
	const local = "http://127.0.0.1:2379"
	// The gateway of 3.4 and later.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, local+"/v3/cluster/member/list", bytes.NewBufferString("{}"))
	if err != nil {
		return nil, fmt.Errorf("ask etcd: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNoEtcd, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w (it answered %s)", ErrNoEtcd, resp.Status)
	}
	var list struct {
		Members []struct {
			ClientURLs []string `json:"clientURLs"`
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("read etcd's members: %w", err)
	}
	var urls []string
	for _, m := range list.Members {
		if len(m.ClientURLs) > 0 {
			urls = append(urls, m.ClientURLs[0])
		}
	}
	if len(urls) == 0 {
		return nil, ErrNoEtcd
	}
	slices.Sort(urls)
	return urls, nil
}
