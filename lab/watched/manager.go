package watched

// Manager stands in for the service manager's descriptor store, where a lab
// has no systemd: it keeps what is stored as long as the lab lives. That real
// systemd does so is shown in package systemd's tests.
type Manager struct{}
