package lab

// What ordinary days do to an etcd.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// patience bounds a request of the functions below.
func (e *Etcd) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.lab.ctx, 20*time.Second)
}

// Raise raises an alarm, as the first member would: NOSPACE at its quota,
// CORRUPT where --experimental-compact-hash-check finds a difference.
func (e *Etcd) Raise(alarm pb.AlarmType) {
	e.lab.t.Helper()
	client := e.Client(nil)
	ctx, cancel := e.patience()
	defer cancel()
	status, err := client.Status(ctx, e.Members[0].Endpoint)
	if err == nil {
		_, err = pb.NewMaintenanceClient(client.ActiveConnection()).Alarm(ctx,
			&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: status.Header.MemberId, Alarm: alarm})
	}
	if err != nil {
		e.lab.t.Fatalf("lab: raise alarm %v of etcd: %v", alarm, err)
	}
	e.lab.Mark("etcd: alarm %v is raised", alarm)
}

// Disarm takes every alarm back.
func (e *Etcd) Disarm() {
	e.lab.t.Helper()
	ctx, cancel := e.patience()
	defer cancel()
	if _, err := e.Client(nil).AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
		e.lab.t.Fatalf("lab: disarm alarms of etcd: %v", err)
	}
	e.lab.Mark("etcd: alarms are disarmed")
}

// Fill overwrites one key of another application until the database of some
// member has this share of its quota (see EtcdConfig.Args, --quota-backend-bytes);
// with 1, until etcd refuses to write.
func (e *Etcd) Fill(share float64) {
	e.lab.t.Helper()
	client := e.Client(nil)
	ctx, cancel := e.patience()
	defer cancel()
	value := strings.Repeat("x", 100<<10)
	for {
		for _, m := range e.Members {
			status, err := client.Status(ctx, m.Endpoint)
			if err != nil {
				e.lab.t.Fatalf("lab: status of %s: %v", m.Name, err)
			}
			if share < 1 && float64(status.DbSize) >= share*float64(status.DbSizeQuota) {
				e.lab.Mark("etcd: a database has %d bytes of %d", status.DbSize, status.DbSizeQuota)
				return
			}
		}
		_, err := client.Put(ctx, "/another/application", value)
		switch {
		case errors.Is(err, rpctypes.ErrNoSpace) && share >= 1:
			e.lab.Mark("etcd: its quota is full")
			return
		case err != nil:
			e.lab.t.Fatalf("lab: fill etcd: %v", err)
		}
	}
}

// Learner starts one more member on the host, which is never given a vote.
func (e *Etcd) Learner(h *Host) *Member {
	e.lab.t.Helper()
	m := e.prepare(h)
	peer := fmt.Sprintf("http://%s:%d", h.IP, m.PeerPort)
	client := e.Client(nil)
	var added *clientv3.MemberAddResponse
	// Not before its members have been connected for 5 s (server.go, HealthInterval).
	e.lab.Eventually("etcd takes a learner", 45*time.Second, func() (err error) {
		ctx, cancel := e.patience()
		defer cancel()
		added, err = client.MemberAddAsLearner(ctx, []string{peer})
		return err
	})
	cluster := m.id() + "=" + peer
	for _, known := range added.Members {
		if known.Name != "" {
			cluster += "," + known.Name + "=" + known.PeerURLs[0]
		}
	}
	m.command.Args = append(e.args(m, cluster), "--initial-cluster-state=existing")
	m.Restart()
	e.lab.Eventually(m.Name+" is a learner", 45*time.Second, func() error {
		return e.ask(m, func(ctx context.Context, client *clientv3.Client) error {
			status, err := client.Status(ctx, m.Endpoint)
			if err == nil && !status.IsLearner {
				err = errors.New("it is none")
			}
			return err
		})
	})
	return m
}
