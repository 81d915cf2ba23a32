package grant

import (
	"context"
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// renewals is a stream of keep-alives with one member, one question and one
// answer at a time; the zero renewals is none. A stream a renewal would be the
// dearest part of a round.
type renewals struct {
	stream pb.Lease_LeaseKeepAliveClient
	end    context.CancelFunc
}

// keepAlive renews a lease once. The client's own KeepAliveOnce would spin
// without a pause for as long as the member refuses connections.
func (m *member) keepAlive(ctx context.Context, lease clientv3.LeaseID) (*pb.LeaseKeepAliveResponse, error) {
	var r renewals
	select {
	case r = <-m.renewing:
	default: // in use: a stream of our own
		r, err := m.openRenewals(ctx)
		if err != nil {
			return nil, err
		}
		defer r.end()
		return r.renew(ctx, lease)
	}
	defer func() { m.renewing <- r }()
	for {
		fresh := r.stream == nil
		if fresh {
			var err error
			if r, err = m.openRenewals(ctx); err != nil {
				return nil, err
			}
		}
		resp, err := r.renew(ctx, lease)
		if err == nil {
			return resp, nil
		}
		r.end()
		r = renewals{}
		// An old one may have ended unseen: the member was restarted.
		if fresh || ctx.Err() != nil {
			return nil, err
		}
	}
}

// openRenewals opens a stream that outlives ctx: until it fails, an answer is
// not waited for, or the connection is closed.
func (m *member) openRenewals(ctx context.Context) (renewals, error) {
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	defer stop()
	stream, err := m.lease.LeaseKeepAlive(lasting, grpc.WaitForReady(false))
	if err != nil {
		end()
		return renewals{}, err
	}
	return renewals{stream, end}, nil
}

func (r renewals) renew(ctx context.Context, lease clientv3.LeaseID) (*pb.LeaseKeepAliveResponse, error) {
	stop := context.AfterFunc(ctx, r.end)
	defer stop()
	// A stream that has ended says so with EOF, and why when it is read.
	if err := r.stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(lease)}); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("send keep-alive: %w", err)
	}
	resp, err := r.stream.Recv()
	if err != nil {
		return nil, err
	}
	if resp.ID != int64(lease) {
		return nil, fmt.Errorf("keep-alive: an answer for lease %x, asked for %x", resp.ID, int64(lease))
	}
	return resp, nil
}
