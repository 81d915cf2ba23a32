// Package stall says for how long a Redis would answer nobody because of one
// key: while it removes it, moves it to another node, or drops it for a full
// sync.
//
// A range is given and never a number: what an element costs depends on how its
// memory lies, which nobody can see from outside. Nothing here does I/O; rates
// come from a throw-away server of the same program (package fit) or, where none
// can be had, from a table of what was measured (Coarse).
package stall
