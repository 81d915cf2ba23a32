package systemd

import (
	"context"
	"fmt"
)

// Restart is what the manager does when a service ends: "no", "always",
// "on-failure" and so on, as Restart= has it.
func (u *Units) Restart(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := u.connection(ctx)
	if err != nil {
		return "", fmt.Errorf("ask for Restart= of %s: %w", name, err)
	}
	id, err := loadedID(ctx, conn, name)
	if err != nil {
		return "", fmt.Errorf("ask for Restart= of %s: %w", name, err)
	}
	prop, err := conn.GetServicePropertyContext(ctx, id, "Restart")
	if err != nil {
		return "", fmt.Errorf("ask for Restart= of %s: %w", name, err)
	}
	word, _ := prop.Value.Value().(string)
	return word, nil
}
