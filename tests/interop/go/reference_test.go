package interop

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"
)

// TestReference holds the contract against a proxy without any tunnel, made of Go's own dialler:
// a contract that fails here asks for something that Konnectivity does not promise.
func TestReference(t *testing.T) {
	for _, frontend := range frontends {
		t.Run(frontend.name, func(t *testing.T) {
			listener := startReference(t, frontend.options)
			for _, item := range contract {
				t.Run(item.name, func(t *testing.T) {
					item.run(t, frontend, frontend.dialer(t, listener))
				})
			}
		})
	}
}

// firstDataHold is how long the endpoint's first bytes wait behind the answer to the dial: the
// Konnectivity client loses what comes before its dial has returned, and kube-apiserver refuses a
// CONNECT whose answer it reads together with more.
const firstDataHold = 20 * time.Millisecond

func startReference(t testing.TB, options pairOptions) listener {
	t.Helper()
	l := newListener(t, options, claimAddress(t))
	network, address := "unix", l.socket
	if l.socket == "" {
		network, address = "tcp", l.address
	}
	socket, err := net.Listen(network, address)
	must(t, err)
	if options.mode == "http-connect" {
		server := &http.Server{Handler: http.HandlerFunc(tunnelConnect)}
		t.Cleanup(func() { server.Close() })
		if l.socket == "" {
			server.TLSConfig = l.files.server.serverConfig(t)
			go server.ServeTLS(socket, "", "")
		} else {
			go server.Serve(socket)
		}
		return l
	}
	security := insecure.NewCredentials()
	if l.socket == "" {
		security = credentials.NewTLS(l.files.server.serverConfig(t))
	}
	server := grpc.NewServer(grpc.Creds(security))
	client.RegisterProxyServiceServer(server, referenceProxy{})
	t.Cleanup(server.Stop)
	go server.Serve(socket)
	return l
}

// tunnelConnect answers HTTP CONNECT.
func tunnelConnect(writer http.ResponseWriter, request *http.Request) {
	endpoint, err := net.Dial("tcp", request.Host)
	if err != nil {
		writer.WriteHeader(http.StatusBadGateway)
		io.WriteString(writer, err.Error())
		return
	}
	frontend, _, err := writer.(http.Hijacker).Hijack()
	if err != nil {
		endpoint.Close()
		return
	}
	io.WriteString(frontend, "HTTP/1.1 200 Connection Established\r\n\r\n")
	go func() {
		time.Sleep(firstDataHold)
		io.Copy(frontend, endpoint)
		frontend.Close()
	}()
	io.Copy(endpoint, frontend)
	endpoint.Close()
}

// referenceProxy answers the Proxy call.
type referenceProxy struct {
	client.UnimplementedProxyServiceServer
}

func (referenceProxy) Proxy(stream client.ProxyService_ProxyServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	request := first.GetDialRequest()
	endpoint, err := net.Dial(request.GetProtocol(), request.GetAddress())
	if err != nil {
		return stream.Send(dialResponse(request.GetRandom(), 0, err.Error()))
	}
	defer endpoint.Close()
	if err := stream.Send(dialResponse(request.GetRandom(), 1, "")); err != nil {
		return err
	}
	go sendToFrontend(stream, endpoint)
	for {
		packet, err := stream.Recv()
		if err != nil {
			return err
		}
		if packet.GetType() == client.PacketType_CLOSE_REQ {
			endpoint.Close()
		}
		endpoint.Write(packet.GetData().GetData())
	}
}

func sendToFrontend(stream client.ProxyService_ProxyServer, endpoint net.Conn) {
	time.Sleep(firstDataHold)
	buffer := make([]byte, 32<<10)
	for {
		n, err := endpoint.Read(buffer)
		if n > 0 {
			stream.Send(dataPacket(1, buffer[:n]))
		}
		if err != nil {
			stream.Send(closeResponse(1, ""))
			return
		}
	}
}

func dialRequest(random int64, address string) *client.Packet {
	return &client.Packet{Type: client.PacketType_DIAL_REQ, Payload: &client.Packet_DialRequest{
		DialRequest: &client.DialRequest{Protocol: "tcp", Address: address, Random: random},
	}}
}

func dialResponse(random, id int64, text string) *client.Packet {
	return &client.Packet{Type: client.PacketType_DIAL_RSP, Payload: &client.Packet_DialResponse{
		DialResponse: &client.DialResponse{Random: random, ConnectID: id, Error: text},
	}}
}

func dataPacket(id int64, data []byte) *client.Packet {
	return &client.Packet{Type: client.PacketType_DATA, Payload: &client.Packet_Data{
		Data: &client.Data{ConnectID: id, Data: data},
	}}
}

func closeRequest(id int64) *client.Packet {
	return &client.Packet{Type: client.PacketType_CLOSE_REQ, Payload: &client.Packet_CloseRequest{
		CloseRequest: &client.CloseRequest{ConnectID: id},
	}}
}

func closeResponse(id int64, text string) *client.Packet {
	return &client.Packet{Type: client.PacketType_CLOSE_RSP, Payload: &client.Packet_CloseResponse{
		CloseResponse: &client.CloseResponse{ConnectID: id, Error: text},
	}}
}
