// Package watched starts a lab's group together with its watchdogs: the real
// binary beside each Redis. The scenarios of the main job, the demo and the
// benchmarks stand on it.
package watched
