package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificates are the files of one pair of daemons and its frontend.
//
// The frontends' side and the agents' side have an authority each, so that a daemon which
// confuses the two is found out.
type certificates struct {
	server, frontend identity
	cluster, agent   identity
}

// identity is a certificate, its key, and the authority that signed it.
type identity struct {
	certificate, key, authority string
}

func issueCertificates(t testing.TB, directory, address string) certificates {
	t.Helper()
	frontends := newAuthority(t, directory, "frontend-ca")
	agents := newAuthority(t, directory, "cluster-ca")
	ip := net.ParseIP(address)
	return certificates{
		server:   frontends.issue(t, "server", x509.ExtKeyUsageServerAuth, ip),
		frontend: frontends.issue(t, "frontend", x509.ExtKeyUsageClientAuth, nil),
		cluster:  agents.issue(t, "cluster", x509.ExtKeyUsageServerAuth, ip),
		agent:    agents.issue(t, "agent", x509.ExtKeyUsageClientAuth, nil),
	}
}

// clientConfig is what a frontend over TCP or an agent connects with.
func (i identity) clientConfig(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{i.keyPair(t)}, RootCAs: i.pool(t)}
}

// serverConfig asks every client for a certificate of the same authority.
func (i identity) serverConfig(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{
		Certificates: []tls.Certificate{i.keyPair(t)},
		ClientCAs:    i.pool(t),
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
}

func (i identity) keyPair(t testing.TB) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(i.certificate, i.key)
	must(t, err)
	return pair
}

func (i identity) pool(t testing.TB) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(i.authority)
	must(t, err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %s", i.authority)
	}
	return pool
}

type authority struct {
	directory, file string
	certificate     *x509.Certificate
	key             *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, directory, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := template(t, name)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	file := filepath.Join(directory, name+".crt")
	writePEM(t, file, "CERTIFICATE", der)
	return authority{directory: directory, file: file, certificate: certificate, key: key}
}

func (a authority) issue(t testing.TB, name string, usage x509.ExtKeyUsage, ip net.IP) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := template(t, name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	if ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	issued := identity{
		certificate: filepath.Join(a.directory, name+".crt"),
		key:         filepath.Join(a.directory, name+".key"),
		authority:   a.file,
	}
	writePEM(t, issued.certificate, "CERTIFICATE", der)
	writePEM(t, issued.key, "PRIVATE KEY", secret)
	return issued
}

func template(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	must(t, err)
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	must(t, os.WriteFile(file, text, 0o600))
}
