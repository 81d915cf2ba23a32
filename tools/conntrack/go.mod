// Stands for the module of this name, see conntrack.go.
module github.com/mwitkow/go-conntrack

go 1.26.0
