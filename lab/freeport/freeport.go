// Package freeport gives tests loopback ports that nobody else takes between the
// choice and the use.
package freeport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// first and count leave out the range of outgoing connections, and leave room
// for +10000, Redis' cluster bus.
const first, count = 20000, 12000

var next atomic.Int64

// Take is a TCP port of 127.0.0.1 that is free, and nobody else's who asks here
// until release is called or the process ends: it is held by an abstract unix
// socket of its number.
func Take() (port int, release func(), err error) {
	for range count {
		// Processes start at different places, so that they seldom collide.
		port := first + (os.Getpid()*97+int(next.Add(1)))%count
		lock, err := net.Listen("unix", fmt.Sprintf("@redis-watchdog-lab-port-%d", port))
		if err != nil {
			continue
		}
		probe, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			lock.Close()
			continue
		}
		probe.Close()
		return port, func() { lock.Close() }, nil
	}
	return 0, nil, errors.New("find a free port: all are taken")
}
