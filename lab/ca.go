package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA is a certificate authority of the lab's own, whose files last as long as
// the lab.
type CA struct {
	File string // its certificate

	lab  *Lab
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// CA makes an authority. Two of them do not trust each other.
func (l *Lab) CA() *CA {
	l.t.Helper()
	dir, err := os.MkdirTemp(l.dir, "ca-")
	if err != nil {
		l.t.Fatalf("lab: make directory of the authority: %v", err)
	}
	ca := &CA{lab: l, dir: dir, File: filepath.Join(dir, "ca.crt")}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "lab"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	ca.cert, ca.key = ca.issue(template, "ca")
	return ca
}

// Server issues a certificate for addresses and names (localhost is always
// among them), for servers that are clients of each other too, and is its
// files.
func (ca *CA) Server(names ...string) (certFile, keyFile string) {
	ca.lab.t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	ca.issue(template, "server-"+names[0])
	return filepath.Join(ca.dir, "server-"+names[0]+".crt"), filepath.Join(ca.dir, "server-"+names[0]+".key")
}

// Client issues a certificate with a common name (etcd takes it for the user's)
// and is its files.
func (ca *CA) Client(commonName string) (certFile, keyFile string) {
	ca.lab.t.Helper()
	ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, "client-"+commonName)
	return filepath.Join(ca.dir, "client-"+commonName+".crt"), filepath.Join(ca.dir, "client-"+commonName+".key")
}

// ClientConfig trusts this authority and shows no certificate.
func (ca *CA) ClientConfig() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// issue signs the template (by itself where there is no authority yet) and
// writes name.crt and name.key.
func (ca *CA) issue(template *x509.Certificate, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	ca.lab.t.Helper()
	cert, key, err := ca.sign(template, name)
	if err != nil {
		ca.lab.t.Fatalf("lab: issue certificate %s: %v", name, err)
	}
	return cert, key
}

func (ca *CA) sign(template *x509.Certificate, name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, fmt.Errorf("make serial number: %w", err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour)
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("sign: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	for suffix, block := range map[string]*pem.Block{
		".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(ca.dir, name+suffix), pem.EncodeToMemory(block), 0o640); err != nil {
			return nil, nil, fmt.Errorf("write: %w", err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read back: %w", err)
	}
	return cert, key, nil
}

func (ca *CA) redisLines(h *Host) []string {
	ca.lab.t.Helper()
	cert, key := ca.Server(h.IP, h.Name)
	return []string{"tls-cert-file " + cert, "tls-key-file " + key, "tls-ca-cert-file " + ca.File}
}
