// Package lab starts a real Redis group on this machine and breaks it.
//
// A Lab has hosts; a host runs real processes (redis-server, redis-sentinel,
// etcd, any binary). Made by New, every host is a network namespace of its own
// on a bridge whose links can be cut, one way or both, in silence; that needs
// root. Made by Loopback, all hosts share 127.0.0.1 and free ports, and
// nothing can be cut.
//
//	l := lab.New(t)
//	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
//	etcd := l.Etcd(lab.EtcdConfig{}, a, b, c)
//	group := l.Group(lab.GroupConfig{Hosts: []*lab.Host{a, b, c}, DownAfter: 2 * time.Second})
//	writer := a.Writer(lab.LoadConfig{To: group.Redis[0]})
//	l.Isolate(a)
//	group.WaitMaster(group.Redis[1:]...)
//	l.Heal()
//	lost := lab.Lost(writer.Stop(), group.Master())
//
// Methods that cannot do what they say end the test (T.Fatalf); so a scenario
// reads as its story. They are for the test's own goroutine. Every time is a
// watchdog.Instant of Now, the one clock.
//
// Nothing is left behind, however the owner dies: a namespace has no name and
// lives as long as a process or a descriptor in it; children carry Pdeathsig;
// and a small shell that reads a pipe from the owner kills and removes the
// rest when the pipe ends. After a failed test the directory with every log
// stays, and its path is printed; LAB_KEEP=1 keeps it always.
package lab
