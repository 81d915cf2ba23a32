package gate

import (
	"maps"
	"testing"
)

// What is read of a replica is of one look: a field that was not told, or that
// makes no sense, leaves all of it as it was.
func TestReplicationIsOfOneLook(t *testing.T) {
	whole := map[string]string{
		"role": "slave", "master_link_status": "up", "master_sync_in_progress": "0", "unexpected_error_replies": "2",
		"repl_backlog_first_byte_offset": "10", "repl_backlog_histlen": "90", "repl_backlog_size": "1048576",
		"rdb_last_load_keys_loaded": "4", "rdb_last_load_keys_expired": "1",
	}
	want := Replication{RunID: "r", Replica: true, LinkUp: true, Errors: 2, BacklogFirst: 10, BacklogLength: 90, BacklogSize: 1 << 20, Loaded: 5}
	if got := replicationOf(whole, "r", Replication{}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := replicationOf(whole, "", want); got != want {
		t.Errorf("of nobody: %+v", got)
	}
	for key := range whole {
		for _, value := range []string{"", "x", "-"} {
			spoilt := maps.Clone(whole)
			if spoilt[key] = value; value == "" {
				delete(spoilt, key)
			}
			got := replicationOf(spoilt, "r", want)
			switch key {
			case "master_link_status", "master_sync_in_progress":
			case "role":
				if value == "" && got != want {
					t.Errorf("without a role: %+v", got)
				}
			case "rdb_last_load_keys_loaded", "rdb_last_load_keys_expired": // before 7.0
				if got.Errors != want.Errors || got.Loaded != -1 {
					t.Errorf("%s %q: %+v", key, value, got)
				}
			default:
				if got != want {
					t.Errorf("%s %q: %+v", key, value, got)
				}
			}
		}
	}
}
