// Package failover decides each step of a planned failover: the master's writers
// are stopped, the chosen replica is seen to have everything, a Sentinel fails
// over, and the grant is seen to move. Until the Sentinel has taken the order,
// whatever goes wrong is undone.
//
// It is pure, like package watchdog: an Event goes in, the next Action comes
// out, and whoever carries it out hands in the time. The command and the
// simulation run the same.
package failover
