package systemd

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Supervision is what the manager does with a service: when it ends, and while it
// starts.
type Supervision struct {
	Restart string `json:"restart"` // as Restart= has it: "no", "always", "on-failure" and so on
	// StartTimeout is after how long the manager ends a start whose program has not
	// said READY=1, as Redis does when it has loaded its data (TimeoutStartSec= of a
	// unit of Type=notify). Zero: it waits as long as it takes, or for no such word.
	StartTimeout time.Duration `json:"start_timeout_ns"`
}

// Supervision reads it of a loaded unit; ErrNotLoaded where there is none.
func (u *Units) Supervision(ctx context.Context, name string) (Supervision, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := u.supervision(ctx, name)
	if err != nil {
		return Supervision{}, fmt.Errorf("ask for Restart= and TimeoutStartSec= of %s: %w", name, err)
	}
	return s, nil
}

func (u *Units) supervision(ctx context.Context, name string) (s Supervision, err error) {
	conn, err := u.connection(ctx)
	if err != nil {
		return s, err
	}
	id, err := loadedID(ctx, conn, name)
	if err != nil {
		return s, err
	}
	values := map[string]any{"Restart": nil, "Type": nil, "TimeoutStartUSec": nil}
	for property := range values {
		prop, err := conn.GetServicePropertyContext(ctx, id, property)
		if err != nil {
			return s, err
		}
		values[property] = prop.Value.Value()
	}
	restart, ok := values["Restart"].(string)
	kind, ok2 := values["Type"].(string)
	micros, ok3 := values["TimeoutStartUSec"].(uint64) // infinity is the largest
	if !ok || !ok2 || !ok3 {
		return s, fmt.Errorf("it says %v", values)
	}
	s.Restart = restart
	if (kind == "notify" || kind == "notify-reload") && micros <= math.MaxInt64/uint64(time.Microsecond) {
		s.StartTimeout = time.Duration(micros) * time.Microsecond
	}
	return s, nil
}
