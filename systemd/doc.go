// Package systemd talks to the service manager: notifications, the store that
// keeps armed fences over a crash of the watchdog, and the control of the
// units that run Redis.
//
// Where there is no service manager nothing fails: a Notifier and a Store that
// were opened without NOTIFY_SOCKET do nothing and say so.
//
// What may block: Notifier.Barrier, Store.Probe, and everything of Units and
// Process that takes a context, each at most until its context ends. All other
// calls never wait: a notification that does not fit into the manager's queue
// is an error at once, to be sent again with the next turn.
package systemd
