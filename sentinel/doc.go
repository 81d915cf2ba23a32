// Package sentinel hears every Sentinel of a group and tallies what they say:
// which master a majority names, and when they could promote another.
//
// The tally (State, in tally.go and its neighbours) is pure: answers go in as
// values together with the time, a watchdog.Sentinels comes out for each local
// Redis. The Watcher (watcher.go) of a group feeds it. It takes part in
// Conversations (conversations.go), one with each Sentinel process for all
// groups that reach it in the same way. An event of a Sentinel is never
// believed; it makes the polls run now.
package sentinel
