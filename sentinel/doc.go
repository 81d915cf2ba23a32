// Package sentinel hears every Sentinel of a group and tallies what they say:
// which master a majority names, and when they could promote another.
//
// The tally (State, in tally.go and its neighbours) is pure: answers go in as
// values together with the time, a watchdog.Sentinels comes out for each local
// Redis. The Watcher (watcher.go) talks to the Sentinels and feeds it. An
// event of a Sentinel is never believed; it makes the polls run now.
package sentinel
