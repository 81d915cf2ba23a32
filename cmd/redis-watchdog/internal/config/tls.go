package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Client is the configuration for dialling. Our certificate is read again for
// every connection, so that a renewed one needs no restart; the authority is
// read once. A nil TLS gives nil: plain text.
func (t *TLS) Client() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read ca: no certificate in %q", t.CA)
		}
	}
	if t.Cert == "" {
		return config, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read cert and key: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return config, nil
}

// keyProblem looks at a private key as at a password: who may read it.
func keyProblem(path string) (problem, remedy string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "cannot be read: " + reason(err), "name the PEM file of our private key"
	case info.Mode().Perm()&0o007 != 0:
		return fmt.Sprintf("is open to everyone on this host (mode %04o)", info.Mode().Perm()), "chmod o= " + path
	}
	return "", ""
}
