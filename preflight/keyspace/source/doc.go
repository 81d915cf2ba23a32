// Package source brings keys to a Collector: from a file, and from what is
// added here. Each source says what it read and whether that was all of it.
package source
