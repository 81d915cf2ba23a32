package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// network is a bridge in a namespace of its own, the "switch", to which every
// host has one link. Links are cut by nftables on the bridge, so that neither
// end notices anything but silence.
type network struct {
	threads *starter
	hub     *os.File

	mu   sync.Mutex
	cuts []cut
}

// cut is a rule for packets between two ports of the bridge. Ends are host
// indices, so that one cut can be mended without the others.
type cut struct {
	from, to int // 0: any
	rule     string
}

func newNetwork(threads *starter) (*network, error) {
	n := &network{threads: threads}
	var err error
	if n.hub, err = threads.newNamespace(); err != nil {
		return nil, err
	}
	bridge := "link set lo up\nlink add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n"
	if err := n.run(n.hub, bridge, "ip", "-batch", "-"); err != nil {
		return nil, fmt.Errorf("make bridge: %w", err)
	}
	return n, n.apply()
}

func (n *network) close() {
	if n.hub != nil {
		n.hub.Close()
	}
}

// attach makes a host's namespace and its link to the bridge.
func (n *network) attach(index int) (ip string, namespace *os.File, err error) {
	if namespace, err = n.threads.newNamespace(); err != nil {
		return "", nil, err
	}
	ip = fmt.Sprintf("10.77.0.%d", index)
	link := port(index)
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), namespace.Fd())
	hub := fmt.Sprintf("link add %s type veth peer name eth0 netns %s\nlink set %s master br0\nlink set %s up\n", link, path, link, link)
	if err := n.run(n.hub, hub, "ip", "-batch", "-"); err != nil {
		return "", nil, fmt.Errorf("make link: %w", err)
	}
	host := fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\n", ip)
	if err := n.run(namespace, host, "ip", "-batch", "-"); err != nil {
		return "", nil, fmt.Errorf("set address: %w", err)
	}
	return ip, namespace, nil
}

// port is the bridge's end of a host's link.
func port(index int) string { return fmt.Sprintf("h%d", index) }

// add puts cuts into force, all at once.
func (n *network) add(cuts ...cut) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range cuts {
		if !slices.Contains(n.cuts, c) {
			n.cuts = append(n.cuts, c)
		}
	}
	return n.apply()
}

// remove ends the cuts that match, all at once.
func (n *network) remove(match func(cut) bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts = slices.DeleteFunc(n.cuts, match)
	return n.apply()
}

// apply writes the whole table in one transaction of the kernel's. ARP passes:
// a host that is cut off is silent, it does not become "no route to host".
func (n *network) apply() error {
	var b strings.Builder
	b.WriteString("table bridge lab\ndelete table bridge lab\ntable bridge lab {\n chain forward {\n")
	b.WriteString("  type filter hook forward priority 0; policy accept;\n  ether type arp accept\n")
	for _, c := range n.cuts {
		fmt.Fprintf(&b, "  %s\n", c.rule)
	}
	b.WriteString(" }\n}\n")
	if err := n.run(n.hub, b.String(), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("set cuts: %w", err)
	}
	return nil
}

// setLink is the cable at the switch's end: both sides see the loss of carrier.
func (n *network) setLink(index int, state string) error {
	if err := n.run(n.hub, "", "ip", "link", "set", port(index), state); err != nil {
		return fmt.Errorf("set link %s: %w", state, err)
	}
	return nil
}

// run runs a short command in a namespace, at most ten seconds.
func (n *network) run(namespace *os.File, input, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdin = strings.NewReader(input)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := n.threads.start(cmd, namespace); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run %s: %w: %s", name, err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}
