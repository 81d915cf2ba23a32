// Package sim lets the pure core play in a small seeded world: a Sentinel
// group with its Redis, Sentinels, etcd, watchdogs and clients, whose links
// are cut and whose processes are frozen, killed and restarted, and in which
// operators order failovers. It looks for two writers, answers after a
// promotion, stuck groups, needless fences, writes that a planned failover
// lost, and writers that one did not let go.
//
// It is a discrete-event simulation on one goroutine: the same seed gives the
// same run, to the nanosecond. The servers are modelled after what was
// measured on real ones and read in their sources; where the model and a real
// server disagree, the model is wrong.
//
//	go test ./lab/sim -run TestSim -sim.seed=N    replays one run with its history
//	go test ./lab/sim -run TestSim -sim.time=10m  looks for as long as wanted
//	go test ./lab/sim -run TestSim -sim.only=coup -sim.time=10m   nothing but that fault
package sim
