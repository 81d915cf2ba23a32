// Package preflight judges whether a failover may go ahead: facts in, findings
// out. It reads nothing itself. One engine serves the command, the guarded
// failover and the veto that every watchdog keeps standing beside its replica.
//
//   - What was not read is unknown, and unknown is never a pass.
//   - Secrets are compared where they are read and never become facts.
package preflight
