package grant

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func TestHealthIsWhatAStatusSays(t *testing.T) {
	got := healthOf(&pb.StatusResponse{
		Header: &pb.ResponseHeader{MemberId: 7}, Version: "3.6.9", DbSize: 5, DbSizeInUse: 4, DbSizeQuota: 9, IsLearner: true,
		Errors: []string{"etcdserver: no leader", `memberID:1 alarm:NOSPACE `, `memberID:2 alarm:NOSPACE `, `memberID:2  alarm:CORRUPT`, "alarm:"},
	})
	want := health{id: 7, version: "3.6.9", size: 5, inUse: 4, quota: 9, learner: true, alarms: []string{"NOSPACE", "CORRUPT"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("health %+v, want %+v", got, want)
	}
	if got := healthOf(&pb.StatusResponse{}); !reflect.DeepEqual(got, health{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestQuotaIsNamedInTime(t *testing.T) {
	const gib = 1 << 30
	s := &Store{}
	for _, tt := range []struct {
		name        string
		size, quota int64
		failing     error
		near        bool
		says        string
	}{
		{"empty", 1 << 15, 2 * gib, nil, false, ""},
		{"below four fifths", 8*gib/5 - 1, 2 * gib, nil, false, ""},
		{"four fifths", 8*gib/5 + 1, 2 * gib, nil, true, "its quota of 2147.5 MB"},
		{"full", 2 * gib, 2 * gib, nil, true, "its quota"},
		{"of another quota", 4 * gib, 8 * gib, nil, false, ""},
		{"not told, small", gib, 0, nil, false, ""},
		{"not told, near the default", 17 * gib / 10, 0, nil, true, "the default quota of 2147.5 MB"},
		{"not told, and larger than the default: it is not the default's", 2*gib + 1, 0, nil, false, ""},
		{"as it was before it failed", 2 * gib, 2 * gib, errLost, false, ""},
		{"nothing known", 0, 0, nil, false, ""},
	} {
		f, near := s.quotaFault(&member{endpoint: "http://e:2379", failing: tt.failing, state: health{size: tt.size, quota: tt.quota}})
		if near != tt.near || !strings.Contains(f.Text, tt.says) || near && (f.ID != FaultQuota || !strings.Contains(f.Remedy, "etcdctl defrag")) {
			t.Errorf("%s: %v %+v", tt.name, near, f)
		}
	}
}

func TestOnlyARefusalSaysThatNothingIsWritten(t *testing.T) {
	var w writable
	for _, tt := range []struct {
		err  error
		want error
	}{
		{errLost, nil},
		{fmt.Errorf("e: %w", rpctypes.ErrNoSpace), rpctypes.ErrNoSpace},
		{errLost, rpctypes.ErrNoSpace}, // etcd away: what was known stands
		{fmt.Errorf("e: %w", &AuthError{User: "u", Err: rpctypes.ErrPermissionDenied}), rpctypes.ErrPermissionDenied},
		{rpctypes.ErrCorrupt, rpctypes.ErrCorrupt},
		{nil, nil},
	} {
		w.note(tt.err)
		if got := w.problem(); !errors.Is(got, tt.want) || tt.want == nil && got != nil {
			t.Errorf("after %v: %v, want %v", tt.err, got, tt.want)
		}
	}
}
