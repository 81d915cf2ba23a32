package grant

// What is kept of a group's newest audit of its key space (audits/<group>): it is
// for people and for the preflight, and nothing is decided by it.

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// MaxAudit is the most bytes of an audit that are taken.
const MaxAudit = 64 << 10

func (s *Store) auditKey(group string) string { return s.prefix + "audits/" + group }

// KeepAudit puts an audit in the place of the one that was kept before.
func (s *Store) KeepAudit(ctx context.Context, group string, audit []byte) error {
	if len(audit) > MaxAudit {
		return fmt.Errorf("keep audit: it has %d bytes, more than %d", len(audit), MaxAudit)
	}
	_, err := s.transact(ctx, "keep audit", commandTimeout, nil, []clientv3.Op{clientv3.OpPut(s.auditKey(group), string(audit))}, nil)
	return err
}

// Audit is what was kept last; nil: nothing was.
func (s *Store) Audit(ctx context.Context, group string) ([]byte, error) {
	resp, err := s.transact(ctx, "read audit", commandTimeout, nil, []clientv3.Op{clientv3.OpGet(s.auditKey(group))}, nil)
	if err != nil {
		return nil, err
	}
	if kvs := resp.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0].Value, nil
	}
	return nil, nil
}
