// Package interop drives Dialback's proxy-server and proxy-agent with the libraries that
// Kubernetes itself uses: the Konnectivity client and the egress selector of kube-apiserver in
// front, grpc-go as the other half of a tunnel.
//
// The tests need the folder of the two programs in DIALBACK_BIN_DIR; without it only the
// self-checks of the test's own peers run.
package interop
