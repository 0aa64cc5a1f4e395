package interop

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"
)

// goPeers are the frontends that the halves of a tunnel written with grpc-go are tried through;
// what lies in front of the server makes no difference to them.
var goPeers = []frontend{frontends[0], frontends[2]}

// TestServerWithGoAgent holds the contract through our server and an agent on grpc-go.
func TestServerWithGoAgent(t *testing.T) {
	for _, frontend := range goPeers {
		t.Run(frontend.name, func(t *testing.T) {
			for _, item := range contract {
				t.Run(item.name, func(t *testing.T) {
					pair := startServerWithGoAgent(t, frontend.options)
					item.run(t, frontend, frontend.dialer(t, pair.listener))
				})
			}
			t.Run("16-mebibytes", func(t *testing.T) {
				pair := startServerWithGoAgent(t, frontend.options)
				moves(16<<20, 1<<20)(t, frontend, frontend.dialer(t, pair.listener))
			})
		})
	}
}

// TestAgentWithGoServer holds the contract through a server on grpc-go and our agent.
func TestAgentWithGoServer(t *testing.T) {
	frontend := frontends[0]
	for _, item := range contract {
		if item.name == "endpoint-speaks-first" {
			// It takes a server that holds the first bytes back, and this one does not.
			continue
		}
		t.Run(item.name, func(t *testing.T) {
			item.run(t, frontend, frontend.dialer(t, startAgentWithGoServer(t, frontend.options)))
		})
	}
	t.Run("16-mebibytes", func(t *testing.T) {
		moves(16<<20, 1<<20)(t, frontend, frontend.dialer(t, startAgentWithGoServer(t, frontend.options)))
	})
}

// TestGoPeers holds the contract through both of them, without any of our programs.
func TestGoPeers(t *testing.T) {
	frontend := frontends[0]
	l, host := startGoServer(t, frontend.options)
	startGoAgent(t, l.files, host)
	dial := frontend.dialer(t, l)
	for _, item := range contract {
		if item.name == "endpoint-speaks-first" {
			continue
		}
		t.Run(item.name, func(t *testing.T) { item.run(t, frontend, dial) })
	}
}

// connectCall is AgentService.Connect, whose messages are those of the client's protocol file.
var connectCall = grpc.StreamDesc{
	StreamName:    "Connect",
	ServerStreams: true,
	ClientStreams: true,
	Handler: func(service any, stream grpc.ServerStream) error {
		return service.(*goServer).connect(stream)
	},
}

var agentService = grpc.ServiceDesc{
	ServiceName: "AgentService",
	HandlerType: (*any)(nil),
	Streams:     []grpc.StreamDesc{connectCall},
}

// packetStream is either end of a Connect call; several tasks may send.
type packetStream struct {
	stream grpc.Stream
	lock   sync.Mutex
}

func (s *packetStream) send(packet *client.Packet) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.stream.SendMsg(packet)
}

func (s *packetStream) receive() (*client.Packet, error) {
	packet := new(client.Packet)
	return packet, s.stream.RecvMsg(packet)
}

func startServerWithGoAgent(t testing.TB, options pairOptions) *pair {
	t.Helper()
	host := claimAddress(t)
	p := &pair{listener: newListener(t, options, host)}
	p.server = startServer(t, p.listener, host)
	p.checkAtEnd(t)
	startGoAgent(t, p.files, host)
	eventually(t, promptly, func() error { return p.server.answers("/readyz") })
	return p
}

// goAgent is an agent with one connection to one server.
type goAgent struct {
	packetStream
	lock      sync.Mutex
	last      int64
	endpoints map[int64]net.Conn
}

func startGoAgent(t testing.TB, files certificates, host string) {
	t.Helper()
	security := credentials.NewTLS(files.agent.clientConfig(t))
	connection, err := grpc.NewClient(net.JoinHostPort(host, agentPort), grpc.WithTransportCredentials(security))
	must(t, err)
	ctx := metadata.AppendToOutgoingContext(context.Background(), "agentid", "go-agent", "agentidentifiers", "")
	stream, err := connection.NewStream(ctx, &connectCall, "/AgentService/Connect")
	must(t, err)
	header, err := stream.Header()
	must(t, err)
	if len(header.Get("serverid")) != 1 || len(header.Get("servercount")) != 1 {
		t.Fatalf("the server's headers are %v", header)
	}
	agent := &goAgent{packetStream: packetStream{stream: stream}, endpoints: map[int64]net.Conn{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		agent.serve()
	}()
	t.Cleanup(func() {
		connection.Close()
		<-done
	})
}

func (a *goAgent) serve() {
	for {
		packet, err := a.receive()
		if err != nil {
			a.closeAll()
			return
		}
		switch packet.GetType() {
		case client.PacketType_DIAL_REQ:
			a.last++
			go a.dial(a.last, packet.GetDialRequest())
		case client.PacketType_DATA:
			a.write(packet.GetData())
		case client.PacketType_CLOSE_REQ:
			a.close(packet.GetCloseRequest().GetConnectID())
		}
	}
}

func (a *goAgent) dial(id int64, request *client.DialRequest) {
	endpoint, err := net.Dial(request.GetProtocol(), request.GetAddress())
	if err != nil {
		a.send(dialResponse(request.GetRandom(), 0, err.Error()))
		return
	}
	a.lock.Lock()
	a.endpoints[id] = endpoint
	a.lock.Unlock()
	a.send(dialResponse(request.GetRandom(), id, ""))
	buffer := make([]byte, 4096)
	for {
		n, err := endpoint.Read(buffer)
		if n > 0 {
			a.send(dataPacket(id, buffer[:n]))
		}
		if err != nil {
			break
		}
	}
	a.lock.Lock()
	delete(a.endpoints, id)
	a.lock.Unlock()
	endpoint.Close()
	a.send(closeResponse(id, ""))
}

func (a *goAgent) endpoint(id int64) net.Conn {
	a.lock.Lock()
	defer a.lock.Unlock()
	return a.endpoints[id]
}

func (a *goAgent) write(data *client.Data) {
	if endpoint := a.endpoint(data.GetConnectID()); endpoint != nil {
		endpoint.Write(data.GetData())
	} else {
		a.send(closeResponse(data.GetConnectID(), "unrecognized connectID"))
	}
}

func (a *goAgent) close(id int64) {
	if endpoint := a.endpoint(id); endpoint != nil {
		endpoint.Close()
	} else {
		a.send(closeResponse(id, "Unknown connectID"))
	}
}

func (a *goAgent) closeAll() {
	a.lock.Lock()
	defer a.lock.Unlock()
	for _, endpoint := range a.endpoints {
		endpoint.Close()
	}
}

// goServer is a server with one agent; ids of dials and connections are handed through.
type goServer struct {
	client.UnimplementedProxyServiceServer
	connected chan *packetStream
	lock      sync.Mutex
	dials     map[int64]*packetStream
	streams   map[int64]*packetStream
}

// startGoServer answers where its frontends go, and the address where it takes an agent.
func startGoServer(t testing.TB, options pairOptions) (listener, string) {
	t.Helper()
	host := claimAddress(t)
	l := newListener(t, options, host)
	server := &goServer{
		connected: make(chan *packetStream, 1),
		dials:     map[int64]*packetStream{},
		streams:   map[int64]*packetStream{},
	}
	frontends := grpc.NewServer()
	client.RegisterProxyServiceServer(frontends, server)
	serveGRPC(t, frontends, "unix", l.socket)
	agents := grpc.NewServer(grpc.Creds(credentials.NewTLS(l.files.cluster.serverConfig(t))))
	agents.RegisterService(&agentService, server)
	serveGRPC(t, agents, "tcp", net.JoinHostPort(host, agentPort))
	return l, host
}

func startAgentWithGoServer(t testing.TB, options pairOptions) listener {
	t.Helper()
	l, host := startGoServer(t, options)
	agent := startAgent(t, l.files, host)
	eventually(t, promptly, func() error { return agent.answers("/readyz") })
	descriptors, err := agent.descriptors()
	must(t, err)
	t.Cleanup(func() {
		if !t.Failed() {
			agent.atRest(t, agentGauges, descriptors)
			agent.stop(t, 100)
			agent.logsNoError(t)
		}
	})
	return l
}

func serveGRPC(t testing.TB, server *grpc.Server, network, address string) {
	t.Helper()
	socket, err := net.Listen(network, address)
	must(t, err)
	t.Cleanup(server.Stop)
	go server.Serve(socket)
}

func (s *goServer) connect(stream grpc.ServerStream) error {
	header := metadata.Pairs("serverid", "go-server", "servercount", "1")
	if err := stream.SendHeader(header); err != nil {
		return err
	}
	agent := &packetStream{stream: stream}
	s.connected <- agent
	for {
		packet, err := agent.receive()
		if err != nil {
			return nil
		}
		if frontend := s.recipient(packet); frontend != nil {
			frontend.send(packet)
		}
	}
}

// recipient is the frontend that a packet of the agent is for.
func (s *goServer) recipient(packet *client.Packet) *packetStream {
	s.lock.Lock()
	defer s.lock.Unlock()
	switch packet.GetType() {
	case client.PacketType_DIAL_RSP:
		response := packet.GetDialResponse()
		frontend := s.dials[response.GetRandom()]
		delete(s.dials, response.GetRandom())
		if id := response.GetConnectID(); id != 0 {
			s.streams[id] = frontend
		}
		return frontend
	case client.PacketType_CLOSE_RSP:
		id := packet.GetCloseResponse().GetConnectID()
		frontend := s.streams[id]
		delete(s.streams, id)
		return frontend
	default:
		return s.streams[packet.GetData().GetConnectID()]
	}
}

func (s *goServer) Proxy(stream client.ProxyService_ProxyServer) error {
	agent := <-s.connected
	s.connected <- agent
	frontend := &packetStream{stream: stream}
	defer s.forget(agent, frontend)
	for {
		packet, err := frontend.receive()
		if err != nil {
			return nil
		}
		if dial := packet.GetDialRequest(); dial != nil {
			s.lock.Lock()
			s.dials[dial.GetRandom()] = frontend
			s.lock.Unlock()
		}
		if err := agent.send(packet); err != nil {
			return errors.New("the agent is gone")
		}
	}
}

// forget closes what a frontend that has ended leaves open.
func (s *goServer) forget(agent, frontend *packetStream) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for id, owner := range s.streams {
		if owner == frontend {
			delete(s.streams, id)
			go agent.send(closeRequest(id))
		}
	}
}
