package drift

import (
	"strconv"
	"syscall"
)

// Local is the program of a Redis on this host, which may be started by us: see
// reader.program.
type Local struct {
	Binary     string // see shadow.Config
	Root       string
	Credential *syscall.Credential // whom it runs as; nil: as us, or we may not become it

	program program
}

// LocalProgram finds it by what the Redis says of itself: process_id and
// executable of INFO. Whoever answers may say anything, so the program must bear a
// server's name and be one that nobody but root can have put there; ask it for its
// version. Close it when it was used.
func LocalProgram(info map[string]string) (*Local, error) {
	pid, err := strconv.Atoi(info["process_id"])
	if err != nil {
		pid = 0 // nothing is looked at then but what executable names
	}
	r := &reader{Options: Options{Info: info, PID: pid}, process: lookAt(pid, info, true)}
	p, err := r.program()
	if err != nil {
		return nil, err
	}
	return &Local{Binary: p.binary, Root: p.rootName(), Credential: r.process.owner, program: p}, nil
}

// Close ends the use of it.
func (l *Local) Close() { l.program.close() }
